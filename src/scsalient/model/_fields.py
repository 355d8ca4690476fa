"""Fields that both models register, with checks that name the argument."""

from __future__ import annotations

import hashlib
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    NumericalJointObsField,
    NumericalObsField,
)

from scsalient._arguments import check_anndata
from scsalient.data import ValuesField, as_python, data_matrix
from scsalient.model._columns import column_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from anndata import AnnData
    from scvi.data.fields import BaseAnnDataField

_OBS_COLUMNS = (
    "batch_key",
    "size_factor_key",
    "categorical_covariate_keys",
    "continuous_covariate_keys",
)
# What scvi-tools passes when it loads a model or registers other data
_FOR_SCVI = ("source_registry", "extend_categories", "allow_missing_labels")


def as_list(keys: Any) -> Any:
    """Names of columns in an array or an index as a list; anything else as it is."""
    return list(keys) if isinstance(keys, np.ndarray | pd.Index | pd.Series) else keys


def shared_fields(
    *,
    layer: str | None,
    batch_key: str | None,
    size_factor_key: str | None,
    categorical_covariate_keys: Sequence[str] | None,
    continuous_covariate_keys: Sequence[str] | None,
) -> list[BaseAnnDataField]:
    """Fields of data, batch, size factor and covariates."""
    categorical = list(categorical_covariate_keys or [])
    continuous = list(continuous_covariate_keys or [])
    # Whether the values must be counts depends on the likelihood, which the model knows.
    return [
        ValuesField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
        CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, size_factor_key, required=False),
        CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, categorical),
        NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, continuous),
    ]


def check_setup(adata: Any, unknown: Mapping[str, Any]) -> None:
    """Check that data can be registered, and that no argument is left over.

    Raises
    ------
    TypeError
        When the data are no AnnData, or an argument is unknown.
    ValueError
        When the data are a view, or a model is loaded with data of other variables or categories.
    """
    check_anndata("adata", adata, advice="Convert it first.")
    wrong = [name for name in unknown if name not in _FOR_SCVI]
    if wrong:
        msg = f"`setup_anndata` has no arguments {wrong}. Look at its signature."
        raise TypeError(msg)
    source = unknown.get("source_registry")
    if source:
        check_variables(adata, source)
        for _, _, key, registered in registered_categories(source):
            if key in adata.obs and not unknown.get("extend_categories"):
                known = range(len(registered))
                check_categories(key, registered, known, adata.obs[key].unique())
    _refuse_view(adata)


def _refuse_view(adata: AnnData) -> None:
    if adata.is_view:
        other, copy = (
            ("one that lies in a file", "to_memory") if adata.isbacked else ("another one", "copy")
        )
        msg = (
            f"`adata` should be an AnnData of its own, found a view of {other}. Run "
            f"`adata = adata.{copy}()` first."
        )
        raise ValueError(msg)


def check_query(
    adata: AnnData, registry: Mapping[str, Any], seen: Mapping[str, Sequence[Sequence[int]]]
) -> None:
    """Check that other data have what the model was registered with.

    Parameters
    ----------
    adata
        Data that the model was not set up with.
    registry
        Registry of the model.
    seen
        Codes of the batch, and of each categorical covariate, that the model has seen cells of, by
        field.

    Raises
    ------
    KeyError
        When a layer or column is missing.
    TypeError
        When the values are no numbers.
    ValueError
        When variables or categories differ from those of training, or the data are a view of a
        file.
    """
    if adata.isbacked:
        _refuse_view(adata)
    check_variables(adata, registry)
    arguments = registry["setup_args"]
    check_columns(adata, **{name: arguments.get(name) for name in ("layer", *_OBS_COLUMNS)})
    for field, i, key, registered in registered_categories(registry):
        check_categories(key, registered, seen[field][i], adata.obs[key].unique())


def check_categories(
    key: str, registered: Sequence[Any], seen: Sequence[int], found: Iterable[Any]
) -> None:
    """Check that a model has seen cells of the categories of a column.

    Parameters
    ----------
    key
        Column of ``.obs``.
    registered
        Categories in the order of their codes.
    seen
        Codes of those that the model has seen cells of.
    found
        Categories of the cells that it is asked about.

    Raises
    ------
    ValueError
        When it has not.
    """
    known = [as_python(registered[code]) for code in seen]
    new = [as_python(category) for category in found if category not in set(known)]
    if not new:
        return
    remedy = "Train with such cells, or give them one of the known categories."
    if {str(category) for category in new} <= {str(category) for category in known}:
        theirs, ours = type(new[0]).__name__, type(known[0]).__name__
        remedy = f"They are of type {theirs}; convert the column to {ours}."
    msg = (
        f"`adata.obs[{key!r}]` should have categories that the model was trained on, {known}, "
        f"found {new}. {remedy}"
    )
    raise ValueError(msg)


def columns_as_text(adata: AnnData, registry: Mapping[str, Any]) -> str:
    """The columns of the cells that a model was registered with, as a short text."""
    digest = hashlib.sha256()
    for key in column_names(registry):
        if key in adata.obs:
            values = pd.util.hash_pandas_object(adata.obs[key], index=False)
            digest.update(values.to_numpy().tobytes())
    return digest.hexdigest()


def column_names(registry: Mapping[str, Any]) -> list[str]:
    """Columns of ``.obs`` that a model was registered with."""
    arguments = registry["setup_args"]
    named = [arguments.get(name) for name in ("condition_key", *_OBS_COLUMNS)]
    return [key for keys in named for key in ([keys] if isinstance(keys, str) else keys or [])]


def registered_categories(
    registry: Mapping[str, Any],
) -> Iterator[tuple[str, int, str, Sequence[Any]]]:
    """Columns of the batch and of the categorical covariates.

    Parameters
    ----------
    registry
        Registry of a model.

    Yields
    ------
    Of each column the field, its place within that, its name in ``.obs``, and its categories in
    the order of their codes.
    """
    states = {key: field["state_registry"] for key, field in registry["field_registries"].items()}
    batch_key = registry["setup_args"].get("batch_key")
    if batch_key is not None:
        yield (
            REGISTRY_KEYS.BATCH_KEY,
            0,
            batch_key,
            states[REGISTRY_KEYS.BATCH_KEY]["categorical_mapping"],
        )
    covariates = states.get(REGISTRY_KEYS.CAT_COVS_KEY, {}).get("mappings", {})
    for i, (key, categories) in enumerate(covariates.items()):
        yield REGISTRY_KEYS.CAT_COVS_KEY, i, key, categories


def check_variables(adata: AnnData, registry: Mapping[str, Any]) -> None:
    """Check that data have the variables of training, in their order.

    Raises
    ------
    ValueError
        When they do not.
    """
    state = registry["field_registries"][REGISTRY_KEYS.X_KEY]["state_registry"]
    expected = np.asarray(state["column_names"]).astype(str)
    found = np.asarray(adata.var_names).astype(str)
    if np.array_equal(expected, found):
        return
    if not adata.var_names.is_unique and len(np.unique(expected)) == len(expected):
        repeated = adata.var_names[adata.var_names.duplicated()].unique().tolist()
        msg = (
            "`adata` should have each variable once, as the data that the model was trained on, "
            f"found {repeated[:5]} more than once. Run `adata.var_names_make_unique()`, and take "
            "those of training."
        )
        raise ValueError(msg)
    msg = "`adata` should have the variables that the model was trained on, in the same order, "
    missing = np.setdiff1d(expected, found)
    if len(missing):
        some = [str(name) for name in missing[:5]] + ["..."] * (len(missing) > 5)
        msg += (
            f"found {len(missing)} of {len(expected)} missing: {some}. Train again on the "
            "variables that both data have."
        )
    else:
        msg += (
            "found others too, or another order. Take `adata[:, names].copy()`, where "
            "`model.get_var_names()` tells the names, also of a model loaded with `adata=False`."
        )
    raise ValueError(msg)


def check_columns(
    adata: AnnData,
    *,
    layer: str | None,
    batch_key: str | None,
    size_factor_key: str | None,
    categorical_covariate_keys: Sequence[str] | None,
    continuous_covariate_keys: Sequence[str] | None,
) -> None:
    """Check that layer and columns exist and have a usable value for every cell.

    Raises
    ------
    KeyError
        When a layer or column is missing.
    TypeError
        When the values are no numbers, or a column is not named by text.
    ValueError
        When the data are empty, a column has missing or non-finite values or is named
        twice, or a size factor is not positive.
    """
    data_matrix(adata, layer)
    for argument, keys in (
        ("categorical_covariate_keys", categorical_covariate_keys),
        ("continuous_covariate_keys", continuous_covariate_keys),
    ):
        if isinstance(keys, str):
            msg = f"`{argument}` should be a list of columns, found {keys!r}. Write [{keys!r}]."
            raise TypeError(msg)
        repeated = [key for i, key in enumerate(keys or []) if key in list(keys or [])[:i]]
        if repeated:
            msg = f"`{argument}` should name each column once, found {repeated} again."
            raise ValueError(msg)
    named = [("batch_key", batch_key), ("size_factor_key", size_factor_key)]
    named += [("categorical_covariate_keys", key) for key in categorical_covariate_keys or []]
    named += [("continuous_covariate_keys", key) for key in continuous_covariate_keys or []]
    for argument, key in named:
        if key is not None:
            _check_column(adata, argument, key)


def _check_column(adata: AnnData, argument: str, key: str) -> None:
    column = column_of(adata, argument, key)
    n_missing = int(column.isna().sum())
    if n_missing:
        msg = (
            f"`{argument}` column {key!r} should have a value for every cell, found "
            f"{n_missing} missing. Fill them in, or remove these cells."
        )
        raise ValueError(msg)
    if argument in ("size_factor_key", "continuous_covariate_keys"):
        _check_numbers(adata, argument, key)
        return
    # Text and numbers have no common order, in which batches are registered
    values = column.unique() if argument == "batch_key" else ()
    types = {type(value).__name__ for value in values if not isinstance(value, Real)}
    if types and any(isinstance(value, Real) for value in values):
        msg = (
            f"`{argument}` column {key!r} should hold values of one type, found numbers and "
            f"{sorted(types)}. Convert them: `adata.obs[{key!r}] = adata.obs[{key!r}].astype(str)`."
        )
        raise ValueError(msg)


def check_size_factors(adata: AnnData, registry: Mapping[str, Any]) -> None:
    """Check the size factors of registered data, which are read where they are.

    Raises
    ------
    KeyError
        When their column is gone.
    ValueError
        When they are no positive numbers.
    """
    key = registry["setup_args"].get("size_factor_key")
    if key is not None:
        _check_column(adata, "size_factor_key", key)


def _check_numbers(adata: AnnData, argument: str, key: str) -> None:
    try:
        values = adata.obs[key].to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        msg = (
            f"`{argument}` column {key!r} should hold numbers, found {adata.obs[key].dtype}. "
            "Register categories with `categorical_covariate_keys`."
        )
        raise ValueError(msg) from error
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"`{argument}` column {key!r} should be finite, found {n_bad} infinite values."
        raise ValueError(msg)
    if argument == "size_factor_key" and (values <= 0).any():
        msg = (
            f"`size_factor_key` column {key!r} should be positive, found a minimum of "
            f"{values.min():g}."
        )
        raise ValueError(msg)

"""Fields that both models register, with checks that name the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from scvi.data.fields import BaseAnnDataField


def shared_fields(
    *,
    layer: str | None,
    batch_key: str | None,
    size_factor_key: str | None,
    categorical_covariate_keys: Sequence[str] | None,
    continuous_covariate_keys: Sequence[str] | None,
) -> list[BaseAnnDataField]:
    """Fields of data, batch, size factor and covariates."""
    # Whether the values must be counts depends on the likelihood, which the model knows.
    return [
        LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
        CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, size_factor_key, required=False),
        CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, categorical_covariate_keys),
        NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, continuous_covariate_keys),
    ]


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
    ValueError
        When the data are a view or have no cells, or a column has missing or non-finite
        values, or a size factor is not positive.
    """
    if adata.is_view:
        msg = (
            "`adata` should be an AnnData of its own, found a view of another one. Run "
            "`adata = adata.copy()` first."
        )
        raise ValueError(msg)
    if layer is not None and layer not in adata.layers:
        msg = f"`layer` should be one of {list(adata.layers)}, found {layer!r}."
        raise KeyError(msg)
    for argument, keys in (
        ("categorical_covariate_keys", categorical_covariate_keys),
        ("continuous_covariate_keys", continuous_covariate_keys),
    ):
        if isinstance(keys, str):
            msg = f"`{argument}` should be a list of columns, found {keys!r}. Write [{keys!r}]."
            raise TypeError(msg)
    named = [("batch_key", batch_key), ("size_factor_key", size_factor_key)]
    named += [("categorical_covariate_keys", key) for key in categorical_covariate_keys or []]
    named += [("continuous_covariate_keys", key) for key in continuous_covariate_keys or []]
    for argument, key in named:
        if key is None:
            continue
        if key not in adata.obs:
            msg = (
                f"`{argument}` should name columns of `adata.obs`, found {key!r}, which is not "
                f"among {list(adata.obs.columns)}."
            )
            raise KeyError(msg)
        n_missing = int(adata.obs[key].isna().sum())
        if n_missing:
            msg = (
                f"`{argument}` column {key!r} should have a value for every cell, found "
                f"{n_missing} missing. Fill them in, or remove these cells."
            )
            raise ValueError(msg)
        if argument in ("size_factor_key", "continuous_covariate_keys"):
            _check_numbers(adata, argument, key)


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

"""What the models have in common: checked data, devices and minibatches."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from scvi import REGISTRY_KEYS, settings
from scvi.model.base import BaseModelClass

from scsalient._arguments import check_anndata, check_flag, check_integer, check_number
from scsalient._compat import SCVI_UUID_KEY
from scsalient._random import seed_of
from scsalient.data import (
    CATEGORY_KEYS,
    check_block,
    check_values,
    image_from_registry,
    look_raw,
    place_of,
    row_blocks,
)
from scsalient.likelihoods import LIKELIHOODS
from scsalient.loaders import BatchLoader, ConsecutiveBatches, Rows, SparseRows
from scsalient.model._fields import (
    check_categories,
    check_query,
    check_size_factors,
    check_variables,
    column_names,
    columns_as_text,
    registered_categories,
)
from scsalient.nn import CONV_STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from scvi.data import AnnDataManager
    from torch import Tensor

    from scsalient.images import ImageDescription
    from scsalient.module import LatentModule

GaussianVariance = Literal["fixed", "learned"]
NETWORKS = ("dense", "conv")

# Standard deviation over mean
_MIN_SPREAD = 1e-5


class LatentModel(BaseModelClass):
    """Base of the models: one module, checked data, minibatches on the module's device."""

    module: LatentModule

    @BaseModelClass.adata.setter
    def adata(self, adata: AnnData) -> None:
        """Other data in place of the model's, which it could be asked about, too."""
        check_anndata("adata", adata, advice="Convert it first.")
        check_query(adata, self.registry, self.categories_)
        BaseModelClass.adata.fset(self, self._registered(adata))

    @property
    def _image(self) -> ImageDescription | None:
        """The registered data as images, `None` if they are none."""
        field = self.registry["field_registries"][REGISTRY_KEYS.X_KEY]
        return image_from_registry(field["state_registry"])

    @property
    def _scale(self) -> float:
        """Registered value that counts as one in the module."""
        return 1.0 if self._image is None else self._image.scale

    def _network_sizes(self) -> dict[str, Any]:
        """Sizes of the networks that follow from the registered data."""
        stats = self.summary_stats
        fields = self.registry["field_registries"]
        n_categories = [stats.n_batch]
        if stats.get("n_extra_categorical_covs", 0):
            state = fields[REGISTRY_KEYS.CAT_COVS_KEY]["state_registry"]
            n_categories += [int(n) for n in state["n_cats_per_key"]]
        size_factor = fields.get(REGISTRY_KEYS.SIZE_FACTOR_KEY, {}).get("data_registry")
        return {
            "n_input": stats.n_vars,
            "n_categories": n_categories,
            "n_continuous": stats.get("n_extra_continuous_covs", 0),
            "use_size_factor": bool(size_factor),
            "image_shape": None if self._image is None else self._image.shape,
        }

    def _start_from_data(self) -> None:
        """Check the registered values and start the decoder at their average."""
        self._checked_managers: set[str] = set()
        # Columns of other data as they were when these were registered, by their id
        self._columns_of: dict[str, str] = {}
        # Latents of an untrained model depend on nothing but the cell, too
        self.module.eval()
        # Which cells it was trained on; by its name scvi-tools saves it
        self.cells_: str | None = None
        # Codes of the batch and of each covariate that its data have or had, by field, and those
        # of which cells were trained on
        self.categories_: dict[str, list[list[int]]] = {}
        self.trained_categories_: dict[str, list[list[int]]] | None = None
        if self.adata is None:
            return
        check_variables(self.adata, self.registry)
        # Another model may have been asked about them since
        self.adata_manager.validate()
        for field in CATEGORY_KEYS:
            if field in self.adata_manager.data_registry:
                columns = self._category_codes(field).T
                self.categories_[field] = [np.unique(column).tolist() for column in columns]
        totals = self._check_data(self.adata)
        x = self.get_from_registry(self.adata, REGISTRY_KEYS.X_KEY)
        sums = np.zeros(self.summary_stats.n_vars)
        for _, block in row_blocks(x):
            sums += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
        if self.module.likelihood.support == "real" and self._image is None and look_raw(x):
            self._warn_of_counts()
        denominator = totals.sum() if self.module.likelihood.support == "counts" else len(totals)
        if self.module.likelihood.support == "counts" and self.module.use_size_factor:
            factors = self.get_from_registry(self.adata, REGISTRY_KEYS.SIZE_FACTOR_KEY)
            self.module.counts_per_factor.fill_(totals.sum() / float(np.sum(factors)))
        if REGISTRY_KEYS.CONT_COVS_KEY in self.adata_manager.data_registry:
            continuous = self.get_from_registry(self.adata, REGISTRY_KEYS.CONT_COVS_KEY)
            # A copy: pandas gives values that may not be written to
            values = np.array(continuous, dtype=np.float64).reshape(self.adata.n_obs, -1)
            self._check_spread(values)
            self.module.standardise_covariates(torch.from_numpy(values))
        average = torch.as_tensor(sums / self._scale / denominator, dtype=torch.float32)
        self.module.initialise_output(average)

    def _warn_of_counts(self) -> None:
        where = place_of(self.registry["setup_args"].get("layer"))
        msg = (
            "`likelihood='gaussian'` expects log-normalised values, found only non-negative "
            f"integers in `{where}`, which look like raw counts. Choose `likelihood='nb'`, or "
            "normalise and register other values."
        )
        warnings.warn(msg, UserWarning, stacklevel=settings.warnings_stacklevel + 2)

    def _category_codes(self, field: str) -> np.ndarray:
        """Codes of the batch or of the categorical covariates, shape ``(n_cells, n_columns)``."""
        codes = np.asarray(self.get_from_registry(self.adata, field))
        return codes.reshape(self.adata.n_obs, -1)

    def _check_spread(self, continuous: np.ndarray) -> None:
        """Check that single precision tells the values of each continuous covariate apart."""
        spread = np.where(np.ptp(continuous, axis=0) > 0, continuous.std(0), np.inf)
        lost = np.flatnonzero(spread < _MIN_SPREAD * np.abs(continuous.mean(0)))
        if len(lost):
            names = [self.registry["setup_args"]["continuous_covariate_keys"][i] for i in lost]
            msg = (
                "`continuous_covariate_keys` should name columns that vary by more than a "
                f"hundred-thousandth of their size, found less in {names}. Subtract an offset."
            )
            raise ValueError(msg)

    def _check_data(self, adata: AnnData) -> np.ndarray:
        manager = self.get_anndata_manager(adata, required=True)
        self._checked_managers.add(manager.id)
        return check_values(adata, **self._expected_values(manager), scale=self._scale)

    def _expected_values(self, manager: AnnDataManager) -> dict[str, Any]:
        """Where the values are, and what the likelihood takes."""
        return {
            "layer": manager.data_registry[REGISTRY_KEYS.X_KEY].attr_key or None,
            "support": self.module.likelihood.support,
            "likelihood": self.init_params_["non_kwargs"]["likelihood"],
        }

    def _groups(self) -> dict[str, np.ndarray]:
        """Positions of the cells of each group to train on, by its name."""
        raise NotImplementedError

    def _validated(self, adata: AnnData | None, *, new_categories: bool = False) -> AnnData:
        """Data, registered and with checked values.

        Parameters
        ----------
        adata
            Data; `None` for those of the model.
        new_categories
            Whether the model's own may have batches that it has not seen, to learn them.
        """
        if adata is None and self.adata is None:
            msg = (
                "`adata` is needed, for the model was loaded without its data, found none. Pass "
                "data, or load the model with `adata`."
            )
            raise ValueError(msg)
        with self._noting_where_to_look():
            return self._checked(adata, new_categories=new_categories)

    def _checked(self, adata: AnnData | None, *, new_categories: bool) -> AnnData:
        if adata is None or adata is self.adata:
            check_variables(self.adata, self.registry)
            check_size_factors(self.adata, self.registry)
            adata = self._validate_anndata(adata)
            if not new_categories:
                for field, i, key, registered in registered_categories(self.registry):
                    codes = np.unique(self._category_codes(field)[:, i])
                    check_categories(
                        key, registered, self.categories_[field][i], [registered[j] for j in codes]
                    )
        else:
            check_anndata("adata", adata, advice="Convert it first.")
            check_query(adata, self.registry, self._seen_categories)
            adata = self._registered(adata)
        if self.get_anndata_manager(adata, required=True).id not in self._checked_managers:
            self._check_data(adata)
        return adata

    @property
    def _seen_categories(self) -> dict[str, list[list[int]]]:
        """Codes of the batch and of each covariate that it can be asked about, by field."""
        trained = self.trained_categories_
        return self.categories_ if trained is None else trained

    @contextmanager
    def _noting_where_to_look(self) -> Iterator[None]:
        """Add to an error where the model looks: none of it is an argument of what was called."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            arguments = self.registry["setup_args"]
            places = [f"`{place_of(arguments.get('layer'))}`"]
            places += [f"`adata.obs[{key!r}]`" for key in column_names(self.registry)]
            error.add_note(
                f"The model takes its data from where it was registered: {', '.join(places)}."
            )
            raise

    def _registered(self, adata: AnnData) -> AnnData:
        """Other data than the model's, registered for it with their columns as they are now."""
        managers = self._per_instance_manager_store.setdefault(self.id, {})
        uuid = adata.uns.get(SCVI_UUID_KEY)
        columns = columns_as_text(adata, self.registry)
        if uuid in managers and managers[uuid].adata is not adata:
            # A copy of data that were registered before has their id
            uuid = None
            del adata.uns[SCVI_UUID_KEY]
        elif uuid in managers and self._columns_of.get(uuid) != columns:
            del managers[uuid]
        pending = self._setup_adata_manager_store.get(uuid)
        lacks_data = self.adata is None
        adata = self._validate_anndata(adata)
        if lacks_data:
            # scvi-tools takes the first data that it meets for those of the model, and registers
            # them for the next model, too
            self._adata = self._adata_manager = None
            if pending is not None:
                self._setup_adata_manager_store[uuid] = pending
        self._columns_of[adata.uns[SCVI_UUID_KEY]] = columns
        return adata

    def _minibatches(
        self,
        adata: AnnData,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> Iterator[dict[str, Tensor]]:
        """Tensors of consecutive cells, on the module's device."""
        if batch_size is not None:
            check_integer("batch_size", batch_size, low=1)
        manager = self.get_anndata_manager(adata, required=True)
        positions = _as_positions(indices, adata.n_obs)
        if positions is None:
            positions = np.arange(adata.n_obs)
        loader = BatchLoader(
            Rows.of(manager),
            ConsecutiveBatches(
                positions % adata.n_obs, batch_size=batch_size or settings.batch_size
            ),
            device=self.module.device,
            storage="host",
        )
        expected = self._expected_values(manager)
        for tensors in loader:
            # They may have changed since all of them were checked, by a normalisation say
            x = tensors[REGISTRY_KEYS.X_KEY]
            values, totals = (x.values, x.sums()) if isinstance(x, SparseRows) else (x, x.sum(1))
            check_block(values.cpu().numpy(), totals.cpu().numpy(), **expected)
            yield tensors

    def _generator(self, purpose: str) -> torch.Generator:
        """Generator of draws at inference time, seeded by ``scvi.settings.seed`` if it is set.

        Draws for two purposes, such as those of both latents, are independent of each other.
        """
        generator = torch.Generator(device=self.module.device)
        if settings.seed is None:
            return generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        sequence = seed_of(int(settings.seed), purpose)
        return generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))


def _as_positions(indices: Sequence[int] | np.ndarray | None, n_obs: int) -> np.ndarray | None:
    if indices is None:
        return None
    positions = np.asarray(indices)
    if positions.ndim != 1 or positions.size == 0 or positions.dtype.kind not in "biu":
        msg = (
            "`indices` should be a list of positions, or a mask, of at least one cell, found "
            f"{_shortened(indices)}."
        )
        raise ValueError(msg)
    if positions.dtype == bool:
        if positions.shape != (n_obs,):
            msg = f"`indices` as a mask should have shape ({n_obs},), found {positions.shape}."
            raise ValueError(msg)
        if not positions.any():
            msg = "`indices` as a mask should keep at least one cell, found none."
            raise ValueError(msg)
        return np.flatnonzero(positions)
    if positions.min() < -n_obs or positions.max() >= n_obs:
        msg = (
            f"`indices` should lie between 0 and {n_obs - 1}, found {positions.min()} to "
            f"{positions.max()}."
        )
        raise ValueError(msg)
    return positions.astype(np.int64)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_architecture(
    *,
    network: str,
    image: ImageDescription | None,
    likelihood: str,
    gaussian_variance: str,
    use_bias: bool,
    use_batch_norm: bool,
    n_layers_encoder: int | None,
    use_layer_norm: bool | None,
    dropout_rate: float,
    **sizes: int,
) -> None:
    """Check the arguments that describe networks and likelihood.

    Raises
    ------
    TypeError
        When one of them is of the wrong type.
    ValueError
        When one of them is out of range.
    """
    if likelihood not in LIKELIHOODS:
        msg = f"`likelihood` should be one of {list(LIKELIHOODS)}, found {likelihood!r}."
        raise ValueError(msg)
    if gaussian_variance not in get_args(GaussianVariance):
        msg = (
            f"`gaussian_variance` should be one of {list(get_args(GaussianVariance))}, found "
            f"{gaussian_variance!r}."
        )
        raise ValueError(msg)
    for name, size in sizes.items():
        check_integer(name, size, low=1)
    check_number("dropout_rate", dropout_rate, low=0, high=1, high_included=False)
    check_flag("use_bias", use_bias)
    check_flag("use_batch_norm", use_batch_norm)
    if n_layers_encoder is not None:
        check_integer("n_layers_encoder", n_layers_encoder, low=1)
    if use_layer_norm is not None:
        check_flag("use_layer_norm", use_layer_norm)
    check_network(network, likelihood, image)
    if use_batch_norm and not use_bias:
        msg = (
            "`use_bias=False` asks for networks that map zero to zero, found "
            "`use_batch_norm=True`, whose offset would undo that. Choose one of the two."
        )
        raise ValueError(msg)


def check_network(network: str, likelihood: str, image: ImageDescription | None) -> None:
    """Check that the kind of network fits the data.

    Raises
    ------
    ValueError
        When there is no such kind, or the data are no images that it can take.
    """
    if network not in NETWORKS:
        msg = f"`network` should be one of {list(NETWORKS)}, found {network!r}."
        raise ValueError(msg)
    if network != "conv":
        return
    if likelihood not in ("gaussian", "bernoulli"):
        msg = (
            "`network='conv'` decodes images, for which `likelihood` should be 'gaussian' or "
            f"'bernoulli', found {likelihood!r}. Choose one of these, or `network='dense'`."
        )
        raise ValueError(msg)
    if image is None:
        msg = (
            "`network='conv'` needs images, found data without `adata.uns['image']`. Make them "
            "with `images.to_anndata` and register them again, or choose `network='dense'`."
        )
        raise ValueError(msg)
    height, width = image.shape[:2]
    if height % CONV_STRIDE or width % CONV_STRIDE:
        msg = (
            f"`network='conv'` needs images whose height and width are multiples of {CONV_STRIDE}, "
            f"found {height} x {width}. Crop, pad or resize them, or choose `network='dense'`."
        )
        raise ValueError(msg)

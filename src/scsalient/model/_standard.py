"""The ordinary VAE, the paper's comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scvi.data import AnnDataManager

from scsalient import _keys
from scsalient.model._base import check_architecture
from scsalient.model._criticism import CriticismMixin
from scsalient.model._decoding import DecodingMixin
from scsalient.model._defaults import with_defaults
from scsalient.model._fields import as_list, check_columns, check_setup, shared_fields
from scsalient.model._latents import LatentsMixin
from scsalient.model._training import TrainingMixin
from scsalient.module import StandardVAEModule

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from anndata import AnnData


class StandardVAE(TrainingMixin, LatentsMixin, DecodingMixin, CriticismMixin):
    """Ordinary variational autoencoder with the networks and likelihoods of the contrastive one.

    It knows no conditions: as in the paper, train it on the target cells alone to see what a
    method without a background finds.

    Parameters
    ----------
    adata
        Data registered with :meth:`setup_anndata`.
    n_latent
        Dimensions of the latent.
    n_hidden, n_layers, n_layers_encoder, likelihood, network, gaussian_variance, use_bias, \
dropout_rate, use_batch_norm, use_layer_norm
        As in :class:`ContrastiveVAE`, whose background encoder is the encoder here.

    Examples
    --------
    >>> import scsalient as sal
    >>> adata = sal.datasets.simulate(300, n_genes=50, seed=0)
    >>> sal.StandardVAE.setup_anndata(adata)
    >>> model = sal.StandardVAE(adata, n_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> model.embed()
    >>> adata.obsm["X_vae"].shape
    (300, 2)
    """

    _module_cls = StandardVAEModule

    def __init__(
        self,
        adata: AnnData | None = None,
        *,
        n_latent: int = 10,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_layers_encoder: int | None = None,
        likelihood: Literal["gaussian", "bernoulli", "poisson", "nb", "zinb"] | None = None,
        network: Literal["dense", "conv"] = "dense",
        gaussian_variance: Literal["fixed", "learned"] = "learned",
        use_bias: bool | None = None,
        dropout_rate: float = 0.0,
        use_batch_norm: bool = False,
        use_layer_norm: bool | None = None,
        registry: dict | None = None,
    ) -> None:
        super().__init__(adata, registry)
        likelihood, use_bias = with_defaults(
            self._image, likelihood=likelihood, use_bias=use_bias, use_batch_norm=use_batch_norm
        ).values()
        check_architecture(
            network=network,
            image=self._image,
            likelihood=likelihood,
            gaussian_variance=gaussian_variance,
            use_bias=use_bias,
            use_batch_norm=use_batch_norm,
            use_layer_norm=use_layer_norm,
            dropout_rate=dropout_rate,
            n_latent=n_latent,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_layers_encoder=n_layers_encoder,
        )
        self.module = self._module_cls(
            n_background_latent=n_latent,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_layers_encoder=n_layers_encoder,
            likelihood=likelihood,
            network=network,
            gaussian_variance=gaussian_variance,
            use_bias=use_bias,
            dropout_rate=dropout_rate,
            use_batch_norm=use_batch_norm,
            use_layer_norm=use_layer_norm,
            **self._network_sizes(),
        )
        self._model_summary_string = (
            f"StandardVAE with {n_latent} latent dimensions and likelihood {likelihood}"
        )
        self.init_params_ = self._get_init_params(locals())
        self._start_from_data()

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        layer: str | None = None,
        batch_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register data for the model.

        Parameters
        ----------
        adata, layer, batch_key, size_factor_key, categorical_covariate_keys, \
continuous_covariate_keys
            As in :meth:`ContrastiveVAE.setup_anndata`.
        **kwargs
            For scvi-tools, when it loads a model.

        Raises
        ------
        KeyError
            When a column or layer is missing.
        TypeError
            When ``adata`` is not an AnnData, its values are not numeric, or an argument is of the
            wrong type.
        ValueError
            When a column has missing values.

        Returns
        -------
        `None`. Writes scvi-tools' registration columns, ``.obs["_scvi_..."]``.
        """
        categorical_covariate_keys = as_list(categorical_covariate_keys)
        continuous_covariate_keys = as_list(continuous_covariate_keys)
        setup_method_args = cls._get_setup_method_args(**locals())
        columns: dict[str, Any] = {
            "layer": layer,
            "batch_key": batch_key,
            "size_factor_key": size_factor_key,
            "categorical_covariate_keys": categorical_covariate_keys,
            "continuous_covariate_keys": continuous_covariate_keys,
        }
        check_setup(adata, kwargs)
        check_columns(adata, **columns)
        manager = AnnDataManager(
            fields=shared_fields(**columns), setup_method_args=setup_method_args
        )
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    def _groups(self) -> dict[str, np.ndarray]:
        return {"registered": np.arange(self.adata.n_obs)}

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        *,
        give_mean: bool = True,
        n_samples: int = 1,
        return_dist: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Latents of cells.

        Parameters
        ----------
        adata, indices, give_mean, n_samples, return_dist, batch_size
            As in :meth:`ContrastiveVAE.get_latent_representation`.

        Returns
        -------
        As there, shape ``(n_cells, n_latent)``.

        Raises
        ------
        KeyError, TypeError, ValueError
            As there.
        """
        return self._latent(
            adata,
            "background",
            indices=indices,
            give_mean=give_mean,
            n_samples=n_samples,
            return_dist=return_dist,
            batch_size=batch_size,
        )

    def embed(self, adata: AnnData | None = None, *, batch_size: int | None = None) -> None:
        """Write the latents into the data.

        Parameters
        ----------
        adata
            Data to embed; `None` for those of the model.
        batch_size
            Cells at a time.

        Returns
        -------
        `None`. Writes ``.obsm["X_vae"]``, shape ``(n_cells, n_latent)``.

        Raises
        ------
        KeyError, TypeError, ValueError
            As in :meth:`ContrastiveVAE.embed`.
        """
        adata = self._validated(adata)
        adata.obsm[_keys.OBSM_VAE] = self.get_latent_representation(adata, batch_size=batch_size)

    def sweep(
        self,
        dims: Sequence[int] | None = None,
        *,
        limits: tuple[float, float] = (-2.0, 2.0),
        n_steps: int = 7,
        batch: Hashable | None = None,
        library_size: float | Literal["observed"] = 1e4,
    ) -> AnnData:
        """Decode a grid over the latents.

        Parameters
        ----------
        dims, limits, n_steps, batch, library_size
            As in :meth:`ContrastiveVAE.sweep`.

        Returns
        -------
        Expected data at each point of the grid, with its coordinates in ``.obs["latent_0"]`` and
        so on.

        Raises
        ------
        ValueError
            When dimensions or limits are out of range, or the model has no data.
        """
        return self._sweep(
            "background",
            dims=dims,
            limits=limits,
            n_steps=n_steps,
            batch=batch,
            library_size=library_size,
        )

    def generate(
        self,
        n: int,
        *,
        batch: Hashable | None = None,
        library_size: float | Literal["observed"] = "observed",
        give_mean: bool = False,
    ) -> AnnData:
        """Draw new cells from the prior.

        Where ``scvi.settings.seed`` is set, each call draws the same ones.

        Parameters
        ----------
        n, batch, library_size, give_mean
            As in :meth:`ContrastiveVAE.generate`.

        Returns
        -------
        New cells, shape ``(n, n_vars)``, with their latents in ``.obsm["X_vae"]``.

        Raises
        ------
        ValueError
            When an argument is out of range, or the model has no data.
        """
        return self._generate(
            n,
            ("background",),
            indices=None,
            batch=batch,
            library_size=library_size,
            give_mean=give_mean,
        )

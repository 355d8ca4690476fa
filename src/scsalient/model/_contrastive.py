"""The contrastive VAE over AnnData."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scvi import settings
from scvi.data import AnnDataManager

from scsalient import _keys
from scsalient._arguments import check_number
from scsalient._wording import counted
from scsalient.data import Role, RoleField, condition_column, warn_if_confounded
from scsalient.data._fields import roles_from_registry
from scsalient.model._base import check_architecture
from scsalient.model._criticism import CriticismMixin
from scsalient.model._decoding import DecodingMixin
from scsalient.model._defaults import with_defaults
from scsalient.model._evidence import EvidenceMixin
from scsalient.model._fields import (
    as_list,
    check_columns,
    check_setup,
    column_names,
    shared_fields,
)
from scsalient.model._latents import LatentsMixin
from scsalient.model._training import TrainingMixin
from scsalient.module import ContrastiveVAEModule
from scsalient.train import ContrastiveTrainingPlan

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from anndata import AnnData

    from scsalient.data import ConditionRoles

_FEW_CELLS = 20
_KINDS = ("salient", "background")


class ContrastiveVAE(TrainingMixin, LatentsMixin, DecodingMixin, CriticismMixin, EvidenceMixin):
    """Contrastive variational autoencoder (Abid and Zou 2019, arXiv 1902.04601).

    Splits the variation of cells into salient latents ``s``, which only target cells have, and
    background latents ``z``, which target and background cells share. Register data with
    :meth:`setup_anndata`, then :meth:`train` and :meth:`embed`; :meth:`evidence` tests whether
    there is anything to find.

    Parameters
    ----------
    adata
        Data registered with :meth:`setup_anndata`.
    n_salient_latent
        Dimensions of ``s``.
    n_background_latent
        Dimensions of ``z``.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of the decoder.
    n_layers_encoder
        Hidden layers of each encoder. `None`: two in the salient encoder; in the background
        encoder two with ``"gaussian"``, otherwise one. With ``"conv"`` the two convolutions count
        as one of them, and at least one dense layer follows.
    likelihood
        ``"nb"``, ``"zinb"`` or ``"poisson"`` for raw counts, ``"gaussian"`` for normalised
        data, ``"bernoulli"`` for values from 0 to 1. `None` for ``"nb"``, with images
        ``"gaussian"``.
    network
        ``"dense"``: fully connected networks. ``"conv"``: convolutional ones for images (paper
        app. E), whose height and width are multiples of 4; see :func:`scsalient.images.to_anndata`.
        Two convolutions of 5 x 5 with a stride of 2 and with 32 and 64 channels precede the hidden
        layers of the encoders, and transposed ones follow those of the decoder. With
        ``"gaussian"`` or ``"bernoulli"``.
    decoder
        ``"joint"``: one network of both latents, in which what ``s`` does may depend on ``z``.
        ``"additive"``: the sum of a network of ``z`` and of one of ``s``, before the link function
        (for counts a change of log expression). It denoises better and keeps the signal out of
        large background latents, and it cannot tell a response that differs between cell types
        by ``z`` alone. `None` for ``"joint"``, with images ``"additive"``.
    use_bias
        Whether linear maps have an offset. Without it a latent of zero decodes to zero, which
        the paper uses for denoising; batch and covariates still shift the outcome. `None` for an
        offset, and none with images of likelihood ``"gaussian"`` and no batch normalisation.
    dropout_rate
        Share of the hidden units that are dropped in training; 0 for none.
    use_batch_norm
        Whether the hidden layers have batch normalisation.
    use_layer_norm
        Whether the hidden layers of the encoders have layer normalisation. `None`: the salient
        encoder has, the background encoder only with ``"gaussian"``.
    gaussian_variance
        Variance of ``"gaussian"``: learned for each variable, or fixed at 1 (squared error, as
        in the paper). The learned one starts at 1 and falls slowly: after a default training it
        is still larger than what the means leave unexplained, so that draws of :meth:`generate`
        are too noisy. Take ``give_mean=True`` there, or train for longer.
    discriminator
        Classifier behind the total correlation term. ``"logistic"`` is the paper's, which
        cannot see any dependence; it is there to reproduce the paper.
    tc_weight
        Weight of the total correlation of ``s`` and ``z`` (paper eq. 5). `None` for 50, with
        images 5.
    mmd_weight
        Weight of the maximum mean discrepancy between ``z`` of target and of background cells
        (Weinberger et al. 2022), which keeps the salient signal out of ``z``.
    background_salient_weight
        Weight of the pull of the background cells' salient posterior to zero, which keeps the
        background out of ``s``.
    transplant_weight
        Weight of the transplant: the decoder adds the effect of a target cell's ``s`` to
        background cells, and the salient encoder should find that ``s`` again (its negative log
        density, in nats and up to a constant), whatever else varies.

    Notes
    -----
    The default weights and length of training were chosen on the Kang data, with the Gaussian and
    the negative binomial likelihood, on the bundled PBMC data and on simulated cells. The
    bandwidths of the discrepancy grow with the number of background dimensions, and a difference
    in one of them weighs less the more there are: a strong signal with many background
    dimensions, such as images, may need a larger weight. Images, data with ``.uns["image"]``,
    have the defaults of :data:`scsalient.images.DEFAULTS`, which were chosen on digits on grass;
    where what is salient depends on the rest, as glasses on the turn of a head, choose
    ``decoder="joint"``.

    Examples
    --------
    >>> import scsalient as sal
    >>> adata = sal.datasets.simulate(300, n_genes=50, seed=0)
    >>> sal.ContrastiveVAE.setup_anndata(adata, "condition", "control")
    >>> model = sal.ContrastiveVAE(adata, n_salient_latent=2)
    >>> model.train(max_epochs=1, enable_progress_bar=False)
    >>> model.embed()
    >>> adata.obsm["X_cvae_salient"].shape
    (300, 2)
    """

    _module_cls = ContrastiveVAEModule
    _training_plan_cls = ContrastiveTrainingPlan

    def __init__(
        self,
        adata: AnnData | None = None,
        *,
        n_salient_latent: int = 10,
        n_background_latent: int = 10,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_layers_encoder: int | None = None,
        likelihood: Literal["gaussian", "bernoulli", "poisson", "nb", "zinb"] | None = None,
        network: Literal["dense", "conv"] = "dense",
        decoder: Literal["joint", "additive"] | None = None,
        use_bias: bool | None = None,
        dropout_rate: float = 0.0,
        use_batch_norm: bool = False,
        use_layer_norm: bool | None = None,
        gaussian_variance: Literal["fixed", "learned"] = "learned",
        discriminator: Literal["mlp", "logistic"] = "mlp",
        tc_weight: float | None = None,
        mmd_weight: float = 1000.0,
        background_salient_weight: float = 1.0,
        transplant_weight: float = 1.0,
        registry: dict | None = None,
    ) -> None:
        super().__init__(adata, registry)
        likelihood, decoder, use_bias, tc_weight = with_defaults(
            self._image,
            likelihood=likelihood,
            decoder=decoder,
            use_bias=use_bias,
            tc_weight=tc_weight,
            use_batch_norm=use_batch_norm,
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
            n_salient_latent=n_salient_latent,
            n_background_latent=n_background_latent,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_layers_encoder=n_layers_encoder,
        )
        if decoder not in ("joint", "additive"):
            msg = f"`decoder` should be 'joint' or 'additive', found {decoder!r}."
            raise ValueError(msg)
        if discriminator not in ("mlp", "logistic"):
            msg = f"`discriminator` should be 'mlp' or 'logistic', found {discriminator!r}."
            raise ValueError(msg)
        weights: dict[str, Any] = {
            "tc_weight": tc_weight,
            "mmd_weight": mmd_weight,
            "background_salient_weight": background_salient_weight,
            "transplant_weight": transplant_weight,
        }
        for name, weight in weights.items():
            check_number(name, weight, low=0)
            weights[name] = float(weight)
        self.module = self._module_cls(
            n_salient_latent=n_salient_latent,
            n_background_latent=n_background_latent,
            n_hidden=n_hidden,
            n_layers=n_layers,
            n_layers_encoder=n_layers_encoder,
            likelihood=likelihood,
            network=network,
            decoder=decoder,
            gaussian_variance=gaussian_variance,
            use_bias=use_bias,
            dropout_rate=dropout_rate,
            use_batch_norm=use_batch_norm,
            use_layer_norm=use_layer_norm,
            discriminator=discriminator,
            **weights,
            **self._network_sizes(),
        )
        self._model_summary_string = self._summary(likelihood)
        self.init_params_ = self._get_init_params(locals())
        self._start_from_data()

    def _summary(self, likelihood: str) -> str:
        roles = self.roles
        target = "every other category" if roles.target is None else _as_text(roles.target)
        cells = ""
        if self.adata is not None:
            counts = np.bincount(roles.of(self.adata), minlength=3)
            cells = (
                f"\nCells: {counts[Role.TARGET]} target, {counts[Role.BACKGROUND]} background, "
                f"{counts[Role.NEITHER]} neither"
            )
        return (
            f"ContrastiveVAE with {self.module.n_salient_latent} salient and "
            f"{self.module.n_background_latent} background latent dimensions, likelihood "
            f"{likelihood}\nCondition: {roles.condition_key!r}, background "
            f"{_as_text(roles.background)}, target {target}{cells}"
        )

    @property
    def roles(self) -> ConditionRoles:
        """Condition column and the role of each of its categories, as registered.

        Returns
        -------
        A record with

        ``condition_key``
            The column of ``.obs`` with the condition.
        ``background``
            Its categories whose cells are background, a tuple.
        ``target``
            Those whose cells are target, or `None` where every other category is.
        ``known``
            All categories that had cells when the data were registered.
        ``role_of(category)``
            The role of a category: 0 for background, 1 for target, 2 for neither. One that had no
            cells then is a target.
        ``of(adata)``
            The roles of all cells of data with that column, shape ``(n_cells,)``.
        """
        fields = self.registry["field_registries"]
        return roles_from_registry(fields[_keys.TENSOR_ROLE]["state_registry"])

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        condition_key: str,
        background: Hashable | Sequence[Hashable],
        *,
        target: Hashable | Sequence[Hashable] | None = None,
        layer: str | None = None,
        batch_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register data: which cells are target, which background, and what else to use.

        Parameters
        ----------
        adata
            Cells by variables, shape ``(n_cells, n_vars)``; not a view.
        condition_key
            Column of ``.obs`` with the condition of each cell.
        background
            Category of the background cells (control), or a list of categories.
        target
            Category of the target cells, or a list; `None` for every other one. Cells of
            neither stay out of training and can still be embedded. The roles survive ``save``
            and ``load``; a condition that is new in query data is a target.
        layer
            Layer with the values, `None` for ``.X``. Raw counts for count likelihoods. Where
            ``.uns["image"]`` says that they are images from 0 to 255, the model sees 0 to 1.
        batch_key
            Column of ``.obs`` with the batch, which encoders and decoder condition on.
        size_factor_key
            Column of ``.obs`` with size factors, in any unit, used instead of the total of each
            cell.
        categorical_covariate_keys
            Further columns of ``.obs`` with categories that encoders and decoder condition on.
        continuous_covariate_keys
            Further columns of ``.obs`` with numbers that encoders and decoder condition on. They
            are standardised inside the model, by the cells that it is made with.
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
            When a column has missing values, a category is unknown, or a group has no cells.

        Warns
        -----
        UserWarning
            When the batch or a covariate coincides with the condition, the mean of a continuous
            covariate differs by more than a standard deviation between the groups, or a group has
            fewer than 20 cells.

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
        role_field = RoleField(condition_key, background, target)
        manager = AnnDataManager(
            fields=[role_field, *shared_fields(**columns)], setup_method_args=setup_method_args
        )
        manager.register_fields(adata, **kwargs)
        if not kwargs.get("source_registry"):
            roles = adata.obs[role_field.attr_key].to_numpy()
            _warn_if_few(roles)
            warn_if_confounded(
                adata,
                roles,
                batch_key=batch_key,
                categorical_covariate_keys=categorical_covariate_keys,
                continuous_covariate_keys=continuous_covariate_keys,
                stacklevel=settings.warnings_stacklevel + 1,
            )
        cls.register_manager(manager)

    def _registered_roles(self, adata: AnnData) -> np.ndarray:
        """Role of each cell as it was registered, shape ``(n_cells,)``."""
        manager = self.get_anndata_manager(adata, required=True)
        return np.asarray(manager.get_from_registry(_keys.TENSOR_ROLE)).ravel()

    def _groups(self) -> dict[str, np.ndarray]:
        roles = self._registered_roles(self._validated(None, new_categories=True))
        return {
            role.name.lower(): np.flatnonzero(roles == role)
            for role in (Role.TARGET, Role.BACKGROUND)
        }

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        kind: Literal["salient", "background"] = "salient",
        *,
        give_mean: bool = True,
        n_samples: int = 1,
        return_dist: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Salient or background latents of cells.

        Parameters
        ----------
        adata
            Data; `None` for those of the model. Other data are registered on the fly.
        indices
            Positions of cells, or a mask; `None` for all.
        kind
            ``"salient"`` for ``s``, ``"background"`` for ``z``.
        give_mean
            Whether to return the mean of the posterior rather than draws from it.
        n_samples
            Number of independent draws, with ``give_mean=False``. If ``scvi.settings.seed`` is set,
            each call gives the same ones, those of the two latents independent of each other.
        return_dist
            Whether to return mean and variance of the posterior.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.

        Returns
        -------
        Shape ``(n_cells, n_latent)``; ``(n_samples, n_cells, n_latent)`` for more than one
        draw; two such arrays, mean and variance, with ``return_dist=True``. The decoder takes
        ``s`` of background cells for zero. The encoder gives them one all the same, which training
        pulls towards zero, and it is returned as it is.

        Raises
        ------
        KeyError
            When ``adata`` lacks a layer or a column of the registration.
        TypeError
            When ``adata`` is not an AnnData, or a number is of the wrong type.
        ValueError
            When ``kind`` is unknown, draws are asked for together with the mean, ``indices`` are
            out of range, or ``adata`` has other genes, another order of them, batches or
            categories unseen in training, or values that do not fit the likelihood.
        """
        if kind not in _KINDS:
            msg = f"`kind` should be 'salient' or 'background', found {kind!r}."
            raise ValueError(msg)
        return self._latent(
            adata,
            kind,
            indices=indices,
            give_mean=give_mean,
            n_samples=n_samples,
            return_dist=return_dist,
            batch_size=batch_size,
        )

    def embed(self, adata: AnnData | None = None, *, batch_size: int | None = None) -> None:
        """Write both latents into the data.

        Parameters
        ----------
        adata
            Data to embed; `None` for those of the model. Other data are registered on the fly.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.

        Returns
        -------
        `None`. Writes

        ``.obsm["X_cvae_salient"]``
            Salient latents, shape ``(n_cells, n_salient_latent)``. The decoder takes those of
            background cells for zero; here is what the encoder gives them, which training pulls
            towards zero.
        ``.obsm["X_cvae_background"]``
            Background latents, shape ``(n_cells, n_background_latent)``.
        ``.uns["cvae"]``
            Condition column and categories of each role.

        Raises
        ------
        KeyError
            When ``adata`` lacks a layer or a column of the registration.
        TypeError
            When ``adata`` is not an AnnData, or ``batch_size`` not an integer.
        ValueError
            When the condition was changed after it was registered, or ``adata`` has other genes,
            another order of them, batches or categories unseen in training, or values that do not
            fit the likelihood.
        """
        adata = self._validated(adata)
        # By the names that the categories have now, and as the column writes them
        roles = self._registered_roles(adata)
        column = condition_column(adata, self.roles.condition_key)
        named = {
            role: column.astype(str)[roles == role].unique().tolist()
            for role in (Role.TARGET, Role.BACKGROUND)
        }
        both = sorted(set(named[Role.TARGET]) & set(named[Role.BACKGROUND]))
        if both:
            msg = (
                f"`adata.obs[{self.roles.condition_key!r}]` should be as it was registered, found "
                f"target and background cells of {both}. Register the data anew for a new model."
            )
            raise ValueError(msg)
        kinds: tuple[tuple[Literal["salient", "background"], str], ...] = (
            ("salient", _keys.OBSM_SALIENT),
            ("background", _keys.OBSM_BACKGROUND),
        )
        for kind, key in kinds:
            adata.obsm[key] = self.get_latent_representation(
                adata, kind=kind, batch_size=batch_size
            )
        adata.uns[_keys.UNS_CVAE] = {
            "condition_key": self.roles.condition_key,
            "background": named[Role.BACKGROUND] or _as_text(self.roles.background),
            "target": named[Role.TARGET],
        }

    @torch.inference_mode()
    def denoise(
        self,
        adata: AnnData | None = None,
        *,
        keep: Literal["salient", "background"] = "salient",
        method: Literal["zero", "difference"] = "zero",
        indices: Sequence[int] | np.ndarray | None = None,
        batch: Hashable | None = None,
        library_size: float | Literal["observed"] = 1e4,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Decode cells with only one of their two latents.

        This is task 3 of the paper (section 3).

        Parameters
        ----------
        adata
            Data; `None` for those of the model.
        keep
            Latent to keep: ``"salient"``, or ``"background"``, which shows cells as if they had not
            responded.
        method
            ``"zero"``: decode with the other latent at zero, as the paper does with networks
            without biases (``use_bias=False``); with biases, what is kept comes on top of an
            average cell.
            ``"difference"``: what the kept latent adds, decode(s, z) minus decode with the kept
            latent at zero.
        indices
            Positions of cells, or a mask; `None` for all.
        batch
            Batch to decode in; `None` for each cell's own. Cells are always encoded in their
            own.
        library_size
            For counts: expected total of each decoded cell, or ``"observed"`` for its own. Where a
            size factor was registered, totals are about that, and with ``"zinb"`` they are before
            dropout.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.

        Returns
        -------
        Expected values, shape ``(n_cells, n_vars)``, in the units of the data: 0 to 255 for 8-bit
        images. The salient latent of background cells is zero.

        Raises
        ------
        KeyError
            When ``adata`` lacks a layer or a column of the registration.
        TypeError
            When ``adata`` is not an AnnData, or ``batch_size`` not an integer.
        ValueError
            When ``keep`` or ``method`` is unknown, ``batch`` is not one that was registered and
            seen in training, ``library_size`` is not positive, ``indices`` are out of range, or
            ``adata`` has other genes, another order of them, batches or categories unseen in
            training, or values that do not fit the likelihood.
        """
        if keep not in _KINDS:
            msg = f"`keep` should be 'salient' or 'background', found {keep!r}."
            raise ValueError(msg)
        if method not in ("zero", "difference"):
            msg = f"`method` should be 'zero' or 'difference', found {method!r}."
            raise ValueError(msg)
        self._check_if_trained(warn=True)
        code = self._batch_code(batch)
        adata = self._validated(adata)
        blocks = []
        for tensors in self._minibatches(adata, indices, batch_size):
            posteriors = self.module.posteriors(tensors)
            latents = {kind: posterior.mean for kind, posterior in posteriors.items()}
            latents["salient"] = latents["salient"] * self.module.is_target(tensors)[:, None]
            covariates = self._with_batch(self.module.covariates(tensors), code)
            library = self._library_or(self.module.library(tensors), library_size)
            if method == "zero":
                block = self._decoded({keep: latents[keep]}, covariates, library)
            else:
                (other,) = (kind for kind in latents if kind != keep)
                block = self._decoded(latents, covariates, library)
                block -= self._decoded({other: latents[other]}, covariates, library)
            blocks.append(block)
        return np.concatenate(blocks)

    def sweep(
        self,
        dims: Sequence[int] | None = None,
        *,
        limits: tuple[float, float] = (-2.0, 2.0),
        n_steps: int = 7,
        batch: Hashable | None = None,
        library_size: float | Literal["observed"] = 1e4,
    ) -> AnnData:
        """Decode a grid over the salient latents, with the background latents at zero.

        This is task 2 of the paper (section 3).

        Parameters
        ----------
        dims
            Salient dimensions to vary, counted from 0 as in ``.obs["salient_0"]``; the others stay
            at zero. `None` for the first two. Figures of :func:`scsalient.pl.salient` count from 1:
            ``dims=[0]`` is their axis ``salient1``.
        limits
            First and last value of each dimension, in standard deviations of the prior.
        n_steps
            Values of each dimension.
        batch
            Batch to decode in; `None` for that of one cell of the data, whose covariates are
            used throughout.
        library_size
            For counts: expected total of each decoded cell, or ``"observed"`` for that of the same
            cell. Where a size factor was registered, totals are about that.

        Returns
        -------
        Expected data in the units of the model's, shape ``(n_steps ** len(dims), n_vars)``, the
        last dimension running fastest, with the coordinates in ``.obs["salient_0"]`` and so on.
        Images come with their ``.uns["image"]``.

        Raises
        ------
        ValueError
            When dimensions or limits are out of range, or the model has no data.
        """
        return self._sweep(
            "salient",
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
        role: Literal["target", "background"] = "target",
        batch: Hashable | None = None,
        library_size: float | Literal["observed"] = "observed",
        give_mean: bool = False,
    ) -> AnnData:
        """Draw new cells from the prior.

        Where ``scvi.settings.seed`` is set, each call draws the same ones.

        Parameters
        ----------
        n
            Number of cells.
        role
            ``"target"`` draws ``s`` and ``z``, ``"background"`` only ``z``.
        batch
            Batch to decode in; `None` to draw it, with the covariates, from cells of that role.
        library_size
            For counts: expected total of each cell, or ``"observed"`` to draw it from cells of
            that role, and of ``batch`` where that has some. Where a size factor was registered,
            totals are about that, and with ``"zinb"`` they are before dropout.
        give_mean
            Whether to return expected values rather than draws from the likelihood; with
            ``"zinb"``, those of counts that are not lost.

        Returns
        -------
        New cells in the units of the data, shape ``(n, n_vars)``, with their latents in
        ``.obsm["X_cvae_background"]`` and, for targets, ``.obsm["X_cvae_salient"]``, and, unless
        a registered column has that name, ``.obs["role"]``. Batch and covariates that they were
        decoded with are in the columns of ``.obs`` that were registered, and so is the condition
        where cells of that role have a single one. Values are in ``.X`` and in the layer that was
        registered, ``.var`` is that of the data, and images come with their ``.uns["image"]``.

        Raises
        ------
        ValueError
            When an argument is out of range, or the model has no data.
        """
        if role not in ("target", "background"):
            msg = f"`role` should be 'target' or 'background', found {role!r}."
            raise ValueError(msg)
        indices = None
        if self.adata is not None:
            indices = self._groups()[role]
            if not len(indices):
                msg = (
                    f"`role={role!r}` draws covariates and library sizes from {role} cells of the "
                    "model's data, found none. Load the model with data that have such cells."
                )
                raise ValueError(msg)
        made = self._generate(
            n,
            _KINDS if role == "target" else ("background",),
            indices=indices,
            batch=batch,
            library_size=library_size,
            give_mean=give_mean,
        )
        if _keys.OBS_ROLE not in column_names(self.registry):
            made.obs[_keys.OBS_ROLE] = role
        if indices is not None:
            key = self.registry["setup_args"]["condition_key"]
            conditions = self.adata.obs[key].iloc[indices]
            if conditions.nunique() == 1:
                made.obs[key] = conditions.iloc[np.zeros(n, dtype=int)].array
        return made


def _as_text(values: Iterable[Hashable]) -> list[str]:
    """Categories as text, for ``.uns``, where mixed types cannot be written."""
    return [str(value) for value in values]


def _warn_if_few(roles: np.ndarray) -> None:
    for role in (Role.TARGET, Role.BACKGROUND):
        n = int((roles == role).sum())
        if n < _FEW_CELLS:
            cells = counted(n, f"{role.name.lower()} cell")
            msg = (
                f"Only {cells}: too few to tell what the groups share from what they do not. Read "
                "the latents with care."
            )
            warnings.warn(msg, UserWarning, stacklevel=settings.warnings_stacklevel + 1)

"""From latents back to data: denoised, swept and generated cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

from scsalient import _keys
from scsalient._arguments import check_flag, check_integer
from scsalient.model._base import LatentModel
from scsalient.model._fields import column_names
from scsalient.nn import Covariates

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from torch import Tensor

_CHUNK_ROWS = 1024


class DecodingMixin(LatentModel):
    """Decode latents that were not, or not only, read from a cell."""

    def _batches(self) -> list[Any]:
        """Registered categories of the batch, in the order of their codes."""
        state = self.registry["field_registries"][REGISTRY_KEYS.BATCH_KEY]["state_registry"]
        return np.asarray(state["categorical_mapping"]).tolist()

    def _batch_code(self, batch: Hashable | None) -> int | None:
        """Code of a batch category, or `None` for each cell's own."""
        if batch is None:
            return None
        categories = self._batches()
        if self.registry["setup_args"].get("batch_key") is None:
            msg = f"`batch` needs a `batch_key` in `setup_anndata`, found none, but {batch!r} here."
            raise ValueError(msg)
        if batch not in categories:
            msg = f"`batch` should be one of {categories}, found {batch!r}."
            raise ValueError(msg)
        code = categories.index(batch)
        (seen,) = self._seen_categories[REGISTRY_KEYS.BATCH_KEY]
        if code not in seen:
            trained_on = [categories[i] for i in seen]
            msg = f"`batch` should be one of those trained on, {trained_on}, found {batch!r}."
            raise ValueError(msg)
        return code

    def _reference_cells(
        self, n: int, batch: Hashable | None, rng: np.random.Generator, indices: np.ndarray | None
    ) -> np.ndarray:
        """Positions of real cells whose covariates and library sizes made-up ones take."""
        if self.adata is None:
            msg = (
                "Covariates and library sizes of new cells are drawn from the model's data, found "
                "none. Load the model with `adata`."
            )
            raise ValueError(msg)
        self._validated(None)
        code = self._batch_code(batch)
        pool = np.arange(self.adata.n_obs) if indices is None else indices
        if code is not None:
            # Totals differ between batches
            of_batch = pool[self._category_codes(REGISTRY_KEYS.BATCH_KEY)[pool, 0] == code]
            pool = of_batch if len(of_batch) else pool
        return rng.choice(pool, size=n)

    def _reference_rows(
        self, picked: np.ndarray, batch: Hashable | None
    ) -> tuple[Covariates, Tensor]:
        """Covariates and library sizes of cells, in their batch or in another."""
        tensors = [
            {
                key: value
                for key, value in t.items()
                # Neither the data nor their entries that are not zero
                if key != REGISTRY_KEYS.X_KEY and isinstance(value, torch.Tensor)
            }
            | {"library": self.module.library(t)}
            for t in self._minibatches(self.adata, picked, _CHUNK_ROWS)
        ]
        joined = {key: torch.cat([t[key] for t in tensors]) for key in tensors[0]}
        covariates = self._with_batch(self.module.covariates(joined), self._batch_code(batch))
        return covariates, joined["library"]

    @staticmethod
    def _with_batch(covariates: Covariates, code: int | None) -> Covariates:
        if code is None:
            return covariates
        own, *others = covariates.categories
        return Covariates((torch.full_like(own, code), *others), covariates.continuous)

    def _library_or(self, observed: Tensor, library_size: float | str) -> Tensor:
        if isinstance(library_size, str) and library_size == "observed":
            return observed
        is_number = isinstance(library_size, Real) and not isinstance(library_size, bool)
        if not (is_number and 0 < float(library_size) < math.inf):
            msg = (
                f"`library_size` should be a positive number or 'observed', found {library_size!r}."
            )
            raise ValueError(msg)
        return torch.full_like(observed, float(library_size))

    def _decoded(
        self,
        latents: dict[str, Tensor],
        covariates: Covariates,
        library: Tensor,
        *,
        draw: bool = False,
    ) -> np.ndarray:
        """Expected or drawn data in their units, chunk by chunk, shape ``(n_rows, n_vars)``."""
        blocks = []
        n_rows = library.shape[0]
        for start in range(0, n_rows, _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            continuous = covariates.continuous
            part = Covariates(
                tuple(c[rows] for c in covariates.categories),
                None if continuous is None else continuous[rows],
            )
            outputs = self.module.decode({k: v[rows] for k, v in latents.items()}, part)
            likelihood = self.module.likelihood
            block = (
                likelihood.distribution(outputs, library[rows]).sample()
                if draw
                else likelihood.expected(outputs, library[rows])
            )
            blocks.append(block.float().cpu().numpy())
        values = np.concatenate(blocks)
        if self._scale != 1:
            values *= self._scale
        return values

    @torch.inference_mode()
    def _sweep(
        self,
        kind: str,
        *,
        dims: Sequence[int] | None,
        limits: tuple[float, float],
        n_steps: int,
        batch: Hashable | None,
        library_size: float | str,
    ) -> AnnData:
        n_latent = self.module.n_latent[kind]
        if dims is None:
            dims = range(min(2, n_latent))
        dims = list(dims) if isinstance(dims, Iterable) else [dims]
        for dim in dims:
            check_integer("dims", dim, low=0, high=n_latent - 1)
        dims = [int(dim) for dim in dims]
        if not dims or len(set(dims)) < len(dims):
            msg = f"`dims` should be distinct and lie in 0..{n_latent - 1}, found {dims}."
            raise ValueError(msg)
        check_integer("n_steps", n_steps, low=1)
        ends: tuple[Any, ...] = tuple(limits) if isinstance(limits, Iterable) else (limits,)
        is_range = len(ends) == 2 and all(isinstance(end, Real) for end in ends)
        is_range = is_range and all(map(math.isfinite, ends))
        if not is_range or ends[0] > ends[1] or (ends[0] == ends[1] and n_steps > 1):
            msg = f"`limits` should be two finite numbers that rise, found {ends!r}."
            raise ValueError(msg)
        self._check_if_trained(warn=True)
        low, high = ends
        axes = np.meshgrid(*[np.linspace(low, high, n_steps)] * len(dims), indexing="ij")
        grid = np.stack([axis.ravel() for axis in axes], axis=1)
        latent = torch.zeros(len(grid), n_latent, device=self.module.device)
        latent[:, dims] = torch.as_tensor(grid, dtype=latent.dtype, device=latent.device)
        # One and the same cell at every point, so that only the latent differs.
        rng = np.random.default_rng(0)
        covariates, library = self._reference_rows(
            self._reference_cells(1, batch, rng, None), batch
        )
        n = len(grid)
        # The only latents are neither
        name = kind if len(self.module.n_latent) > 1 else "latent"
        covariates = Covariates(
            tuple(c.expand(n, -1) for c in covariates.categories),
            None if covariates.continuous is None else covariates.continuous.expand(n, -1),
        )
        library = self._library_or(library.expand(n, -1), library_size)
        values = self._decoded({kind: latent}, covariates, library)
        obs = pd.DataFrame(
            {f"{name}_{dim}": grid[:, i] for i, dim in enumerate(dims)},
            index=[str(i) for i in range(n)],
        )
        return self._made(values, obs)

    def _made(self, values: np.ndarray, obs: pd.DataFrame) -> AnnData:
        """New data with the variables of the model, and images if its data are."""
        names = list(self.get_var_names())
        var = pd.DataFrame(index=names)
        if self.adata is not None:
            # With what is told of them, as the places of pixels
            var = self.adata.var.set_axis(names)
        adata = AnnData(values, obs=obs, var=var)
        layer = self.registry["setup_args"].get("layer")
        if layer is not None:
            # Where the model looks for them
            adata.layers[layer] = adata.X.copy()
        if self._image is not None:
            adata.uns[_keys.UNS_IMAGE] = self._image.to_uns()
        return adata

    def _borrowed(self, picked: np.ndarray, batch: Hashable | None) -> pd.DataFrame:
        """Batch and covariates of made-up cells, in columns as those they are taken from."""
        arguments = self.registry["setup_args"]
        names = column_names(self.registry)
        borrowed = [
            name
            for name in dict.fromkeys(names)
            if name not in (arguments.get("condition_key"), arguments.get("size_factor_key"))
        ]
        obs = self.adata.obs[borrowed].iloc[picked].copy()
        obs.index = [f"generated_{i}" for i in range(len(picked))]
        code = self._batch_code(batch)
        if code is not None:
            key = arguments["batch_key"]
            # As it is registered: 1.0 and True are equal to 1
            values = pd.Series([self._batches()[code]] * len(obs), index=obs.index)
            categories = obs[key].dtype
            if isinstance(categories, pd.CategoricalDtype):
                known = [*categories.categories, *values.unique()]
                categories = pd.CategoricalDtype(dict.fromkeys(known), categories.ordered)
            obs[key] = values.astype(categories)
        return obs

    @torch.inference_mode()
    def _generate(
        self,
        n: int,
        kinds: Sequence[str],
        *,
        indices: np.ndarray | None,
        batch: Hashable | None,
        library_size: float | str,
        give_mean: bool,
    ) -> AnnData:
        check_integer("n", n, low=1)
        check_flag("give_mean", give_mean)
        self._check_if_trained(warn=True)
        generator = self._generator(f"generate {' and '.join(kinds)}")
        rng = np.random.default_rng(generator.initial_seed())
        device = self.module.device
        latents = {
            kind: torch.randn(n, size, generator=generator, device=device)
            for kind, size in self.module.n_latent.items()
            if kind in kinds
        }
        # Of its own: from the same seed, the noise of a Gaussian would be the latents again
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        # Distributions draw from the global generator: seed that of the device, and leave it as
        # it was
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            _seed_device(device, seed)
            picked = self._reference_cells(n, batch, rng, indices)
            covariates, library = self._reference_rows(picked, batch)
            values = self._decoded(
                latents, covariates, self._library_or(library, library_size), draw=not give_mean
            )
        made = self._made(values, self._borrowed(picked, batch))
        for kind, latent in latents.items():
            made.obsm[_obsm_of(kind, len(self.module.n_latent))] = latent.cpu().numpy()
        return made


def _seed_device(device: torch.device, seed: int) -> None:
    """Seed one device's global generator; `torch.manual_seed` seeds those of all of them."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _obsm_of(kind: str, n_kinds: int) -> str:
    if n_kinds == 1:
        return _keys.OBSM_VAE
    return {"salient": _keys.OBSM_SALIENT, "background": _keys.OBSM_BACKGROUND}[kind]

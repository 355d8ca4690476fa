"""Latents of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scsalient._arguments import check_flag, check_integer
from scsalient.model._base import LatentModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData


class LatentsMixin(LatentModel):
    """Posterior of the latents."""

    @torch.inference_mode()
    def _latent(
        self,
        adata: AnnData | None,
        kind: str,
        *,
        indices: Sequence[int] | np.ndarray | None,
        give_mean: bool,
        n_samples: int,
        return_dist: bool,
        batch_size: int | None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        check_integer("n_samples", n_samples, low=1)
        check_flag("give_mean", give_mean)
        check_flag("return_dist", return_dist)
        if n_samples > 1 and (give_mean or return_dist):
            msg = (
                f"`n_samples={n_samples}` asks for draws from the posterior, found "
                "`give_mean=True` or `return_dist=True`. Pass `give_mean=False`."
            )
            raise ValueError(msg)
        self._check_if_trained(warn=True)
        adata = self._validated(adata)
        # Looking at means leaves PyTorch's own generator as it is
        generator = None if give_mean or return_dist else self._generator(kind)
        means, variances, draws = [], [], []
        for tensors in self._minibatches(adata, indices, batch_size):
            posterior = self.module.posteriors(tensors)[kind]
            if return_dist or give_mean:
                means.append(posterior.mean.cpu())
                if return_dist:
                    variances.append(posterior.variance.cpu())
            else:
                draws.append(posterior.sample(n_samples, generator=generator).cpu())
        if return_dist:
            return torch.cat(means).numpy(), torch.cat(variances).numpy()
        if give_mean:
            return torch.cat(means).numpy()
        drawn = torch.cat(draws, dim=1).numpy()
        return drawn[0] if n_samples == 1 else drawn

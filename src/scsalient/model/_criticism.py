"""How well the model explains cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from scsalient._arguments import check_flag, check_integer
from scsalient.model._base import LatentModel
from scsalient.objective import kl_to_standard_normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from anndata import AnnData


class CriticismMixin(LatentModel):
    """ELBO and reconstruction error of cells."""

    def get_elbo(
        self,
        adata: AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        return_mean: bool = True,
        n_samples: int = 1,
        batch_size: int | None = None,
    ) -> float | np.ndarray:
        """Evidence lower bound (ELBO) of cells, in nats per cell.

        Equations 3 and 4 of the paper. As in scvi-tools, higher is better, and the history has the
        other sign. Its ``elbo_validation`` is a mean over the validation cells;
        ``elbo_train`` is one over minibatches, in which cells of the smaller group come several
        times an epoch, so that the two cannot be compared where the groups differ. In a
        contrastive model background cells count with ``s = 0`` and without the salient KL term,
        cells of neither group as targets do. The likelihood is that of the values that the model
        sees: images from 0 to 255 count as 0 to 1. For ``"bernoulli"`` with values between 0 and 1
        it is no density, and its ELBO cannot be compared with that of another likelihood.

        Parameters
        ----------
        adata
            Data; `None` for those of the model.
        indices
            Positions of cells, or a mask; `None` for all.
        return_mean
            Whether to average over the cells.
        n_samples
            Draws from the posterior that the reconstruction term is averaged over.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.

        Returns
        -------
        The mean, or one value per cell, shape ``(n_cells,)``. Of an untrained model too, with a
        warning.

        Raises
        ------
        TypeError, ValueError
            When a number is no integer of at least 1, `return_mean` is neither true nor false, or
            the data do not fit the model.
        """
        check_flag("return_mean", return_mean)
        log_prob, kl = self._elbo_terms(adata, indices, n_samples, batch_size)
        elbo = log_prob - kl
        return float(elbo.mean()) if return_mean else elbo

    def get_reconstruction_error(
        self,
        adata: AnnData | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        return_mean: bool = True,
        n_samples: int = 1,
        batch_size: int | None = None,
    ) -> float | np.ndarray:
        """Expected negative log-likelihood of cells given their latents, in nats per cell.

        Parameters
        ----------
        adata, indices, return_mean, n_samples, batch_size
            As in :meth:`get_elbo`.

        Returns
        -------
        The mean, or one value per cell, shape ``(n_cells,)``.

        Raises
        ------
        TypeError, ValueError
            As in :meth:`get_elbo`.
        """
        check_flag("return_mean", return_mean)
        log_prob, _ = self._elbo_terms(adata, indices, n_samples, batch_size)
        return float(-log_prob.mean()) if return_mean else -log_prob

    @torch.inference_mode()
    def _elbo_terms(
        self,
        adata: AnnData | None,
        indices: Sequence[int] | np.ndarray | None,
        n_samples: int,
        batch_size: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        check_integer("n_samples", n_samples, low=1)
        self._check_if_trained(warn=True)
        adata = self._validated(adata)
        generator = self._generator("posterior")
        log_probs, kls = [], []
        for tensors in self._minibatches(adata, indices, batch_size):
            posteriors = self.module.posteriors(tensors)
            draws = {k: p.sample(n_samples, generator=generator) for k, p in posteriors.items()}
            log_prob = torch.stack(
                [
                    self.module.generative(tensors, {k: d[i] for k, d in draws.items()})["log_prob"]
                    for i in range(n_samples)
                ]
            ).mean(0)
            kl = {k: kl_to_standard_normal(p.mean, p.variance) for k, p in posteriors.items()}
            if "salient" in kl:
                kl["salient"] = kl["salient"] * self.module.is_target(tensors)
            log_probs.append(log_prob.cpu())
            kls.append(torch.stack(list(kl.values())).sum(0).cpu())
        return torch.cat(log_probs).numpy(), torch.cat(kls).numpy()

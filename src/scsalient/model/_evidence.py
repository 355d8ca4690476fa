"""Whether target cells have anything that background cells lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS

from scsalient import _keys
from scsalient._arguments import check_integer, check_number
from scsalient.data import Role
from scsalient.loaders import Rows
from scsalient.model._base import LatentModel

if TYPE_CHECKING:
    from anndata import AnnData

MIN_CELLS = 20
# Share of the cells that respond where few do
FEW = 0.1
_BLOCK_VALUES = 2_000_000
# Cells of other data that are looked at for having been trained on
_MAX_COMPARED = 512


@dataclass(frozen=True, eq=False)
class SalientEvidence:
    """What the salient latents explain of cells that the model was not trained on.

    Parameters
    ----------
    target_gains, background_gains
        Gain of each held-out cell in nats, shapes ``(n_target,)`` and ``(n_background,)``: its
        log-likelihood with its salient latents less that with none.
    p_value
        Share of the random exchanges of the two roles with at least as large a difference of the
        gains.
    level
        p-value at or below which something counts as found.
    """

    target_gains: np.ndarray
    background_gains: np.ndarray
    p_value: float
    level: float

    @property
    def target_gain(self) -> float:
        """Mean gain of target cells in nats."""
        return float(self.target_gains.mean()) if len(self.target_gains) else float("nan")

    @property
    def background_gain(self) -> float:
        """Mean gain of background cells in nats; what comes about without a response."""
        return float(self.background_gains.mean()) if len(self.background_gains) else float("nan")

    @property
    def enough_cells(self) -> bool:
        """Whether there are 20 held-out cells of each role, below which nothing is decided."""
        return min(len(self.target_gains), len(self.background_gains)) >= MIN_CELLS

    @property
    def found(self) -> bool:
        """Whether the salient latents hold something that only target cells have."""
        if not self.enough_cells or self.p_value > self.level:
            return False
        return bool((_scores(self.target_gains).mean(0) > 0).any())

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        if not self.enough_cells:
            return (
                f"Cannot tell: {MIN_CELLS} held-out cells of each role are needed. Use data with "
                "more cells, or hold more of them out with a smaller `train_size`."
            )
        if self.found:
            return "Found: target cells vary in a way that background cells do not."
        return (
            "Nothing found: the salient latents explain target cells no better than background "
            "cells. Do not read structure into them."
        )

    def __str__(self) -> str:
        if not min(len(self.target_gains), len(self.background_gains)):
            return self.verdict
        return (
            f"{self.verdict} (Gain from the salient latents on held-out cells: "
            f"{self.target_gain:.2f} nats per target cell, {self.background_gain:.2f} per "
            f"background cell; {len(self.target_gains)} and {len(self.background_gains)} cells, "
            f"p = {self.p_value:.2g}.)"
        )

    __repr__ = __str__


class EvidenceMixin(LatentModel):
    """Test of the salient latents on held-out cells."""

    def _groups(self) -> dict[str, np.ndarray]:
        """Positions of the cells of each group to train on, by its name."""
        raise NotImplementedError

    def evidence(
        self,
        adata: AnnData | None = None,
        *,
        level: float = 0.01,
        n_permutations: int = 9999,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> SalientEvidence:
        r"""Test whether target cells have anything that background cells lack.

        A model always finds salient latents, also where there is nothing to find, and they always
        explain the cells that it was trained on. So the cells that it was *not* trained on are
        asked. The gain of a cell is :math:`\log p(x \mid \overline{s}, \overline{z}) - \log p(x
        \mid 0, \overline{z})` with its posterior means :math:`\overline{s}, \overline{z}`. If
        target and background cells are alike, the encoders treat both alike, and held-out cells of
        the two roles can be exchanged. The difference of their gains is therefore compared with
        that after random exchanges of the roles, within each batch. Whatever the model, the number
        of cells and the distribution of the gains, at most a share ``level`` of data with nothing
        to find then count as found.

        Where all target cells respond a little, the mean of the gains :math:`g` tells most; where
        few respond, that of :math:`\log(0.9 + 0.1 e^g)`, the log-likelihood ratio of a mixture in
        which a tenth of the cells have the salient part. What is compared is the larger of the two
        differences, each divided by its standard deviation over the exchanges.

        Parameters
        ----------
        adata
            Cells that the model was not trained on, with both roles; `None`, or the model's own
            data, for the validation and test cells of these.
        level
            p-value at or below which something counts as found, in (0, 1).
        n_permutations
            Number of random exchanges, 99 at least.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.
        seed
            Seed of the exchanges.

        Returns
        -------
        The result: ``found``, ``verdict``, ``p_value``, the mean gains ``target_gain`` and
        ``background_gain``, and the gains of the cells ``target_gains`` and
        ``background_gains``. Print it for a sentence.

        Raises
        ------
        RuntimeError
            When the model is not trained, or gives cells no finite likelihood.
        ValueError
            When the model's data are not those that it was trained on, other data have cells that
            it was trained on, or an argument is out of range.

        Notes
        -----
        "Found" means that the roles differ in a way that the salient latents show. It does not say
        why: another depth of sequencing, another donor or another mix of cell types is a
        difference too. Only what is registered as the batch is allowed for: where the batch
        coincides with the condition, nothing can be exchanged and the p-value is 1. Cells of one
        donor are not independent, and the test does not know. "Nothing found" is no proof of
        absence: a weak response, or one of a few cells, needs more cells. A model that was trained
        twice on different splits has seen the cells that it holds out.
        """
        check_number("level", level, low=0, high=1, low_included=False, high_included=False)
        check_integer("n_permutations", n_permutations, low=99)
        if not self.is_trained:
            msg = "`evidence` needs a trained model, found an untrained one. Run `train` first."
            raise RuntimeError(msg)
        data = self._validated(adata)
        if data is self.adata:
            indices = self._held_out()
        else:
            self._check_not_trained_on(data)
            indices = np.arange(data.n_obs)
        gains, roles, batches = self._salient_gains(data, indices, batch_size)
        is_target = roles == Role.TARGET
        used = is_target | (roles == Role.BACKGROUND)
        gains, is_target, batches = gains[used], is_target[used], batches[used]
        p_value = _p_value(gains, is_target, batches, n_permutations=n_permutations, seed=seed)
        return SalientEvidence(gains[is_target], gains[~is_target], p_value, level)

    def _held_out(self) -> np.ndarray:
        """Positions of the cells that were kept from training."""
        split = [self.train_indices, self.validation_indices, self.test_indices]
        parts = [np.asarray(part if part is not None else [], dtype=np.int64) for part in split]
        n_split = sum(len(part) for part in parts)
        n_used = sum(len(group) for group in self._groups().values())
        found = None
        if n_split != n_used:
            found = f"{n_used} target and background cells where training had {n_split}"
        elif self.cells_ != self._fingerprint():
            found = "cells of other names or in another order"
        if found:
            msg = (
                f"`evidence` needs the data that the model was trained on, found {found}. Pass "
                "cells that were not trained on as `adata`."
            )
            raise ValueError(msg)
        return np.sort(np.concatenate(parts[1:]))

    def _check_not_trained_on(self, adata: AnnData) -> None:
        """Check that other data have no cell of the name and the values of one trained on."""
        if self.adata is None or self.train_indices is None or self.cells_ != self._fingerprint():
            return
        trained = pd.Series(self.train_indices, self.adata.obs_names[self.train_indices])
        trained = trained[~trained.index.duplicated()]
        theirs = np.flatnonzero(adata.obs_names.isin(trained.index))[:_MAX_COMPARED]
        if not len(theirs):
            return
        ours = trained[adata.obs_names[theirs]].to_numpy(copy=True)
        values = [
            Rows.of(self.get_anndata_manager(data, required=True)).load(cells).x
            for data, cells in ((self.adata, ours), (adata, theirs))
        ]
        # As the model sees them
        one, other = ((x.toarray() if sparse.issparse(x) else x).astype(np.float32) for x in values)
        n_same = int((one == other).all(axis=1).sum())
        if n_same:
            msg = (
                "`adata` should have cells that the model was not trained on, found "
                f"{n_same} of them or more. Pass no `adata` to ask the cells of the model's data "
                "that were held out."
            )
            raise ValueError(msg)

    @torch.inference_mode()
    def _salient_gains(
        self, adata: AnnData, indices: np.ndarray, batch_size: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gain, role and batch code of cells, each of shape ``(n_cells,)``."""
        parts: list[tuple[torch.Tensor, ...]] = []
        if not len(indices):
            return np.empty(0), np.empty(0), np.empty(0)
        module = self.module
        for tensors in self._minibatches(adata, indices, batch_size):
            x, covariates = tensors[REGISTRY_KEYS.X_KEY], module.covariates(tensors)
            means = {k: p.mean for k, p in module.encode(x, covariates).items()}
            library = module.library(tensors)
            with_s, without = (
                module.likelihood.log_prob(x, module.decode(latents, covariates), library)
                for latents in (means, {"background": means["background"]})
            )
            codes = (tensors[_keys.TENSOR_ROLE], tensors[REGISTRY_KEYS.BATCH_KEY])
            parts.append((with_s - without, *(code.squeeze(-1) for code in codes)))
        gains, roles, batches = (torch.cat(p).cpu().numpy() for p in zip(*parts, strict=True))
        n_odd = int((~np.isfinite(gains)).sum())
        if n_odd:
            msg = (
                f"`evidence` needs finite likelihoods, found {n_odd} of {len(gains)} cells "
                "without. Look for extreme values, or train again with a lower learning rate."
            )
            raise RuntimeError(msg)
        return gains.astype(np.float64), roles, batches


def _scores(gains: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of each cell if all, or if few, may have a salient part, ``(n, 2)``."""
    few = np.logaddexp(np.log1p(-FEW), np.log(FEW) + gains)
    return np.stack([gains, few], axis=1)


def _p_value(
    gains: np.ndarray,
    is_target: np.ndarray,
    batches: np.ndarray,
    *,
    n_permutations: int,
    seed: int,
) -> float:
    """One-sided p-value of the larger of two standardised differences, by exchanges within batches.

    The number of target cells of a batch stays, so the sum of their scores orders the exchanges as
    the difference of the means does.
    """
    if is_target.all() or not is_target.any():
        return 1.0
    rng = np.random.default_rng(seed)
    strata = [np.flatnonzero(batches == code) for code in np.unique(batches)]
    scores = _scores(gains)
    sums = [is_target[None] @ scores]
    step = max(1, _BLOCK_VALUES // len(gains))
    for start in range(0, n_permutations, step):
        n = min(step, n_permutations - start)
        block = np.zeros((n, scores.shape[1]))
        for cells in strata:
            exchanged = rng.permuted(np.tile(is_target[cells], (n, 1)), axis=1)
            block += exchanged @ scores[cells]
        sums.append(block)
    every = np.concatenate(sums)
    # Rounding must not tell an exchange that changes nothing from the data as they are
    rounding = 1e-9 * np.abs(scores).sum(0) + np.finfo(float).tiny
    centred = every - every.mean(0)
    largest = (centred / np.maximum(centred.std(0), rounding)).max(1)
    return float((largest >= largest[0] - 1e-6).mean())

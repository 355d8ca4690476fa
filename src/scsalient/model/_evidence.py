"""Whether target cells have anything that background cells lack."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy.special import gammaln
from scvi import REGISTRY_KEYS

from scsalient import _keys
from scsalient._arguments import check_integer, check_number
from scsalient._random import generator
from scsalient.data import CATEGORY_KEYS, Role
from scsalient.loaders import Rows, fingerprint_of_cells
from scsalient.model._base import LatentModel
from scsalient.model._columns import MAX_NUMBERS, is_number, values_of
from scsalient.model._copies import signatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

MIN_CELLS = 20
# Share of the cells that respond where few do
FEW = 0.1
_BLOCK_VALUES = 2_000_000
# Of numbers that roles are exchanged within
_N_GROUPS = 10
# Cells of each number, on average, where more numbers than that are categories
_FEWEST_OF_EACH = 3
# Share of cells that may be copies of others by chance, as where few genes are measured
_MAX_COPIES = 0.1
# Number of them that is nothing to warn of
_BY_CHANCE = 3


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
    n_exchangeable
        Number of held-out target and background cells that share batch and categorical covariates
        with cells of the other role: no others can tell anything.
    smallest_p_value
        What the p-value would be if no other exchange had so large a difference.
    target_weights, background_weights
        How much each cell counts in the mean gains; `None` for the same.
    """

    target_gains: np.ndarray
    background_gains: np.ndarray
    p_value: float
    level: float
    n_exchangeable: tuple[int, int]
    smallest_p_value: float
    target_weights: np.ndarray | None = None
    background_weights: np.ndarray | None = None

    @property
    def target_gain(self) -> float:
        """Mean gain in nats of the target cells that can be exchanged, of all if none can."""
        return _mean(self.target_gains, self.target_weights)

    @property
    def background_gain(self) -> float:
        """The same of background cells, the batches weighed as among the target cells.

        It is what comes about without a response.
        """
        return _mean(self.background_gains, self.background_weights)

    @property
    def enough_cells(self) -> bool:
        """Whether 20 held-out cells of each role can be exchanged, and enough for the level."""
        return min(self.n_exchangeable) >= MIN_CELLS and self.smallest_p_value <= self.level

    @property
    def found(self) -> bool:
        """Whether the salient latents hold something that only target cells have."""
        if not self.enough_cells or self.p_value > self.level:
            return False
        scores = _scores(self.target_gains).T
        return any(_mean(score, self.target_weights) > 0 for score in scores)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        if min(len(self.target_gains), len(self.background_gains)) < MIN_CELLS:
            return (
                f"Cannot tell: {MIN_CELLS} held-out cells of each role are needed. Use data with "
                "more cells, or hold more of them out with a smaller `train_size`."
            )
        if not self.enough_cells:
            n_target, n_background = self.n_exchangeable
            return (
                "Cannot tell: roles can be exchanged only among cells of the same batch, "
                "categorical covariates and groups of `within`, and of those held out "
                f"{n_target} target and {n_background} background cells have others of both roles "
                f"there, so that p is at least {self.smallest_p_value:.2g}. Needed are {MIN_CELLS} "
                f"of each and a p of {self.level:g}: register batches that have cells of both "
                "roles, or hold more out with a smaller `train_size`."
            )
        if self.found:
            return (
                "Found: the salient latents explain target cells better than background cells. It "
                "does not say why: depth, cell types, donors or processing may differ, too."
            )
        return (
            "Nothing found: it is not shown that the salient latents explain target cells better "
            "than background cells. Do not read structure into them."
        )

    def __str__(self) -> str:
        if not min(len(self.target_gains), len(self.background_gains)):
            return self.verdict
        gains = (self.target_gains, self.background_gains)
        n_target, n_background = (
            f"{n} of {len(of_role)}" if 0 < n < len(of_role) else f"{len(of_role)}"
            for n, of_role in zip(self.n_exchangeable, gains, strict=True)
        )
        return (
            f"{self.verdict} (Gain from the salient latents on held-out cells: "
            f"{self.target_gain:.2f} nats per target cell, {self.background_gain:.2f} per "
            f"background cell; {n_target} and {n_background} cells, "
            f"p = {self.p_value:.2g}.)"
        )

    __repr__ = __str__


class EvidenceMixin(LatentModel):
    """Test of the salient latents on held-out cells."""

    def evidence(
        self,
        adata: AnnData | None = None,
        *,
        within: str | Sequence[str] | None = None,
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
        that after random exchanges of the roles, among cells of the same batch and the same
        categorical covariates, and of ``within``. Whatever the model, the number of cells and the
        distribution of the gains, at most a share ``level`` of data with nothing to find then count
        as found.

        Where all target cells respond a little, the mean of the gains :math:`g` tells most; where
        few respond, that of :math:`\log(0.9 + 0.1 e^g)`, the log-likelihood ratio of a mixture in
        which a tenth of the cells have the salient part. What is compared is the larger of the two
        differences, each divided by its standard deviation over the exchanges.

        Parameters
        ----------
        adata
            Cells that the model was not trained on, with both roles; `None`, or the model's own
            data, for the validation and test cells of these.
        within
            Column or columns of ``.obs`` within whose categories roles are exchanged, besides batch
            and categorical covariates: to see whether it is only cell types, donors or depth that
            differ. Numbers are categories if they have at most ten different values, or at most
            50 with three cells of each on average; others, such as depths, are cut into ten groups
            of as many cells each. The model need not know these columns. One that the condition
            itself changes takes the response away.
        level
            p-value at or below which something counts as found, in (0, 1).
        n_permutations
            Number of random exchanges, 99 at least, and at least ``1 / level - 1``: the smallest
            p-value is one over one more than their number.
        batch_size
            Cells at a time; `None` for ``scvi.settings.batch_size``.
        seed
            Seed of the exchanges.

        Returns
        -------
        The outcome. Print it for one sentence with the numbers. It has

        ``found``
            Whether the salient latents hold something that only target cells have: `True` if
            there are enough cells, the p-value is at most ``level``, and one of the two means of
            the target cells is positive.
        ``verdict``
            The same in a sentence: "Found", "Nothing found" or "Cannot tell", and what to do.
        ``p_value``
            Share of the exchanges with at least as large a difference, that of the data counted
            in.
        ``target_gain``, ``background_gain``
            Mean gain in nats of the held-out target and background cells that can be exchanged,
            each batch weighed as among the target cells.
        ``target_gains``, ``background_gains``
            Gain of every held-out cell, those that cannot be exchanged too, shapes
            ``(n_target,)`` and ``(n_background,)``.
        ``enough_cells``
            Whether at least 20 held-out cells of each role can be exchanged, and enough for a
            p-value as small as ``level``.
        ``n_exchangeable``
            Numbers of held-out target and background cells that share batch, categorical
            covariates and groups of ``within`` with cells of the other role.
        ``smallest_p_value``
            The smallest p-value that these cells and exchanges could give.
        ``level``
            The level that was asked for.

        Raises
        ------
        KeyError
            When there is no column of ``within``.
        RuntimeError
            When the model is not trained, or gives cells no finite likelihood.
        TypeError
            When a number is of the wrong type.
        ValueError
            When the model's data are not those that it was trained on, other data have cells that
            it was trained on, a column of ``within`` has missing values, or an argument is out of
            range.

        Warns
        -----
        UserWarning
            When more than a tenth of the cells are copies of others, of those trained on say, as
            where a group was filled up with them: copies cannot be held out. When other data have
            cells with the values of those trained on, and more than by chance.

        Notes
        -----
        "Found" means that the roles differ in a way that the salient latents show. It does not say
        why: another depth of sequencing, another donor or another mix of cell types is a
        difference too. Only what is registered as the batch or as a categorical covariate, or named
        by ``within``, is allowed for: where one coincides with the condition, nothing can be
        exchanged, and the answer is that it cannot tell. Continuous covariates are not allowed for
        unless ``within`` names them. Cells of one donor are not independent, and the test does not
        know. "Nothing found" is no proof of
        absence: a weak response, or one of a few cells, needs more cells. A model that was trained
        twice on different splits has seen the cells that it holds out, and one that was chosen by
        its loss on them has seen a little of them.
        """
        check_number("level", level, low=0, high=1, low_included=False, high_included=False)
        check_integer("n_permutations", n_permutations, low=99)
        check_integer("seed", seed, low=0)
        if not self.is_trained:
            msg = "`evidence` needs a trained model, found an untrained one. Run `train` first."
            raise RuntimeError(msg)
        if level * (n_permutations + 1) < 1:
            msg = (
                f"`n_permutations` should be at least {int(np.ceil(1 / level)) - 1} for a `level` "
                f"of {level:g}, found {n_permutations}: no p-value could be so small."
            )
            raise ValueError(msg)
        data = self._validated(adata)
        if data is self.adata:
            indices = self._held_out()
            self._warn_of_copies(indices)
        else:
            self._check_not_trained_on(data)
            indices = np.arange(data.n_obs)
        groups = _groups_within(data, within, indices)
        gains, roles, codes = self._salient_gains(data, indices, batch_size)
        codes = np.concatenate([codes, groups], axis=1)
        is_target = roles == Role.TARGET
        used = is_target | (roles == Role.BACKGROUND)
        gains, is_target, strata = gains[used], is_target[used], _strata(codes[used])
        p_value = _p_value(gains, is_target, strata, n_permutations=n_permutations, seed=seed)
        n_exchangeable, n_exchanges = _exchanges(is_target, strata)
        weights = _weights(is_target, strata)
        return SalientEvidence(
            gains[is_target],
            gains[~is_target],
            p_value,
            level,
            n_exchangeable=n_exchangeable,
            smallest_p_value=max(1 / (n_permutations + 1), 1 / n_exchanges),
            target_weights=weights[is_target],
            background_weights=weights[~is_target],
        )

    def _held_out(self) -> np.ndarray:
        """Positions of the cells that were kept from training."""
        split = [self.train_indices, self.validation_indices, self.test_indices]
        parts = [np.asarray(part if part is not None else [], dtype=np.int64) for part in split]
        n_split = sum(len(part) for part in parts)
        n_used = sum(len(group) for group in self._groups().values())
        if self.cells_ != fingerprint_of_cells(self.adata):
            found = "cells of other names or in another order"
            if n_used < n_split:
                found = f"{n_used} target and background cells where training had {n_split}"
            msg = (
                f"`evidence` needs the data that the model was trained on, found {found}. Pass "
                "cells that were not trained on as `adata`."
            )
            raise ValueError(msg)
        return np.sort(np.concatenate(parts[1:]))

    def _signatures(self, adata: AnnData, positions: np.ndarray) -> np.ndarray:
        return signatures(Rows.of(self.get_anndata_manager(adata, required=True)), positions)

    def _warn_of_copies(self, held_out: np.ndarray) -> None:
        """Warn where held-out cells are copies of others."""
        if not len(held_out):
            return
        every = self._signatures(self.adata, np.concatenate([held_out, self.train_indices]))
        ours = every[: len(held_out)]
        values, counts = np.unique(every, return_counts=True)
        n_copies = int(np.isin(ours, values[(counts > 1) & (values != 0)]).sum())
        if n_copies > _MAX_COPIES * len(ours):
            msg = (
                "`evidence` needs held-out cells that are no copies of others, found "
                f"{n_copies} copies among {len(ours)}: the p-value may be far too small. Take each "
                "cell once; minibatches have as many cells of each group whatever their sizes."
            )
            warnings.warn(msg, UserWarning, stacklevel=3)

    def _check_not_trained_on(self, adata: AnnData) -> None:
        """Refuse other data with cells that were trained on; warn of a few under other names."""
        if self.adata is None or self.cells_ != fingerprint_of_cells(self.adata):
            # Of the cells of training only the names are left
            n_same = adata.n_obs if self.cells_ == fingerprint_of_cells(adata) else 0
        else:
            theirs = self._signatures(adata, np.arange(adata.n_obs))
            ours = self._signatures(self.adata, np.asarray(self.train_indices))
            of_name = pd.Series(ours, self.adata.obs_names[self.train_indices])
            of_name = of_name[~of_name.index.duplicated()].reindex(adata.obs_names)
            n_same = int((of_name.to_numpy() == theirs).sum())
            n_copies = int((np.isin(theirs, ours) & (theirs != 0)).sum())
            if n_copies > _MAX_COPIES * len(theirs):
                n_same = n_copies
            # What chance makes shows among the cells of training
            _, counts = np.unique(ours, return_counts=True)
            share = counts[counts > 1].sum() / len(ours)
            if not n_same and n_copies > _BY_CHANCE + 2 * share * len(theirs):
                msg = (
                    f"`adata` has {n_copies} cells with the values of cells that the model was "
                    "trained on, under other names: the p-value may be far too small. Leave them "
                    "out."
                )
                warnings.warn(msg, UserWarning, stacklevel=3)
        if n_same:
            msg = (
                "`adata` should have cells that the model was not trained on, found "
                f"{n_same} of them. Pass no `adata` to ask the cells of the model's data that were "
                "held out."
            )
            raise ValueError(msg)

    @torch.inference_mode()
    def _salient_gains(
        self, adata: AnnData, indices: np.ndarray, batch_size: int | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gain and role of cells, shape ``(n_cells,)``, and what they can be exchanged by."""
        parts: list[tuple[torch.Tensor, ...]] = []
        if not len(indices):
            return np.empty(0), np.empty(0), np.empty((0, 1))
        module = self.module
        for tensors in self._minibatches(adata, indices, batch_size):
            x, covariates = tensors[REGISTRY_KEYS.X_KEY], module.covariates(tensors)
            means = {k: p.mean for k, p in module.encode(x, covariates).items()}
            library = module.library(tensors)
            with_s, without = (
                module.likelihood.log_prob(x, module.decode(latents, covariates), library)
                for latents in (means, {"background": means["background"]})
            )
            codes = torch.cat([tensors[key] for key in CATEGORY_KEYS if key in tensors], dim=1)
            parts.append((with_s - without, tensors[_keys.TENSOR_ROLE].squeeze(-1), codes))
        gains, roles, every = (torch.cat(p).cpu().numpy() for p in zip(*parts, strict=True))
        n_odd = int((~np.isfinite(gains)).sum())
        if n_odd:
            msg = (
                f"`evidence` needs finite likelihoods, found {n_odd} of {len(gains)} cells "
                "without. Look for extreme values, or train again with a lower learning rate."
            )
            raise RuntimeError(msg)
        return gains.astype(np.float64), roles, every


def _groups_within(
    adata: AnnData, within: str | Sequence[str] | None, indices: np.ndarray
) -> np.ndarray:
    """Codes of cells in columns of ``.obs``, shape ``(n_cells, n_columns)``."""
    keys = () if within is None else within
    needed = "a value for each cell that is asked"
    columns = values_of(adata, "within", keys, indices, needed=needed)
    codes = np.zeros((len(indices), len(columns)), dtype=np.int64)
    for i, values in enumerate(columns):
        groups = values
        if is_number(values) and not _are_categories(adata.obs[values.name]):
            groups = pd.qcut(values, _N_GROUPS, labels=False, duplicates="drop")
        codes[:, i] = pd.factorize(groups)[0]
    return codes


def _are_categories(numbers: pd.Series) -> bool:
    """Whether numbers are few and come again and again, as those of donors in `balance_keys`."""
    most = max(_N_GROUPS, min(MAX_NUMBERS, len(numbers) / _FEWEST_OF_EACH))
    return bool(numbers.nunique() <= most)


def _strata(codes: np.ndarray) -> np.ndarray:
    """Number of the combination of codes, shape ``(n_cells,)``."""
    return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)


def _exchanges(is_target: np.ndarray, strata: np.ndarray) -> tuple[tuple[int, int], float]:
    """Numbers of target and of background cells that can be exchanged, and in how many ways."""
    n = np.bincount(strata)
    n_target = np.bincount(strata, weights=is_target)
    n_background = n - n_target
    mixed = (n_target > 0) & (n_background > 0)
    logarithm = gammaln(n + 1) - gammaln(n_target + 1) - gammaln(n_background + 1)
    counts = int(n_target[mixed].sum()), int(n_background[mixed].sum())
    return counts, float(np.exp(min(logarithm.sum(), 100.0)))


def _weights(is_target: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """How much cells count in the mean of their role, shape ``(n_cells,)``.

    Only those that can be exchanged do, and background cells of a stratum together as much as its
    target cells.
    """
    n_target = np.bincount(strata, weights=is_target)
    n_background = np.bincount(strata) - n_target
    of_target = (n_background > 0).astype(float)
    of_background = n_target / np.maximum(n_background, 1)
    return np.where(is_target, of_target[strata], of_background[strata])


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Mean, of all the same where no weight is above zero; NaN of nothing."""
    if not len(values):
        return float("nan")
    if weights is not None and not weights.any():
        weights = None
    return float(np.average(values, weights=weights))


def _scores(gains: np.ndarray) -> np.ndarray:
    """Log-likelihood ratio of each cell if all, or if few, may have a salient part, ``(n, 2)``."""
    few = np.logaddexp(np.log1p(-FEW), np.log(FEW) + gains)
    return np.stack([gains, few], axis=1)


def _p_value(
    gains: np.ndarray,
    is_target: np.ndarray,
    strata: np.ndarray,
    *,
    n_permutations: int,
    seed: int,
) -> float:
    """One-sided p-value of the larger of two standardised differences, by exchanges in strata.

    The number of target cells of a stratum stays, so the sum of their scores orders the exchanges
    as the difference of the means does.
    """
    if is_target.all() or not is_target.any():
        return 1.0
    rng = generator(seed, "exchanges")
    groups = [np.flatnonzero(strata == code) for code in np.unique(strata)]
    scores = _scores(gains)
    sums = [is_target[None] @ scores]
    step = max(1, _BLOCK_VALUES // len(gains))
    for start in range(0, n_permutations, step):
        n = min(step, n_permutations - start)
        block = np.zeros((n, scores.shape[1]))
        for cells in groups:
            exchanged = rng.permuted(np.tile(is_target[cells], (n, 1)), axis=1)
            block += exchanged @ scores[cells]
        sums.append(block)
    every = np.concatenate(sums)
    # Rounding must not tell an exchange that changes nothing from the data as they are
    rounding = 1e-9 * np.abs(scores).sum(0) + np.finfo(float).tiny
    centred = every - every.mean(0)
    largest = (centred / np.maximum(centred.std(0), rounding)).max(1)
    return float((largest >= largest[0] - 1e-6).mean())

"""Likelihoods of counts.

`distribution` is scvi-tools'; `log_prob`, which training spends its time in, equals that of the
distribution and is several times as fast.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import scvi.distributions
import torch
from torch import nn
from torch.nn import functional

from scsalient.likelihoods._base import Likelihood
from scsalient.likelihoods._count_terms import (
    entries,
    negative_binomial_excess,
    poisson_excess,
    zero_inflated_log_prob,
    zero_log_prob,
)
from scsalient.loaders import SparseRows
from scsalient.nn import at_least_single

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

_MIN_RATE = 1e-8
_MAX_LOG_PROPORTION = 10.0


class _Counts(Likelihood):
    """Counts with a mean of proportion times library size.

    Parameters
    ----------
    n_vars
        Number of variables.
    library_is_size_factor
        Whether the library comes from a size factor. Proportions then need not sum to one
        (exponential instead of softmax); an output of zero is a share of one in ``n_vars``.
    """

    heads: ClassVar[tuple[str, ...]] = ("proportion",)
    support = "counts"

    def __init__(self, n_vars: int, *, library_is_size_factor: bool = False) -> None:
        super().__init__()
        self.library_is_size_factor = library_is_size_factor
        self._log_n_vars = math.log(n_vars)

    def encoder_input(self, x: Tensor | SparseRows) -> Tensor | SparseRows:
        """``log(1 + x)``, for numerical range."""
        return x.map(torch.log1p) if isinstance(x, SparseRows) else torch.log1p(x)

    def expected(self, outputs: dict[str, Tensor], library: Tensor) -> Tensor:
        """Proportion times library."""
        raw = at_least_single(outputs["proportion"])
        proportion = (
            functional.hardtanh(raw - self._log_n_vars, float("-inf"), _MAX_LOG_PROPORTION).exp()
            if self.library_is_size_factor
            else functional.softmax(raw, dim=-1)
        )
        return proportion * library

    def moved(self, x: Tensor, *, before: Tensor, after: Tensor) -> Tensor:
        """Counts thinned where the mean falls, and added to where it rises, rounded at random."""
        kept = x * (after / before.clamp(min=_MIN_RATE)).clamp(max=1.0)
        # Up with the probability of the fraction, so that they stay counts and keep their mean
        return (kept + (after - before).clamp(min=0.0) + torch.rand_like(x)).floor()


class Poisson(_Counts):
    """Poisson counts."""

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Poisson distribution of each count."""
        rate = self.expected(outputs, library) + _MIN_RATE
        return scvi.distributions.Poisson(rate=rate, validate_args=False)

    def log_prob(
        self, x: Tensor | SparseRows, outputs: dict[str, Tensor], library: Tensor
    ) -> Tensor:
        """As in :class:`Likelihood`, with special functions only where a count is not zero."""
        rate = self.expected(outputs, library) + _MIN_RATE
        return poisson_excess(entries(x), rate) - rate.sum(-1)


class NegativeBinomial(_Counts):
    """Negative binomial counts with one inverse dispersion per variable."""

    def __init__(self, n_vars: int, *, library_is_size_factor: bool = False) -> None:
        super().__init__(n_vars, library_is_size_factor=library_is_size_factor)
        self.log_inverse_dispersion = nn.Parameter(torch.randn(n_vars))

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Negative binomial distribution of each count."""
        return scvi.distributions.NegativeBinomial(
            mu=self.expected(outputs, library),
            theta=self.log_inverse_dispersion.exp(),
            validate_args=False,
        )

    def log_prob(
        self, x: Tensor | SparseRows, outputs: dict[str, Tensor], library: Tensor
    ) -> Tensor:
        """As in :class:`Likelihood`, with special functions only where a count is not zero."""
        mean, theta = self.expected(outputs, library), self.log_inverse_dispersion.exp()
        return zero_log_prob(mean, theta).sum(-1) + negative_binomial_excess(
            entries(x), mean, theta
        )


class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """Negative binomial counts, some of which are lost."""

    heads = ("proportion", "dropout_logits")

    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Zero-inflated negative binomial distribution of each count."""
        return scvi.distributions.ZeroInflatedNegativeBinomial(
            mu=self.expected(outputs, library),
            theta=self.log_inverse_dispersion.exp(),
            zi_logits=at_least_single(outputs["dropout_logits"]),
            validate_args=False,
        )

    def log_prob(
        self, x: Tensor | SparseRows, outputs: dict[str, Tensor], library: Tensor
    ) -> Tensor:
        """As in :class:`Likelihood`, with special functions only where a count is not zero."""
        mean, theta = self.expected(outputs, library), self.log_inverse_dispersion.exp()
        logits = at_least_single(outputs["dropout_logits"])
        counts = entries(x)
        rest = zero_inflated_log_prob(counts, mean, theta, logits)
        return rest + negative_binomial_excess(counts, mean, theta)

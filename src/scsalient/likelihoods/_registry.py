"""Likelihoods by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from scsalient.likelihoods._continuous import Bernoulli, Gaussian
from scsalient.likelihoods._counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial

if TYPE_CHECKING:
    from scsalient.likelihoods._base import Likelihood

LikelihoodName = Literal["gaussian", "bernoulli", "poisson", "nb", "zinb"]
LIKELIHOODS: tuple[str, ...] = get_args(LikelihoodName)

_COUNTS: dict[str, type[Poisson] | type[NegativeBinomial]] = {
    "poisson": Poisson,
    "nb": NegativeBinomial,
    "zinb": ZeroInflatedNegativeBinomial,
}


def build_likelihood(
    name: LikelihoodName,
    *,
    n_vars: int,
    gaussian_variance: Literal["fixed", "learned"] = "learned",
    library_is_size_factor: bool = False,
) -> Likelihood:
    """Likelihood by name.

    Parameters
    ----------
    name
        One of ``"gaussian"``, ``"bernoulli"``, ``"poisson"``, ``"nb"``, ``"zinb"``.
    n_vars
        Number of variables.
    gaussian_variance
        Variance of ``"gaussian"``: fixed at 1, or learned for each variable.
    library_is_size_factor
        Whether counts scale with a size factor instead of the library size.

    Returns
    -------
    The likelihood.
    """
    if name == "gaussian":
        return Gaussian(n_vars, variance=gaussian_variance)
    if name == "bernoulli":
        return Bernoulli(n_vars)
    return _COUNTS[name](n_vars, library_is_size_factor=library_is_size_factor)

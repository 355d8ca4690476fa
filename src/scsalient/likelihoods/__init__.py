"""From decoder outputs to log p(x | s, z)."""

from scsalient.likelihoods._base import Likelihood
from scsalient.likelihoods._continuous import Bernoulli, Gaussian
from scsalient.likelihoods._counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from scsalient.likelihoods._registry import LIKELIHOODS, build_likelihood

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
    "build_likelihood",
]

"""What the networks condition on beside the data and the latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Covariates:
    """Covariates of the rows of a minibatch.

    Parameters
    ----------
    categories
        Codes of the batch and of each categorical covariate, each of shape ``(n_rows, 1)``.
    continuous
        Continuous covariates, shape ``(n_rows, n_continuous)``, or `None`.
    """

    categories: tuple[Tensor, ...]
    continuous: Tensor | None = None

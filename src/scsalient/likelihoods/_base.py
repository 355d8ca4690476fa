"""What every likelihood offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from scsalient.loaders import dense

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution

    from scsalient.loaders import SparseRows


class Likelihood(nn.Module):
    """Distribution of the data given the decoder's outputs.

    Attributes
    ----------
    heads
        Names of the outputs that the decoder has to give, each of shape ``(n_rows, n_vars)``.
    support
        Values that the data may take: finite numbers, numbers in [0, 1], or counts.
    """

    heads: ClassVar[tuple[str, ...]] = ()
    support: ClassVar[Literal["real", "unit", "counts"]]

    def encoder_input(self, x: Tensor | SparseRows) -> Tensor | SparseRows:
        """Data as the encoders see them."""
        return x

    @abstractmethod
    def distribution(self, outputs: dict[str, Tensor], library: Tensor) -> Distribution:
        """Distribution of each value.

        Parameters
        ----------
        outputs
            The decoder's outputs by head, each of shape ``(n_rows, n_vars)``.
        library
            Library size or size factor of each row, shape ``(n_rows, 1)``; only count
            likelihoods use it.

        Returns
        -------
        Distribution with batch shape ``(n_rows, n_vars)``.
        """

    @abstractmethod
    def expected(self, outputs: dict[str, Tensor], library: Tensor) -> Tensor:
        """Mean of each value, shape ``(n_rows, n_vars)``; dropouts of ``zinb`` not counted."""

    def moved(self, x: Tensor, *, before: Tensor, after: Tensor) -> Tensor:
        """Data as they would be with another mean, with all else that made them kept.

        Parameters
        ----------
        x
            Data, shape ``(n_rows, n_vars)``.
        before, after
            Mean of each value as it is and as it should be, of the same shape.

        Returns
        -------
        Data of the same shape and support, whose mean is `after` where that of `x` is `before`.
        """
        return x + after - before

    def log_prob(
        self,
        x: Tensor | SparseRows,
        outputs: dict[str, Tensor],
        library: Tensor,
    ) -> Tensor:
        """Log-likelihood of each row in nats, shape ``(n_rows,)``.

        Parameters
        ----------
        x
            Data, shape ``(n_rows, n_vars)``.
        outputs, library
            As in :meth:`distribution`.
        """
        return self.distribution(outputs, library).log_prob(dense(x)).sum(-1)

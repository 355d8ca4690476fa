"""Mean of the weights over the last steps of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import get_swa_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor, nn


_count_in = get_swa_multi_avg_fn()


class WeightMean:
    """Running mean of the weights of a network, and of the means that batch norm keeps.

    Attributes
    ----------
    is_swapped
        Whether the network has the mean, and its present weights wait here.
    """

    def __init__(self) -> None:
        self._mean: list[Tensor] = []
        self._n = 0
        self.is_swapped = False

    def add(self, network: nn.Module) -> None:
        """Count the present weights in."""
        weights = _weights(network)
        if self._n:
            _count_in(self._mean_beside(weights), weights, self._n)
        else:
            self._mean = [weight.clone() for weight in weights]
        self._n += 1

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        """Exchange the present weights and the mean, unless nothing was counted."""
        if self._n:
            weights = _weights(network)
            mean, present = self._mean_beside(weights), [weight.clone() for weight in weights]
            torch._foreach_copy_(weights, mean)
            # Into the same memory: a tensor made while validating could not be added to later
            torch._foreach_copy_(mean, present)
            self.is_swapped = not self.is_swapped

    def state_dict(self) -> dict[str, Any]:
        """The mean, the number of what it is of, and whether network and mean are swapped."""
        return {"mean": self._mean, "n": self._n, "is_swapped": self.is_swapped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the network has weights that are of it."""
        self._mean, self._n = list(state["mean"]), state["n"]
        self.is_swapped = state["is_swapped"]

    def _mean_beside(self, weights: list[Tensor]) -> list[Tensor]:
        """The mean, on the devices of the weights: a checkpoint is read before they move."""
        self._mean = [
            mean.to(weight.device) for mean, weight in zip(self._mean, weights, strict=True)
        ]
        return self._mean


def _weights(network: nn.Module) -> list[Tensor]:
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return [*(parameter.detach() for parameter in network.parameters()), *buffers]

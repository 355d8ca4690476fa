"""Mean of the weights over the last steps of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import get_swa_multi_avg_fn

if TYPE_CHECKING:
    from torch import Tensor, nn


class WeightMean:
    """Running mean of the weights of a network, and of the means that batch norm keeps."""

    def __init__(self) -> None:
        self._mean: list[Tensor] = []
        self._n = 0
        self._count_in = get_swa_multi_avg_fn()

    def add(self, network: nn.Module) -> None:
        """Count the present weights in."""
        weights = _weights(network)
        if self._n:
            self._count_in(self._mean, weights, self._n)
        else:
            self._mean = [weight.clone() for weight in weights]
        self._n += 1

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        """Exchange the present weights and the mean, unless nothing was counted."""
        if self._n:
            weights = _weights(network)
            present = [weight.clone() for weight in weights]
            torch._foreach_copy_(weights, self._mean)
            # Into the same memory: a tensor made while validating could not be added to later
            torch._foreach_copy_(self._mean, present)

    def state_dict(self) -> dict[str, Any]:
        """The mean and the number of what it is of."""
        return {"mean": self._mean, "n": self._n}

    def load_state_dict(self, state: dict[str, Any], network: nn.Module) -> None:
        """Go on from a state, on the devices of the network."""
        places = _weights(network) if state["n"] else []
        self._mean = [
            mean.to(place.device) for mean, place in zip(state["mean"], places, strict=True)
        ]
        self._n = state["n"]


def _weights(network: nn.Module) -> list[Tensor]:
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return [*(parameter.detach() for parameter in network.parameters()), *buffers]

"""Numbers of the networks in the precision that the terms of the objective need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """Values in single precision where the networks gave half precision; doubles stay doubles."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def full_precision(x: Tensor) -> torch.autocast:
    """Context in which products with values on this device are not taken in half precision."""
    return torch.autocast(x.device.type, enabled=False)

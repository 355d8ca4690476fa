"""Terms of the objective, as pure functions of tensors."""

from scsalient.objective._divergence import kl_to_standard_normal
from scsalient.objective._means import group_contrast, group_weights
from scsalient.objective._mmd import group_discrepancy, maximum_mean_discrepancy
from scsalient.objective._pull import expected_squared_norm
from scsalient.objective._schedules import linear_warmup
from scsalient.objective._total_correlation import (
    discriminator_logits,
    discriminator_loss,
    total_correlation,
)
from scsalient.objective._transplant import surprise

__all__ = [
    "discriminator_logits",
    "discriminator_loss",
    "expected_squared_norm",
    "group_contrast",
    "group_discrepancy",
    "group_weights",
    "kl_to_standard_normal",
    "linear_warmup",
    "maximum_mean_discrepancy",
    "surprise",
    "total_correlation",
]

"""Defaults of the models for images."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What arguments of :class:`~scsalient.ContrastiveVAE` that are `None` mean where the registered
#: data are images (:func:`~scsalient.images.to_anndata`). The salient part adds to the shared one
#: and does not depend on it, as digits lie on grass, and zero decodes to zero, so that the salient
#: part can be seen alone; biases stay with another likelihood or with batch normalisation. Where
#: the salient part does depend on the rest, as glasses on where a head looks, choose
#: ``decoder="joint"``. Chosen on digits on grass.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "likelihood": "gaussian",
        "decoder": "additive",
        "use_bias": False,
        "tc_weight": 5.0,
    }
)

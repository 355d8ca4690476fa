"""Settings of the contrastive VAE for images that lie over each other."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Arguments of :class:`~scsalient.ContrastiveVAE` for images in which what is salient lies over
#: something that both groups share, as digits lie on grass: ``ContrastiveVAE(adata, **OVERLAY)``.
#: The salient part adds to the shared one and does not depend on it, and zero decodes to zero, so
#: that the salient part can be seen alone. Where it does depend on the rest, as glasses on where
#: a head looks, leave ``decoder`` as it is. Chosen on digits on grass.
OVERLAY: Mapping[str, Any] = MappingProxyType(
    {
        "likelihood": "gaussian",
        "decoder": "additive",
        "use_bias": False,
        "tc_weight": 5.0,
    }
)

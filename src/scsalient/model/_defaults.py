"""Defaults that depend on what the data are."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scsalient import images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scsalient.images import ImageDescription

#: Where the data are no images
CELL_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"likelihood": "nb", "decoder": "joint", "use_bias": True, "tc_weight": 50.0}
)


def with_defaults(image: ImageDescription | None, **arguments: Any) -> dict[str, Any]:
    """Arguments of a model, with the default for the kind of data instead of `None`.

    Parameters
    ----------
    image
        What the registered data are as images, `None` if they are none.
    **arguments
        The arguments of :data:`CELL_DEFAULTS` that the model has, and ``use_batch_norm``.

    Returns
    -------
    The same arguments without ``use_batch_norm``.
    """
    use_batch_norm = arguments.pop("use_batch_norm")
    defaults = CELL_DEFAULTS if image is None else images.DEFAULTS
    known = {name: defaults[name] if x is None else x for name, x in arguments.items()}
    if arguments["use_bias"] is None and (use_batch_norm or known["likelihood"] != "gaussian"):
        # Batch normalisation has an offset; to other likelihoods zero is not black but one half
        known["use_bias"] = CELL_DEFAULTS["use_bias"]
    return known

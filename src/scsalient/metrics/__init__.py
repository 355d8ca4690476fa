"""How well latents separate what they should, and only that."""

from scsalient.metrics._independence import independence
from scsalient.metrics._labels import leakage, silhouette

__all__ = ["independence", "leakage", "silhouette"]

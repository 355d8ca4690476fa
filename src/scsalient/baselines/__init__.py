"""The linear answer, in a second, to compare with."""

from scsalient.baselines._contrastive_pca import contrastive_pca

__all__ = ["contrastive_pca"]

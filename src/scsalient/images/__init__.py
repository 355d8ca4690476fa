"""Image arrays to and from AnnData."""

from scsalient.images._arrays import from_anndata, to_anndata
from scsalient.images._description import ImageDescription, describe
from scsalient.images._overlay import OVERLAY

__all__ = ["OVERLAY", "ImageDescription", "describe", "from_anndata", "to_anndata"]

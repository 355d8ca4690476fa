"""Image arrays to and from AnnData."""

from scsalient.images._arrays import from_anndata, to_anndata
from scsalient.images._description import ImageDescription, describe

__all__ = ["ImageDescription", "describe", "from_anndata", "to_anndata"]

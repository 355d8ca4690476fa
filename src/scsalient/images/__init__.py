"""Image arrays to and from AnnData."""

from scsalient.images._arrays import from_anndata, to_anndata
from scsalient.images._defaults import DEFAULTS
from scsalient.images._description import ImageDescription, describe

__all__ = ["DEFAULTS", "ImageDescription", "describe", "from_anndata", "to_anndata"]

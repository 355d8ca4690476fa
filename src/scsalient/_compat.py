"""Private names of scvi-tools, which move between releases: nowhere else."""

from scvi.data._constants import _SCVI_UUID_KEY as SCVI_UUID_KEY

__all__ = ["SCVI_UUID_KEY"]

"""What a user holds."""

from scsalient.model._contrastive import ContrastiveVAE
from scsalient.model._defaults import CELL_DEFAULTS
from scsalient.model._standard import StandardVAE

__all__ = ["CELL_DEFAULTS", "ContrastiveVAE", "StandardVAE"]

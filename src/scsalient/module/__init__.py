"""Networks, likelihood and objective as scvi-tools modules."""

from scsalient.module._base import LatentModule, Posterior
from scsalient.module._contrastive import ContrastiveVAEModule
from scsalient.module._groups import Groups
from scsalient.module._standard import StandardVAEModule

__all__ = ["ContrastiveVAEModule", "Groups", "LatentModule", "Posterior", "StandardVAEModule"]

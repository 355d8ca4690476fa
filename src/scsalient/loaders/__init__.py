"""From the registry to minibatches: splits and pairing."""

from scsalient.loaders._pairing import PairedBatches, UnpairedBatches
from scsalient.loaders._splits import RoleDataSplitter

__all__ = ["PairedBatches", "RoleDataSplitter", "UnpairedBatches"]

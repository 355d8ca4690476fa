"""From the registry to minibatches: splits, pairing and reading."""

from scsalient.loaders._balance import common_shares
from scsalient.loaders._batches import BatchLoader, Minibatches
from scsalient.loaders._pairing import ConsecutiveBatches, PairedBatches, UnpairedBatches
from scsalient.loaders._rows import Rows, RowsOnDevice
from scsalient.loaders._sparse_rows import SparseRows, dense
from scsalient.loaders._splits import RoleDataSplitter, fingerprint_of_cells

__all__ = [
    "BatchLoader",
    "ConsecutiveBatches",
    "Minibatches",
    "PairedBatches",
    "RoleDataSplitter",
    "Rows",
    "RowsOnDevice",
    "SparseRows",
    "UnpairedBatches",
    "common_shares",
    "dense",
    "fingerprint_of_cells",
]

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
from anndata import AnnData

if TYPE_CHECKING:
    from collections.abc import Iterator


def _registered() -> dict[int, AnnData]:
    gc.collect()
    data = [x for x in gc.get_objects() if issubclass(type(x), AnnData)]
    return {id(adata): adata for adata in data if "_scvi_uuid" in adata.uns}


@pytest.fixture
def forgets_data() -> Iterator[None]:
    """Data that a test registered are gone when it is done."""
    before = _registered()
    yield
    assert _registered().keys() <= before.keys()

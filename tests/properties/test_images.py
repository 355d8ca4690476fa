"""Images go to AnnData and back without loss, whatever their shape and type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scsalient import images

DTYPES = st.sampled_from([np.uint8, np.float32, np.float64])


def arrays(dtype):
    elements = (
        None if dtype is np.uint8 else st.floats(-1e6, 1e6, width=32 if dtype is np.float32 else 64)
    )
    shape = hnp.array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=5)
    return hnp.arrays(dtype, shape, elements=elements)


@pytest.mark.filterwarnings("ignore:`images` should have shape:UserWarning")
@given(DTYPES.flatmap(arrays))
def test_there_and_back(array):
    adata = images.to_anndata(array, np.arange(len(array)), layers={"again": array})
    for key in (None, "again"):
        back = images.from_anndata(adata, key)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    description = images.describe(adata)
    assert description.shape == array.shape[1:]
    low, high = description.value_range
    assert low <= array.min() <= array.max() <= high
    assert list(adata.obs["label"]) == list(range(len(array)))

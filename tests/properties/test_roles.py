"""Roles of the conditions, for any column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from scsalient.data import ConditionRoles, Role, RoleField, resolve_roles
from scsalient.data._fields import roles_from_registry

CATEGORIES = st.one_of(
    st.lists(st.text("abcé ", max_size=3), min_size=2, max_size=6, unique=True),
    st.lists(st.integers(-5, 5), min_size=2, max_size=6, unique=True),
)


@st.composite
def conditions(draw):
    """A column, its background categories, and its target categories or `None`."""
    categories = draw(CATEGORIES)
    cells = categories + draw(st.lists(st.sampled_from(categories), max_size=20))
    cells = draw(st.permutations(cells))
    n_background = draw(st.integers(1, len(categories) - 1))
    n_target = draw(st.integers(1, len(categories) - n_background))
    target = categories[n_background : n_background + n_target]
    return cells, categories[:n_background], draw(st.sampled_from([None, target]))


def data(cells) -> AnnData:
    index = [str(i) for i in range(len(cells))]
    return AnnData(np.ones((len(cells), 1)), obs=pd.DataFrame({"condition": cells}, index=index))


def expected(cell, background, target) -> Role:
    if cell in background:
        return Role.BACKGROUND
    return Role.TARGET if target is None or cell in target else Role.NEITHER


@given(conditions(), st.booleans())
def test_every_cell_has_the_role_of_its_category(condition, categorical):
    cells, background, target = condition
    adata = data(cells)
    if categorical:
        adata.obs["condition"] = adata.obs["condition"].astype("category")
    roles = resolve_roles(adata, "condition", background, target=target)
    assert list(roles.of(adata)) == [expected(cell, background, target) for cell in cells]


@given(conditions())
def test_roles_survive_the_registry(condition):
    cells, background, target = condition
    adata = data(cells)
    state = RoleField("condition", background, target).register_field(adata)
    roles = roles_from_registry(state)
    assert roles == resolve_roles(adata, "condition", background, target=target)
    np.testing.assert_array_equal(adata.obs["_scvi_role"], roles.of(adata))


@given(conditions())
def test_a_new_category_is_a_target(condition):
    cells, background, target = condition
    roles = resolve_roles(data(cells), "condition", background, target=target)
    assert roles.role_of("something new") == Role.TARGET


@given(conditions())
def test_an_overlap_or_an_unknown_category_is_refused(condition):
    cells, background, _ = condition
    with pytest.raises(ValueError, match="no category in common"):
        resolve_roles(data(cells), "condition", background, target=background[:1])
    with pytest.raises(ValueError, match="should name categories"):
        resolve_roles(data(cells), "condition", [*background, "unknown"])


def test_roles_are_values():
    one, other = (ConditionRoles("c", ("a",), None, ("a", "b")) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)

"""Registered fields that carry roles and images through save, load and queries."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scvi import REGISTRY_KEYS, settings
from scvi.data.fields import BaseAnnDataField, LayerField

from scsalient import _keys, images
from scsalient.data._roles import ConditionRoles, condition_column, resolve_roles

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import rich.table
    from anndata import AnnData

#: Tensors with codes of categories: of the batch, and of each categorical covariate.
CATEGORY_KEYS = (REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.CAT_COVS_KEY)


class RoleField(BaseAnnDataField):
    """Role (background, target, neither) of each cell, derived from its condition.

    The categories are part of the state registry, so the roles survive ``save`` and ``load``,
    and query data get theirs from the same categories; a condition that is new there is a
    target.

    Parameters
    ----------
    condition_key
        Column of ``.obs`` with the condition.
    background
        Background category or categories.
    target
        Target category or categories; `None` for every other one.
    """

    def __init__(self, condition_key: str, background: Any, target: Any = None) -> None:
        super().__init__()
        self._condition_key = condition_key
        self._background = background
        self._target = target
        self._registered: tuple[pd.Index, np.ndarray, dict] | None = None

    @property
    def registry_key(self) -> str:
        """Key in the data registry, and of the tensor in a minibatch."""
        return _keys.TENSOR_ROLE

    @property
    def attr_name(self) -> str:
        """Part of AnnData that the field lives in."""
        return "obs"

    @property
    def attr_key(self) -> str:
        """Column that holds the codes."""
        return f"_scvi_{_keys.TENSOR_ROLE}"

    @property
    def is_empty(self) -> bool:
        """A role is always there."""
        return False

    def validate_field(self, adata: AnnData) -> None:
        """Check that the condition column is there and complete."""
        super().validate_field(adata)
        condition_column(adata, self._condition_key)

    def register_field(self, adata: AnnData) -> dict:
        """Resolve the roles and write their codes.

        Once: scvi-tools registers data anew after another registration, and the categories may
        have other names by then.
        """
        if self._registered is not None and adata.obs_names.equals(self._registered[0]):
            _, adata.obs[self.attr_key], state = self._registered
            return state
        roles = resolve_roles(adata, self._condition_key, self._background, target=self._target)
        state = self._write(roles, adata)
        self._registered = adata.obs_names, adata.obs[self.attr_key].to_numpy(), state
        return state

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **_kwargs: Any) -> dict:
        """Apply registered roles to other data."""
        roles = roles_from_registry(state_registry)
        present = condition_column(adata_target, roles.condition_key).unique()
        new = [str(category) for category in present if category not in roles.known]
        if new and not any(category in roles.background for category in present):
            msg = (
                f"`adata.obs[{roles.condition_key!r}]` has the categories {new}, which were not "
                f"registered and count as targets, and no background ({list(roles.background)}). "
                "If categories were renamed, name them back."
            )
            warnings.warn(msg, UserWarning, stacklevel=settings.warnings_stacklevel)
        return self._write(roles, adata_target)

    def get_summary_stats(self, state_registry: dict) -> dict:
        """Nothing that scvi-tools would list as a size."""
        return {}

    def view_state_registry(self, state_registry: dict) -> rich.table.Table | None:
        """Table of conditions and roles."""
        import rich.table

        roles = roles_from_registry(state_registry)
        table = rich.table.Table(title=f"{self.registry_key} State Registry")
        table.add_column("Source Location", style="green", justify="center")
        table.add_column("Category", style="green", justify="center")
        table.add_column("Role", style="green", justify="center")
        for category in roles.known:
            table.add_row(
                f"adata.obs[{roles.condition_key!r}]",
                str(category),
                roles.role_of(category).name.lower(),
            )
        return table

    def _write(self, roles: ConditionRoles, adata: AnnData) -> dict:
        adata.obs[self.attr_key] = roles.of(adata)
        return {
            "condition_key": roles.condition_key,
            "background": list(roles.background),
            "target": None if roles.target is None else list(roles.target),
            "known": list(roles.known),
        }


def roles_from_registry(state_registry: Any) -> ConditionRoles:
    """Roles as registered, out of the field's state registry."""
    target = state_registry["target"]
    return ConditionRoles(
        condition_key=state_registry["condition_key"],
        background=tuple(state_registry["background"]),
        target=None if target is None else tuple(target),
        known=tuple(state_registry["known"]),
    )


class ValuesField(LayerField):
    """Values of ``.X`` or of a layer and, where they are images, their shape and value range.

    Other data must then be images of the same shape and units.
    """

    def register_field(self, adata: AnnData) -> dict:
        """Register the values, and the images that they are."""
        state = super().register_field(adata)
        image = images.describe(adata)
        if image is not None:
            state[_keys.UNS_IMAGE] = {
                "shape": list(image.shape),
                "value_range": list(image.value_range),
            }
        return state

    def transfer_field(self, state_registry: dict, adata_target: AnnData, **kwargs: Any) -> dict:
        """Register other data, which are images of the same kind if the model's are."""
        expected = image_from_registry(state_registry)
        found = images.describe(adata_target)
        if not _alike(expected, found):
            entry = f"`adata.uns[{_keys.UNS_IMAGE!r}]`"
            remedy = "Copy the entry from the data of training if the pixels are the same"
            if expected is None:
                remedy = "Remove the entry if the values are those of training"
            msg = (
                f"{entry} should be that of the data that the model was trained on, "
                f"{expected or 'none'}, found {found or 'none'}. {remedy}, or convert the values."
            )
            raise ValueError(msg)
        state = super().transfer_field(state_registry, adata_target, **kwargs)
        state.pop(_keys.UNS_IMAGE, None)
        known = {k: v for k, v in state_registry.items() if k == _keys.UNS_IMAGE}
        return state | known


def _alike(expected: images.ImageDescription | None, found: images.ImageDescription | None) -> bool:
    """Whether a model of one kind of data can take the other."""
    if expected is not None and found is not None:
        return expected.shape == found.shape and expected.scale == found.scale
    given = expected or found
    # Values that count as they are need no description
    return given is None or given.scale == 1


def image_from_registry(state_registry: Any) -> images.ImageDescription | None:
    """Images as registered, out of the state registry of the values, `None` for other data."""
    entry = state_registry.get(_keys.UNS_IMAGE)
    if entry is None:
        return None
    low, high = entry["value_range"]
    return images.ImageDescription(tuple(entry["shape"]), (low, high))

"""From AnnData to registered fields: condition roles, registration and input checks."""

from scsalient.data._checks import (
    check_block,
    check_finite,
    check_values,
    data_matrix,
    row_blocks,
    warn_if_confounded,
)
from scsalient.data._fields import CATEGORY_KEYS, RoleField, ValuesField, image_from_registry
from scsalient.data._roles import ConditionRoles, Role, condition_column, resolve_roles

__all__ = [
    "CATEGORY_KEYS",
    "ConditionRoles",
    "Role",
    "RoleField",
    "ValuesField",
    "check_block",
    "check_finite",
    "check_values",
    "condition_column",
    "data_matrix",
    "image_from_registry",
    "resolve_roles",
    "row_blocks",
    "warn_if_confounded",
]

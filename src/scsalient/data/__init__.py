"""From AnnData to registered fields: condition roles, registration and input checks."""

from scsalient.data._checks import (
    check_block,
    check_finite,
    check_values,
    data_matrix,
    in_memory,
    look_raw,
    place_of,
    row_blocks,
    warn_if_confounded,
)
from scsalient.data._fields import CATEGORY_KEYS, RoleField, ValuesField, image_from_registry
from scsalient.data._roles import ConditionRoles, Role, as_python, condition_column, resolve_roles

__all__ = [
    "CATEGORY_KEYS",
    "ConditionRoles",
    "Role",
    "RoleField",
    "ValuesField",
    "as_python",
    "check_block",
    "check_finite",
    "check_values",
    "condition_column",
    "data_matrix",
    "image_from_registry",
    "in_memory",
    "look_raw",
    "place_of",
    "resolve_roles",
    "row_blocks",
    "warn_if_confounded",
]

"""From AnnData to registered fields: condition roles, registration and input checks."""

from scsalient.data._checks import (
    check_finite,
    check_values,
    data_matrix,
    row_blocks,
    warn_if_confounded,
)
from scsalient.data._fields import RoleField
from scsalient.data._roles import ConditionRoles, Role, resolve_roles

__all__ = [
    "ConditionRoles",
    "Role",
    "RoleField",
    "check_finite",
    "check_values",
    "data_matrix",
    "resolve_roles",
    "row_blocks",
    "warn_if_confounded",
]

"""Who is calling. Put by an identity policy, read by every other."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CallerKind(StrEnum):
    """A person through an application (delegated), or an application on its own."""

    USER = "user"
    APP = "app"


class Identity(msgspec.Struct, frozen=True):
    """A verified caller.

    Attributes:
        tenant: stable id of the tenant (for Entra: `tid`, a GUID).
        user: stable id of the caller within the tenant (for Entra: `oid`); for an application its service principal.
        app: id of the client application that called.
        kind: whether a person or an application calls.
        roles: application roles granted to the caller.
        scopes: delegated permissions (empty for applications).
        groups: group ids; meaningful only if `groups_known`.
        groups_known: False when the token could not carry all groups: *unknown* groups, never *no* groups.
        tenant_name: the configured name of the tenant, for people and metrics.
        department, cost_centre: from claims, by configuration.
        token_id: id of the token that proved all this (for Entra: `uti`), for the audit trail.
    """

    tenant: str
    user: str
    app: str
    kind: CallerKind
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    groups_known: bool = True
    tenant_name: str = ""
    department: str = ""
    cost_centre: str = ""
    token_id: str = ""

    def travelling(self) -> Identity:
        """What settlement needs: without the groups, which may be hundreds."""
        return msgspec.structs.replace(self, groups=frozenset()) if self.groups else self

"""What the demo identity provider says of a caller: claims shaped like those of Microsoft Entra ID.

Claims follow Microsoft's "access token claims reference" for v2.0 tokens. Names become GUIDs by UUID version 5, so that
the same name is the same tenant, user and application on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

AUTHORITY: Final = "https://login.sluicegate.test"
"""Issuers begin with it. The domain `.test` never resolves (RFC 6761): tokens of the demo cannot be meant elsewhere."""

_NAMESPACE: Final = UUID("fe7313c4-f019-5283-8cc1-3fc9df9b5639")
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 30 * 86_400


def demo_guid(kind: str, name: str) -> str:
    """`name` if it is a GUID already, else the one GUID that stands for this name of this kind."""
    try:
        return str(UUID(name)) if len(name) == 36 else str(uuid5(_NAMESPACE, f"{kind}:{name}"))
    except ValueError:
        return str(uuid5(_NAMESPACE, f"{kind}:{name}"))


GATEWAY: Final = demo_guid("application", "gateway")
"""The audience: the client id under which the gateway would be registered."""

TENANTS: Final[Mapping[str, str]] = {name: demo_guid("tenant", name) for name in ("contoso", "fabrikam")}
"""The tenants of the demo configuration."""


def issuer(tenant: str) -> str:
    """The issuer of a tenant's v2.0 tokens. `tenant` is a GUID, or the placeholder of the keys that all tenants share."""
    return f"{AUTHORITY}/{tenant}/v2.0"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is to be vouched for; names or GUIDs.

    Attributes:
        app_only: an application on its own: no user, no scope.
        application: the client application that calls.
    """

    tenant: str
    user: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    app_only: bool = False
    application: str = "notebook"
    department: str = ""


def claims(caller: Caller, *, now: int, lifetime: int, token_id: str, audience: str = GATEWAY) -> dict[str, Any]:
    """The claims of a v2.0 access token. `now` is in seconds since the epoch; a negative `lifetime` has expired."""
    tenant = demo_guid("tenant", caller.tenant)
    application = demo_guid("application", caller.application)
    subject = demo_guid("principal" if caller.app_only else "user", f"{tenant}/{caller.user}")
    begin = now if lifetime >= 0 else now + 2 * lifetime
    members: dict[str, Any] = {
        "aud": audience,
        "iss": issuer(tenant),
        "iat": begin,
        "nbf": begin,
        "exp": now + lifetime,
        "azp": application,
        "azpacr": "1" if caller.app_only else "0",
        "idtyp": "app" if caller.app_only else "user",
        "oid": subject,
        "sub": subject,
        "tid": tenant,
        "uti": token_id,
        "ver": "2.0",
    }
    if not caller.app_only:
        members |= {"name": caller.user, "preferred_username": caller.user, "scp": "access_as_user"}
    if caller.roles:
        members["roles"] = list(caller.roles)
    if caller.groups:
        members["groups"] = [demo_guid("group", f"{tenant}/{group}") for group in caller.groups]
    if caller.department:
        members["department"] = caller.department
    return members


def parse_lifetime(text: str) -> int:
    """Seconds of `90s`, `15m`, `1h`, `7d`; with a minus sign for a token that has expired already.

    Raises:
        ValueError: anything else, or more than 30 days.
    """
    match = re.fullmatch(r"(-?)([0-9]{1,7})([smhd])", text)
    if match is None:
        raise ValueError(f"expected a time such as 90s, 15m, 1h or 7d, not {text[:40]!r}")
    seconds = int(match[2]) * _UNITS[match[3]]
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"expected a time of 1s to 30d, not {text!r}")
    return -seconds if match[1] else seconds

"""What a configuration knows of callers, read from the settings of its policies whatever policies they are. Pure.

Lists named `tenants` hold the tenants that are accepted, mappings named `roles` the roles that hold permissions: so it is
with the policies `entra` and `access`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from extproc.settings import Settings


def tenants(settings: Settings) -> list[tuple[str, str]]:
    """Name (the id where there is none) and id of each tenant, in order."""
    return [
        (str(tenant.get("name") or tenant["id"]), str(tenant["id"]).lower())
        for listed in _values(settings, "tenants")
        if isinstance(listed, list)
        for tenant in listed
        if isinstance(tenant, Mapping) and "id" in tenant
    ]


def roles(settings: Settings) -> dict[str, Any]:
    """What stands at each role, in order."""
    found: dict[str, Any] = {}
    for named in _values(settings, "roles"):
        if isinstance(named, Mapping):
            found |= named
    return found


def audiences(settings: Settings) -> list[str]:
    """The audiences that tokens may have, in order."""
    return [
        audience
        for listed in _values(settings, "audiences")
        if isinstance(listed, list)
        for audience in listed
        if isinstance(audience, str)
    ]


def _values(settings: Settings, key: str) -> Iterator[Any]:
    yield from (entry.settings[key] for entry in settings.policies if key in entry.settings)

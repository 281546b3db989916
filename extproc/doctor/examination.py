"""All checks of what Envoy runs, put together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from extproc.doctor import traps
from extproc.doctor.checks.asking import asking
from extproc.doctor.checks.clusters import clusters
from extproc.doctor.checks.doors import doors as of_door
from extproc.doctor.checks.exposure import MCP_LISTENER, exposure, leads_to_admin
from extproc.doctor.checks.extension_policies import extension_policies
from extproc.doctor.checks.gateway_routes import gateway_routes
from extproc.doctor.checks.order import order
from extproc.doctor.checks.routes import routes
from extproc.doctor.checks.settling import settling
from extproc.doctor.checks.traffic import traffic
from extproc.doctor.documents import Resources
from extproc.doctor.expected import DEFAULTS, Expected
from extproc.doctor.findings import Finding, merged, of
from extproc.doctor.view import Gateway, Manager


def examine(gateway: Gateway, expected: Expected = DEFAULTS) -> list[Finding]:
    """Every finding, errors first.

    Raises:
        UnreadableError: something that had to be looked at is of a type that it cannot have.
    """
    return merged(_all(gateway, expected))


def examine_documents(resources: Resources, expected: Expected = DEFAULTS) -> list[Finding]:
    """Every finding in Kubernetes documents, errors first.

    Raises:
        UnreadableError: as above.
    """
    found = (extension_policies(resources, expected), traffic(resources, expected), gateway_routes(resources, expected))
    return merged(finding for part in found for finding in part)


def _all(gateway: Gateway, expected: Expected) -> Iterator[Finding]:
    doors = [manager for manager in gateway.managers if not _is_aside(gateway, manager)]
    if not any(manager.serves() for manager in doors):
        yield of(traps.POLICY_MISSING, "Envoy", "no listener with routes to an upstream")
    for manager in doors:
        yield from order(manager)
        yield from asking(manager, expected)
        yield from settling(gateway, manager)
        yield from of_door(gateway, manager, expected)
        yield from routes(manager, expected)
    yield from clusters(gateway)
    yield from exposure(gateway)


def _is_aside(gateway: Gateway, manager: Manager) -> bool:
    """Whether no requests of clients come in there: the far side of AI Gateway's MCP proxy, or statistics."""
    if manager.listener == MCP_LISTENER:
        return manager.address.is_local()
    return leads_to_admin(gateway, manager)

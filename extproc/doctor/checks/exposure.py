"""What else is open: the admin endpoint, MCP's own ports, listeners that judge nothing; and which Envoy this is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.expected import TESTED
from extproc.doctor.findings import Finding, of
from extproc.doctor.view import Gateway, Manager, Route

MCP_LISTENER: Final = "aigateway-mcp-backend-listener"
"""Where AI Gateway's MCP proxy goes on to MCP servers: a second listener of the same Envoy."""
MCP_PROXY_PORT: Final = 9856
_STATISTICS: Final = "/stats"


def leads_to_admin(gateway: Gateway, manager: Manager) -> bool:
    """Whether all that leaves by this connection manager goes to the admin endpoint of the same Envoy: such a listener is
    for statistics, as Envoy Gateway has one, and judges nothing."""
    serving = [route for route in manager.routes if route.serves()]
    return bool(serving) and all(_is_admin(gateway, name) for route in serving for name in route.clusters() or [""])


def _is_admin(gateway: Gateway, cluster: str) -> bool:
    places = gateway.endpoints.get(cluster, ())
    return gateway.admin is not None and bool(places) and all(place == gateway.admin for place in places)


def _shown(route: Route) -> bool:
    """Whether a route shows statistics and nothing else of the admin endpoint."""
    match, action = route.tree.at("match"), route.tree.at("route")
    path = match.text("path") or match.text("prefix") or match.text("path_separated_prefix")
    rewritten = any(
        action.has(name) for name in ("prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite")
    )
    return path.startswith(_STATISTICS) and not rewritten


def exposure(gateway: Gateway) -> Iterator[Finding]:
    """What is open that should not be."""
    if gateway.admin is not None and not gateway.admin.is_local():
        yield of(traps.ADMIN_OPEN, "admin", f"it listens on {gateway.admin}")
    for manager in gateway.managers:
        for route in manager.routes:
            if any(_is_admin(gateway, name) for name in route.clusters()) and not _shown(route):
                yield of(traps.ADMIN_OPEN, f"listener {manager.listener}, {route.where}", "the route leads to it")
        if manager.listener == MCP_LISTENER and not manager.address.is_local():
            yield of(traps.MCP_OPEN, f"listener {manager.listener}", f"it listens on {manager.address}")
    for name, places in gateway.endpoints.items():
        if any(place.port == MCP_PROXY_PORT for place in places):
            said = f"AI Gateway's MCP proxy listens on every interface, port {MCP_PROXY_PORT}"
            yield of(traps.MCP_OPEN, f"cluster {name}", said)
    for name in gateway.tcp:
        yield of(traps.TCP_UNJUDGED, f"listener {name}", "tcp_proxy")
    for what, details in gateway.refused:
        yield of(traps.UPDATE_REFUSED, what, details)
    if gateway.version is not None and gateway.version[:2] not in TESTED:
        found = ".".join(map(str, gateway.version))
        tested = " and ".join(".".join(map(str, each)) for each in TESTED)
        yield of(traps.VERSION_UNTESTED, "Envoy", f"version {found}; tested are {tested}")

"""Who is asked and who is sent to: the clusters of the policy server and of upstreams. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.checks.settling import cluster as cluster_of_log
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import cluster_of, policies
from extproc.doctor.tree import Tree
from extproc.doctor.view import Gateway

_DEFAULT: Final = 1024
"""Envoy's, of connections, pending requests and requests of a cluster."""
_PROTOCOL: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS: Final = "UpstreamTlsContext"
_DUMMY: Final = "dummy."
_QUIC: Final = "QuicUpstreamTransport"


def clusters(gateway: Gateway) -> Iterator[Finding]:
    """What is wrong with the clusters that the policy server and the upstreams are reached by."""
    judging = [manager for manager in gateway.managers if policies(manager)]
    asked = {cluster_of(each.config) for manager in judging for each in policies(manager)}
    told = {cluster_of_log(log) for manager in judging for log in manager.access_logs} - {""}
    sent = {name for manager in judging for route in manager.routes if route.serves() for name in route.clusters()}
    for name in sorted(asked | _of_policy_server(gateway, asked, told)):
        yield from _policy(gateway, name)
    for name in sorted(sent - asked):
        yield from _upstream(gateway, name)


def _of_policy_server(gateway: Gateway, asked: set[str], told: set[str]) -> set[str]:
    """Of the clusters that are told of exchanges, those that are ours; all of them that may be."""
    places = {place for name in asked for place in gateway.endpoints.get(name, ())}
    return {
        name
        for name in told
        if "sluicegate" in name or name not in gateway.endpoints or places & set(gateway.endpoints[name])
    }


def _policy(gateway: Gateway, name: str) -> Iterator[Finding]:
    where = f"cluster {name}"
    tree = gateway.clusters.get(name)
    if tree is None:
        yield of(traps.POLICY_NOT_GRPC, where, "there is no such cluster")
        return
    low = _low(tree)
    if low:
        yield of(traps.CIRCUIT_BREAKER, where, ", ".join(low))
    options = tree.at("typed_extension_protocol_options", _PROTOCOL)
    http2 = options.at("explicit_http_config", "http2_protocol_options")
    if not (http2 or tree.has("http2_protocol_options")):
        yield of(traps.POLICY_NOT_GRPC, where, "no http2_protocol_options")
    elif not (http2.has("connection_keepalive") or tree.at("http2_protocol_options").has("connection_keepalive")):
        yield of(traps.HANGING_UNNOTICED, where, "no connection_keepalive")
    far = [str(address) for address in gateway.endpoints.get(name, ()) if not address.is_local()]
    if far and not _verifies(tree):
        yield of(traps.POLICY_IN_CLEAR, where, f"no verified TLS to {_some(far)}")


def _upstream(gateway: Gateway, name: str) -> Iterator[Finding]:
    tree = gateway.clusters.get(name)
    if tree is None:
        return
    where = f"cluster {name}"
    low = _low(tree)
    if low:
        yield of(traps.UPSTREAM_BREAKER, where, ", ".join(low))
    for socket in _sockets(tree):
        if socket.type() in {_TLS, _QUIC} and not _checked(socket):
            yield of(traps.UPSTREAM_UNVERIFIED, where, "TLS without a trusted authority")


def _low(tree: Tree) -> list[str]:
    """The thresholds of ordinary priority that stand at Envoy's default, or below it."""
    ordinary = [each for each in tree.items("circuit_breakers", "thresholds") if each.text("priority") in {"", "DEFAULT"}]
    said = ordinary[0] if ordinary else Tree(None)
    found = []
    for name in ("max_connections", "max_pending_requests", "max_requests"):
        value = said.number(name)
        if value is None or value <= _DEFAULT:
            found.append(f"{name}: {'not set' if value is None else f'{value:.0f}'}")
    return found


def _sockets(tree: Tree) -> Iterator[Tree]:
    """The transport sockets of a cluster; by endpoint there may be several."""
    matches = tree.items("transport_socket_matches")
    # Envoy Gateway names one that no endpoint takes, so that HTTP options for TLS are accepted.
    if tree.has("transport_socket") and not (matches and tree.text("transport_socket", "name").startswith(_DUMMY)):
        yield tree.at("transport_socket", "typed_config")
    for match in matches:
        yield match.at("transport_socket", "typed_config")


def _verifies(tree: Tree) -> bool:
    sockets = list(_sockets(tree))
    return bool(sockets) and all(socket.type() == _TLS and _checked(socket) for socket in sockets)


def _checked(socket: Tree) -> bool:
    context = socket.at("upstream_tls_context") if socket.type() == _QUIC else socket
    common = context.at("common_tls_context")
    combined = common.at("combined_validation_context")
    if common.has("validation_context_sds_secret_config") or combined.has("validation_context_sds_secret_config"):
        return True
    contexts = (common.at("validation_context"), combined.at("default_validation_context"))
    return any(each.has("trusted_ca") or each.has("system_root_certs") for each in contexts)


def _some(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"

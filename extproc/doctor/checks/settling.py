"""Whether every exchange is told to us once, and when it has ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import cluster_of, is_of_envoy_gateway, policies
from extproc.doctor.view import AccessLog, Gateway, Manager

_HTTP: Final = "HttpGrpcAccessLogConfig"
_TCP: Final = "TcpGrpcAccessLogConfig"
_NAME: Final = "sluicegate"
_LATEST: Final = 1.0
"""Seconds that an entry may wait; Envoy's default."""
SMALLEST: Final = 256 * 1024
"""Bytes of entries that are kept while nobody takes any."""


def settling(gateway: Gateway, manager: Manager) -> Iterator[Finding]:
    """What is wrong with the access logs of a connection manager."""
    if not manager.serves():
        return
    where = f"listener {manager.listener}"
    logs = [log for log in manager.access_logs if log.config.type() in {_HTTP, _TCP}]
    ours = [log for log in logs if _is_ours(log, gateway, manager)]
    of_requests = [log for log in ours if log.config.type() == _HTTP and not _of_connections_alone(log)]
    for log in ours:
        if log.config.type() == _TCP:
            yield of(traps.ACCESS_LOG_OF_CONNECTIONS, log.where, "TcpGrpcAccessLogConfig")
    if not of_requests:
        if not any(log.config.type() == _TCP for log in ours):
            yield of(traps.ACCESS_LOG_MISSING, where, "no gRPC access log of requests")
        return
    if len(of_requests) > 1:
        yield of(traps.ACCESS_LOG_TWICE, where, f"gRPC access logs: {', '.join(log.where for log in of_requests)}")
    yield from _moments(manager, where)
    for log in of_requests:
        yield from _log(log)
        yield from _held(log, gateway, plain=not is_of_envoy_gateway(manager))


def _is_ours(log: AccessLog, gateway: Gateway, manager: Manager) -> bool:
    common = log.config.at("common_config")
    if common.text("log_name") == _NAME:
        return True
    to = cluster(log)
    asked = {cluster_of(each.config) for each in policies(manager)}
    if to in asked or to not in gateway.endpoints:
        return True
    return any(place in gateway.endpoints[to] for name in asked for place in gateway.endpoints.get(name, ()))


def cluster(log: AccessLog) -> str:
    """The cluster that an access log is sent to; empty where it is sent to none."""
    return log.config.text("common_config", "grpc_service", "envoy_grpc", "cluster_name")


def _of_connections_alone(log: AccessLog) -> bool:
    """Envoy Gateway gives the listener a log of its own, of connections on which no request was routed."""
    return "connection manager" not in log.where and "filter" not in log.where.partition(",")[2]


def _moments(manager: Manager, where: str) -> Iterator[Finding]:
    options = manager.tree.at("access_log_options")
    names = (
        "access_log_flush_interval",
        "flush_access_log_on_new_request",
        "flush_log_on_tunnel_successfully_established",
    )
    for name in names:
        if any(said and said.value is not False for said in (options.at(name), manager.tree.at(name))):
            yield of(traps.ACCESS_LOG_INTERMEDIATE, where, f"{name} is set")


def _log(log: AccessLog) -> Iterator[Finding]:
    common = log.config.at("common_config")
    if log.tree.has("filter"):
        yield of(traps.ACCESS_LOG_FILTERED, log.where, "the access log has a filter")
    interval = common.seconds("buffer_flush_interval")
    if interval is not None and interval > _LATEST:
        yield of(traps.ACCESS_LOG_LATE, log.where, f"buffer_flush_interval: {interval:g}s")


def _held(log: AccessLog, gateway: Gateway, *, plain: bool) -> Iterator[Finding]:
    """What is kept while settlement takes nothing: in the log; where Envoy Gateway wrote it, which has no field for that,
    on the connection."""
    if plain:
        size = log.config.number("common_config", "buffer_size_bytes")
        if size is None or 0 < size < SMALLEST:
            said = "not set" if size is None else f"{size:g}"
            yield of(traps.ACCESS_LOG_DROPPED, log.where, f"buffer_size_bytes: {said}")
        return
    to = gateway.clusters.get(cluster(log))
    size = to.number("per_connection_buffer_limit_bytes") if to is not None else None
    if size is not None and size < SMALLEST:
        where = f"cluster {cluster(log)}"
        yield of(traps.ACCESS_LOG_DROPPED, where, f"per_connection_buffer_limit_bytes: {size:g}")

"""What is believed of clients, and what is taken from them: listeners and connection managers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.doctor import traps
from extproc.doctor.expected import Expected
from extproc.doctor.findings import Finding, of
from extproc.doctor.roles import is_of_envoy_gateway, policies, running
from extproc.doctor.tree import Tree
from extproc.doctor.view import Gateway, Manager

_CONNECTIONS: Final = "DownstreamConnectionsConfig"
_LIMIT: Final = "ConnectionLimit"
_KEPT: Final = frozenset({"", "KEEP_UNCHANGED", "IMPLEMENTATION_SPECIFIC_DEFAULT"})
_DEFAULT_BUFFER: Final = 1024 * 1024
_DEFAULT_SILENCE: Final = 300.0


def doors(gateway: Gateway, manager: Manager, expected: Expected) -> Iterator[Finding]:
    """What is wrong with a connection manager that judges."""
    if not policies(manager):
        return
    where = f"listener {manager.listener}"
    plain = not is_of_envoy_gateway(manager)
    yield from _believed(manager.tree, where)
    yield from _path(manager.tree, where, plain=plain)
    yield from _bodies(manager, expected, where)
    if plain and not manager.tree.items("local_reply_config", "mappers"):
        yield of(traps.LOCAL_REPLIES_MISSING, where, "local_reply_config has no mappers")
    silence = manager.tree.seconds("stream_idle_timeout")
    if silence is not None and 0 < silence < expected.idle:
        yield of(
            traps.SILENCE_CUT, where, f"stream_idle_timeout: {silence:g}s; the configuration allows {expected.idle:g}s"
        )
    if not _bounded(gateway.bootstrap, manager.listener_tree):
        yield of(traps.CONNECTIONS_UNBOUNDED, where, "nothing bounds the number of connections")


def _believed(tree: Tree, where: str) -> Iterator[Finding]:
    if tree.flag("preserve_external_request_id"):
        yield of(traps.REQUEST_ID_TRUSTED, where, "preserve_external_request_id: true")
    if not tree.flag("generate_request_id", default=True):
        yield of(traps.REQUEST_ID_TRUSTED, where, "generate_request_id: false")
    if not tree.flag("use_remote_address"):
        yield of(traps.CLIENT_FIELDS_TRUSTED, where, "use_remote_address: false")
    for block in tree.items("internal_address_config", "cidr_ranges"):
        if not block.number("prefix_len"):
            yield of(traps.CLIENT_FIELDS_TRUSTED, where, "internal_address_config holds everybody")
    action = tree.text("common_http_protocol_options", "headers_with_underscores_action")
    if action in {"", "ALLOW"}:
        yield of(traps.UNDERSCORES_ALLOWED, where, "headers_with_underscores_action: ALLOW")


def _path(tree: Tree, where: str, *, plain: bool) -> Iterator[Finding]:
    # Envoy Gateway resolves `.` and `..` in any case.
    if plain and tree.flag("normalize_path"):
        yield of(traps.PATH_REWRITTEN, where, "normalize_path: true")
    if tree.flag("merge_slashes"):
        yield of(traps.PATH_REWRITTEN, where, "merge_slashes: true")
    action = tree.text("path_with_escaped_slashes_action")
    if action not in _KEPT:
        yield of(traps.PATH_REWRITTEN, where, f"path_with_escaped_slashes_action: {action}")
    if tree.has("path_normalization_options"):
        yield of(traps.PATH_REWRITTEN, where, "path_normalization_options")


def _bodies(manager: Manager, expected: Expected, where: str) -> Iterator[Finding]:
    limits = []
    of_listener = manager.listener_tree.number("per_connection_buffer_limit_bytes")
    limits.append((where, "per_connection_buffer_limit_bytes", _DEFAULT_BUFFER if of_listener is None else of_listener))
    for route in manager.routes:
        here = f"{where}, {route.where}"
        for tree in (route.tree, route.host):
            for name in ("per_request_buffer_limit_bytes", "request_body_buffer_limit"):
                if (limit := tree.number(name)) is not None:
                    limits.append((here, name, limit))
        for active in running(manager, route):
            if active.filter.type == "Buffer":
                tree = active.override.at("buffer") if active.override.has("buffer") else active.filter.config
                if (limit := tree.number("max_request_bytes")) is not None:
                    limits.append((here, f"max_request_bytes of {active.filter.name}", limit))
    for here, name, limit in limits:
        if limit < expected.max_body_bytes:
            wanted = f"the configuration allows {expected.max_body_bytes}"
            yield of(traps.BODY_LIMIT, here, f"{name}: {limit:.0f}; {wanted}")


def _bounded(bootstrap: Tree, listener: Tree) -> bool:
    if not bootstrap:
        # What is not there cannot be looked at.
        return True
    monitors = bootstrap.items("overload_manager", "resource_monitors")
    if any(monitor.at("typed_config").type() == _CONNECTIONS for monitor in monitors):
        return True
    chains = listener.items("filter_chains")
    return any(each.at("typed_config").type() == _LIMIT for chain in chains for each in chain.items("filters"))

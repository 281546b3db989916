"""Config dumps: what `/config_dump` of Envoy's admin endpoint says, as a view. Pure.

Its form is `envoy.admin.v3.ConfigDump`; Envoy leaves defaults out, and writes each listener, route configuration and
cluster with the state that it is in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from extproc.doctor.listeners import clusters_of, is_tcp, managers_of
from extproc.doctor.tree import Tree, UnreadableError
from extproc.doctor.view import Gateway, Version, address_of, endpoints_of

_VERSION: Final = re.compile(r"(?:^|/)(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[-/]|$)")
_MAX_DETAILS: Final = 300


def is_dump(value: object) -> bool:
    """Whether this document has the form of a config dump."""
    return isinstance(value, dict) and isinstance(value.get("configs"), list)


def within(value: object, depth: int = 4) -> object | None:
    """The config dump in this document: `egctl` puts some members around it. None where there is none."""
    if is_dump(value):
        return value
    if not isinstance(value, dict) or depth == 0:
        return None
    return next((found for member in value.values() if (found := within(member, depth - 1)) is not None), None)


def gateway_of(dump: Tree, server_info: Tree | None = None) -> Gateway:
    """The view of a config dump.

    Args:
        server_info: what `/server_info` says, where Envoy could be asked.

    Raises:
        UnreadableError: it is none, or what matters of it is missing.
    """
    parts: dict[str, list[Tree]] = {}
    for part in dump.items("configs"):
        parts.setdefault(part.type(), []).append(part)
    listeners = list(_listeners(parts.get("ListenersConfigDump", [])))
    if not listeners:
        raise UnreadableError(
            "there are no listeners in the dump: give the whole of /config_dump, of an Envoy that has its configuration"
        )
    routes = {tree.text("name"): tree for tree in _routes(parts.get("RoutesConfigDump", []))}
    clusters, endpoints = clusters_of(_clusters(parts.get("ClustersConfigDump", [])))
    if not clusters:
        raise UnreadableError("there are no clusters in the dump: give the whole of /config_dump")
    for tree in _endpoints(parts.get("EndpointsConfigDump", [])):
        endpoints[tree.text("cluster_name")] = endpoints_of(tree)
    bootstrap = next(iter(parts.get("BootstrapConfigDump", [])), Tree(None)).at("bootstrap")
    version = version_of(server_info.text("version")) if server_info is not None else _built(bootstrap)
    return Gateway(
        managers=tuple(manager for tree in listeners for manager in managers_of(tree, routes)),
        clusters=clusters,
        endpoints=endpoints,
        tcp=tuple(tree.text("name") for tree in listeners if is_tcp(tree)),
        admin=address_of(bootstrap.at("admin", "address")) if bootstrap.at("admin", "address") else None,
        version=version,
        bootstrap=bootstrap,
        refused=tuple(_refused(parts)),
        unknown=_unknown(bootstrap, version),
    )


def version_of(text: str) -> Version | None:
    """The version in what Envoy calls itself: `9e55…/1.40.0/Clean/RELEASE/BoringSSL`."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def _built(bootstrap: Tree) -> Version | None:
    """The version that Envoy has written into its node."""
    version = bootstrap.at("node", "user_agent_build_version", "version")
    if not version:
        return None
    major, minor, patch = (int(version.number(f"{part}") or 0) for part in ("major_number", "minor_number", "patch"))
    return (major, minor, patch)


def _unknown(bootstrap: Tree, version: Version | None) -> tuple[str, ...]:
    found = []
    if not bootstrap:
        found.append("where the admin endpoint listens: the dump holds no bootstrap")
    if version is None:
        found.append("the version of Envoy: the dump does not say it")
    return tuple(found)


def _listeners(parts: list[Tree]) -> Iterator[Tree]:
    for part in parts:
        for static in part.items("static_listeners"):
            yield static.at("listener")
        for dynamic in part.items("dynamic_listeners"):
            # One that has only been announced, or is on its way out, takes no new connections.
            if dynamic.has("active_state"):
                yield dynamic.at("active_state", "listener")


def _routes(parts: list[Tree]) -> Iterator[Tree]:
    for part in parts:
        for each in [*part.items("static_route_configs"), *part.items("dynamic_route_configs")]:
            yield each.at("route_config")


def _clusters(parts: list[Tree]) -> Iterator[Tree]:
    for part in parts:
        for each in [*part.items("static_clusters"), *part.items("dynamic_active_clusters")]:
            yield each.at("cluster")


def _endpoints(parts: list[Tree]) -> Iterator[Tree]:
    for part in parts:
        for each in [*part.items("static_endpoint_configs"), *part.items("dynamic_endpoint_configs")]:
            yield each.at("endpoint_config")


def _refused(parts: dict[str, list[Tree]]) -> Iterator[tuple[str, str]]:
    """What Envoy was told and did not take: the old configuration runs on."""
    lists = (
        ("ListenersConfigDump", "dynamic_listeners", "listener"),
        ("RoutesConfigDump", "dynamic_route_configs", "route_config"),
        ("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
    )
    for kind, members, name in lists:
        for part in parts.get(kind, []):
            for each in part.items(members):
                details = each.text("error_state", "details")
                if details:
                    of = each.text("name") or each.text(name, "name")
                    yield f"{name.partition('_')[0]} {of}".rstrip(), " ".join(details.split())[:_MAX_DETAILS]

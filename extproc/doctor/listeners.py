"""From Envoy's listeners, route configurations and clusters to the view of a gateway. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from extproc.doctor.tree import Tree, UnreadableError
from extproc.doctor.view import AccessLog, Address, Filter, Manager, address_of, endpoints_of, routes_of

_MANAGER: Final = "HttpConnectionManager"


def managers_of(listener: Tree, routes: Mapping[str, Tree]) -> Iterator[Manager]:
    """The connection managers of a listener.

    Args:
        routes: route configurations by name, for those that do not stand in the connection manager.

    Raises:
        UnreadableError: it is no listener, or its routes are not there.
    """
    name = listener.text("name") or str(address_of(listener.at("address")))
    of_listener = [AccessLog(f"listener {name}", one) for one in listener.items("access_log")]
    for tree in _network_filters(listener):
        if tree.type() != _MANAGER:
            continue
        filters = tuple(_filters(tree))
        yield Manager(
            listener=name,
            address=address_of(listener.at("address")),
            tree=tree,
            listener_tree=listener,
            filters=filters,
            routes=tuple(routes_of(_route_configuration(tree, routes))),
            access_logs=(
                *(AccessLog(f"listener {name}, connection manager", one) for one in tree.items("access_log")),
                *(log for each in filters if each.type == "Router" for log in _upstream_logs(name, each)),
                *of_listener,
            ),
        )


def is_tcp(listener: Tree) -> bool:
    """Whether a listener passes on what it does not understand."""
    return any(tree.type() == "TcpProxy" for tree in _network_filters(listener))


def clusters_of(trees: Iterable[Tree]) -> tuple[dict[str, Tree], dict[str, tuple[Address, ...]]]:
    """Clusters by name, and the endpoints of those that have them."""
    clusters = {tree.text("name"): tree for tree in trees}
    endpoints = {name: endpoints_of(tree.at("load_assignment")) for name, tree in clusters.items()}
    return clusters, {name: found for name, found in endpoints.items() if found}


def _network_filters(listener: Tree) -> Iterator[Tree]:
    default = listener.at("default_filter_chain")
    for chain in [*listener.items("filter_chains"), *([default] if default else [])]:
        for each in chain.items("filters"):
            yield each.at("typed_config")


def _filters(manager: Tree) -> Iterator[Filter]:
    for tree in manager.items("http_filters"):
        yield Filter(tree.text("name"), tree.at("typed_config"), tree.flag("disabled"))


def _upstream_logs(listener: str, router: Filter) -> Iterator[AccessLog]:
    for one in router.config.items("upstream_log"):
        yield AccessLog(f"listener {listener}, filter {router.name}", one)


def _route_configuration(manager: Tree, routes: Mapping[str, Tree]) -> Tree:
    if manager.has("route_config"):
        return manager.at("route_config")
    if manager.has("scoped_routes"):
        raise UnreadableError(f"{manager.place}: scoped routes are not understood")
    name = manager.text("rds", "route_config_name")
    if name not in routes:
        raise UnreadableError(
            f"{manager.place}.rds: the route configuration {name!r} is not there: Envoy has not got it yet, or part of "
            "the dump is missing"
        )
    return routes[name]

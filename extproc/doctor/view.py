"""What Envoy runs, as the doctor sees it: connection managers with filters, routes and access logs; clusters. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from extproc.doctor.tree import Tree

Version = tuple[int, int, int]

_NAMES_OF_LOOPBACK: Final = frozenset({"localhost", "ip6-localhost"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    pipe: str = ""

    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        if self.pipe or self.host in _NAMES_OF_LOOPBACK:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.pipe:
            return f"unix:{self.pipe}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Filter:
    """An HTTP filter. `config` is its typed configuration."""

    name: str
    config: Tree
    disabled: bool = False

    @property
    def type(self) -> str:
        """`ExternalProcessor`, `RBAC`, `Lua`."""
        return self.config.type()


@dataclass(frozen=True, slots=True)
class Active:
    """A filter that runs on a route, with what the route changes of it: an empty tree where it changes nothing."""

    filter: Filter
    override: Tree


@dataclass(frozen=True, slots=True)
class Route:
    """A way through a connection manager.

    Attributes:
        where: for people.
        tree: the route itself.
        host: its virtual host.
        levels: `typed_per_filter_config`, the most specific first.
    """

    where: str
    tree: Tree
    host: Tree
    levels: tuple[Tree, ...]

    def serves(self) -> bool:
        """Whether requests leave by it: it answers nothing itself."""
        return self.tree.has("route")

    def clusters(self) -> list[str]:
        """The clusters that it may send to, by name."""
        action = self.tree.at("route")
        weighted = [one.text("name") for one in action.items("weighted_clusters", "clusters")]
        single = action.text("cluster")
        return [single, *weighted] if single else weighted


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where an access log is written: its kind, its typed configuration, and the filter before it."""

    where: str
    tree: Tree

    @property
    def config(self) -> Tree:
        return self.tree.at("typed_config")


@dataclass(frozen=True, slots=True)
class Manager:
    """An HTTP connection manager: a door through which requests come."""

    listener: str
    address: Address
    tree: Tree
    listener_tree: Tree
    filters: tuple[Filter, ...]
    routes: tuple[Route, ...]
    access_logs: tuple[AccessLog, ...]

    def chain(self, route: Route) -> list[Active]:
        """The filters that run on this route, in the order of the request."""
        return [active for each in self.filters if (active := _active(each, route)) is not None]

    def serves(self) -> bool:
        """Whether requests leave by it."""
        return any(route.serves() for route in self.routes)


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that one Envoy runs.

    Attributes:
        managers: the doors.
        clusters: by name.
        endpoints: addresses of a cluster's endpoints where they are known, by its name.
        tcp: listeners that pass bytes on without looking at requests: their names.
        admin: where the admin endpoint listens; None if that is not known, or there is none.
        version: of Envoy; None if not known.
        refused: updates that Envoy did not take, each with its reason.
        unknown: what could not be looked at, in words.
    """

    managers: tuple[Manager, ...]
    clusters: Mapping[str, Tree]
    endpoints: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    tcp: tuple[str, ...] = ()
    admin: Address | None = None
    version: Version | None = None
    bootstrap: Tree = field(default_factory=lambda: Tree(None))
    refused: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()


def address_of(tree: Tree) -> Address:
    """Envoy's `address` message."""
    socket = tree.at("socket_address")
    return Address(socket.text("address"), int(socket.number("port_value") or 0), tree.text("pipe", "path"))


def endpoints_of(assignment: Tree) -> tuple[Address, ...]:
    """The addresses in a `load_assignment`."""
    return tuple(
        address_of(one.at("endpoint", "address"))
        for locality in assignment.items("endpoints")
        for one in locality.items("lb_endpoints")
    )


def _active(each: Filter, route: Route) -> Active | None:
    """The filter as it runs on this route; None where it does not run.

    That a route says anything of a filter switches it on, unless what it says is that it is off.
    """
    for level in route.levels:
        said = level.at(each.name)
        if not said:
            continue
        if said.type() != "FilterConfig":
            return Active(each, said)
        return None if said.flag("disabled") else Active(each, said.at("config"))
    return None if each.disabled else Active(each, Tree(None))


def routes_of(configuration: Tree) -> Iterator[Route]:
    """The routes of a route configuration, in order; one for each cluster of those that share requests out."""
    base = configuration.at("typed_per_filter_config")
    for host in configuration.items("virtual_hosts"):
        of_host = host.at("typed_per_filter_config")
        for index, tree in enumerate(host.items("routes")):
            named = tree.text("name") or f"{host.text('name') or 'virtual host'} {index}"
            levels = (tree.at("typed_per_filter_config"), of_host, base)
            where = f"route {named}"
            weighted = [
                one.at("typed_per_filter_config")
                for one in tree.items("route", "weighted_clusters", "clusters")
                if one.has("typed_per_filter_config")
            ]
            for more in weighted:
                yield Route(where, tree, host, (more, *levels))
            yield Route(where, tree, host, levels)

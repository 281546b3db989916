"""A configuration that is taken apart to be broken: Envoy's bootstrap, or the config dump of an Envoy, in one way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Tree = dict[str, Any]

V3: Final = "type.googleapis.com/envoy.extensions"
HTTP: Final = f"{V3}.filters.http"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a configuration, to be changed in place.

    Attributes:
        whole: what is given to the doctor.
        listener: the gateway's.
        manager: its connection manager.
        routes: in order.
        clusters: by name.
        base: the bootstrap.
        policy: the name of the policy filter.
        guard: of the guard.
        meter: of the meter.
    """

    whole: Tree
    listener: Tree
    manager: Tree
    hosts: list[Tree]
    clusters: dict[str, Tree]
    base: Tree
    policy: str
    guard: str
    meter: str

    @property
    def filters(self) -> list[Tree]:
        listed: list[Tree] = self.manager["http_filters"]
        return listed

    def filter(self, name: str) -> Tree:
        """The filter of this name."""
        return next(each for each in self.filters if each["name"] == name)

    def config(self) -> Tree:
        """Of the policy filter."""
        found: Tree = self.filter(self.policy)["typed_config"]
        return found

    def routes(self) -> list[Tree]:
        """All of them."""
        return [route for host in self.hosts for route in host["routes"]]

    def serving(self) -> Tree:
        """A route to a provider."""
        return next(each for each in self.routes() if "route" in each and "kb" not in str(each["match"]))

    def asked(self) -> Tree:
        """The cluster of the policy server."""
        return self.clusters[self.config()["grpc_service"]["envoy_grpc"]["cluster_name"]]

    def sent(self) -> Tree:
        """The cluster of a provider."""
        return self.clusters[self.serving()["route"]["cluster"]]

    def told(self) -> Tree:
        """The cluster to which the access log goes."""
        return self.clusters[self.log()["typed_config"]["common_config"]["grpc_service"]["envoy_grpc"]["cluster_name"]]

    def log(self) -> Tree:
        """Our access log."""
        found: Tree = self.manager["access_log"][0]
        return found

    def insert(self, name: str, kind: str, *, before: str = "", after: str = "", **config: Any) -> None:
        """Put a filter of this type before or after another."""
        names = [each["name"] for each in self.filters]
        place = names.index(before) if before else names.index(after) + 1
        self.filters.insert(place, {"name": name, "typed_config": {"@type": f"{HTTP}.{kind}", **config}})

    def move(self, name: str, *, before: str) -> None:
        """Put a filter before another."""
        moved = self.filter(name)
        self.filters.remove(moved)
        self.filters.insert([each["name"] for each in self.filters].index(before), moved)

    def drop(self, name: str) -> None:
        """Take a filter away."""
        self.filters.remove(self.filter(name))

    def per_route(self, name: str, kind: str, **config: Any) -> None:
        """Let a route to a provider say this of a filter."""
        self.serving().setdefault("typed_per_filter_config", {})[name] = {"@type": kind, **config}


def of_bootstrap(bootstrap: Tree) -> Parts:
    """A copy of a bootstrap, in parts."""
    whole = copy.deepcopy(bootstrap)
    static = whole["static_resources"]
    listener = static["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    clusters = {each["name"]: each for each in static["clusters"]}
    hosts = manager["route_config"]["virtual_hosts"]
    return Parts(
        whole, listener, manager, hosts, clusters, whole, "sluicegate.policy", "sluicegate.guard", "sluicegate.meter"
    )


def of_dump(dump: Tree) -> Parts:
    """A copy of AI Gateway's config dump, in parts."""
    whole = copy.deepcopy(dump)
    listener = next(
        each["active_state"]["listener"]
        for each in _members(whole, "dynamic_listeners")
        if "ready" not in each["active_state"]["listener"]["name"]
    )
    chain = listener.get("default_filter_chain") or listener["filter_chains"][0]
    manager = chain["filters"][0]["typed_config"]
    name = manager["rds"]["route_config_name"]
    hosts = next(
        each["route_config"]["virtual_hosts"]
        for each in _members(whole, "dynamic_route_configs")
        if each["route_config"]["name"] == name
    )
    listed = [*_members(whole, "static_clusters"), *_members(whole, "dynamic_active_clusters")]
    base = next(part["bootstrap"] for part in whole["configs"] if "bootstrap" in part)
    prefix = "envoy.filters.http"
    return Parts(
        whole,
        listener,
        manager,
        hosts,
        {each["cluster"]["name"]: each["cluster"] for each in listed},
        base,
        f"{prefix}.ext_proc//default/sluicegate/extproc/0",
        f"{prefix}.lua/0",
        f"{prefix}.lua/1",
    )


def _members(whole: Tree, name: str) -> Iterator[Tree]:
    for part in whole["configs"]:
        yield from part.get(name, [])

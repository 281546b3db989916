"""From listeners to the view."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor.listeners import clusters_of, is_tcp, managers_of
from extproc.doctor.tree import Tree, UnreadableError

MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listener(manager: dict[str, Any], **members: Any) -> Tree:
    filters = [{"name": "hcm", "typed_config": {"@type": MANAGER, **manager}}]
    return Tree({"name": "l", "filter_chains": [{"filters": filters}], **members})


def test_routes_by_name() -> None:
    routes = {"r": Tree({"virtual_hosts": [{"name": "h", "routes": [{"name": "one", "route": {"cluster": "c"}}]}]})}
    (manager,) = managers_of(listener({"rds": {"route_config_name": "r"}}), routes)
    assert [route.where for route in manager.routes] == ["route one"]
    assert manager.serves()


@pytest.mark.parametrize("manager", [{"rds": {"route_config_name": "absent"}}, {"scoped_routes": {}}])
def test_routes_that_are_not_there_cannot_be_judged(manager: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        list(managers_of(listener(manager), {}))


def test_logs_of_the_manager_the_router_and_the_listener() -> None:
    log = {"name": "log"}
    router = {"name": "r", "typed_config": {"@type": "x/a.Router", "upstream_log": [log]}}
    manager = {"route_config": {}, "access_log": [log], "http_filters": [router]}
    (found,) = managers_of(listener(manager, access_log=[log]), {})
    assert [each.where for each in found.access_logs] == [
        "listener l, connection manager",
        "listener l, filter r",
        "listener l",
    ]


def test_the_default_filter_chain_counts() -> None:
    chain = {"filters": [{"typed_config": {"@type": "x/a.TcpProxy"}}]}
    assert is_tcp(Tree({"default_filter_chain": chain}))
    assert not is_tcp(listener({"route_config": {}}))


def test_clusters_and_their_endpoints() -> None:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
    known = {"name": "a", "load_assignment": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}}
    clusters, endpoints = clusters_of([Tree(known), Tree({"name": "b"})])
    assert set(clusters) == {"a", "b"}
    assert [str(each) for each in endpoints["a"]] == ["127.0.0.1:1"]
    assert "b" not in endpoints

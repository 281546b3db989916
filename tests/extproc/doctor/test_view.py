"""Which filters run on a route, and where things listen."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor.tree import Tree
from extproc.doctor.view import Address, Filter, Manager, address_of, endpoints_of, routes_of

SWITCH = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def runs(*, disabled: bool = False, route: Any = None, host: Any = None, base: Any = None) -> bool:
    """Whether a filter `f` runs, given what route, virtual host and route configuration say of it."""

    def said(value: Any) -> dict[str, Any]:
        return {"typed_per_filter_config": {"f": value}} if value is not None else {}

    configuration = {
        "virtual_hosts": [{"name": "h", "routes": [{"route": {"cluster": "c"}, **said(route)}], **said(host)}],
        **said(base),
    }
    each = Filter("f", Tree({"@type": "x/a.Lua"}), disabled)
    routes = tuple(routes_of(Tree(configuration)))
    manager = Manager("l", Address(), Tree({}), Tree({}), (each,), routes, ())
    return bool(manager.chain(routes[0]))


OFF = {"@type": SWITCH, "disabled": True}
ON = {"@type": SWITCH, "config": {}}
OWN = {"@type": "x/a.LuaPerRoute"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, True),
        ({"disabled": True}, False),
        ({"disabled": True, "route": ON}, True),
        ({"disabled": True, "route": OWN}, True),
        ({"disabled": True, "host": OWN}, True),
        ({"disabled": True, "base": ON}, True),
        ({"route": OFF}, False),
        ({"host": OFF}, False),
        ({"host": OFF, "route": ON}, True),
        ({"base": OFF, "host": OWN}, True),
    ],
)
def test_the_most_specific_says_whether_a_filter_runs(said: dict[str, Any], expected: bool) -> None:
    assert runs(**said) is expected


def test_clusters_that_share_requests_out_are_looked_at_one_by_one() -> None:
    weighted = {"clusters": [{"name": "a", "typed_per_filter_config": {"f": OFF}}, {"name": "b"}]}
    configuration = {"virtual_hosts": [{"name": "h", "routes": [{"route": {"weighted_clusters": weighted}}]}]}
    routes = tuple(routes_of(Tree(configuration)))
    manager = Manager("l", Address(), Tree({}), Tree({}), (Filter("f", Tree({})),), routes, ())
    assert [bool(manager.chain(route)) for route in routes] == [False, True]
    assert routes[0].clusters() == ["a", "b"]


def test_addresses() -> None:
    socket = address_of(Tree({"socket_address": {"address": "::1", "port_value": 80}}))
    assert (str(socket), socket.is_local()) == ("[::1]:80", True)
    assert str(address_of(Tree({"pipe": {"path": "/x"}}))) == "unix:/x"
    assignment = {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "/x"}}}}]}]}
    assert endpoints_of(Tree(assignment)) == (Address(pipe="/x"),)

"""Config dumps: states, versions, what Envoy refused; and dumps that somebody made to harm."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.doctor import dumps
from extproc.doctor.examination import examine
from extproc.doctor.tree import Tree, UnreadableError
from tests.extproc.doctor import recorded


def part(kind: str, **members: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/envoy.admin.v3.{kind}", **members}


def of_kind(dump: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each for each in dump["configs"] if each["@type"].endswith(kind))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL", (1, 40, 0)),
        ("abc/1.38.12-dev/Modified/DEBUG/BoringSSL-FIPS", (1, 38, 12)),
        ("1.39.1", (1, 39, 1)),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_version_is_in_what_envoy_calls_itself(text: str, version: Any) -> None:
    assert dumps.version_of(text) == version


def test_the_version_is_that_of_the_running_envoy_or_of_its_node() -> None:
    dump = Tree(recorded.dump())
    assert dumps.gateway_of(dump).version == (1, 40, 0)
    assert dumps.gateway_of(dump, Tree({"version": "a/1.38.3/b"})).version == (1, 38, 3)


def test_what_a_dump_does_not_hold_is_told() -> None:
    dump = recorded.dump()
    dump["configs"].remove(of_kind(dump, "BootstrapConfigDump"))
    gateway = dumps.gateway_of(Tree(dump))
    assert len(gateway.unknown) == 2
    assert examine(gateway) == []


def test_an_update_that_envoy_refused_is_found() -> None:
    dump = recorded.dump()
    listed = of_kind(dump, "ListenersConfigDump")["dynamic_listeners"]
    listed[0]["error_state"] = {"details": "Unknown field\n in \x1b[2J it"}
    found = examine(dumps.gateway_of(Tree(dump)))
    assert [(finding.code, finding.what) for finding in found] == [("update_refused", "Unknown field in \x1b[2J it")]


def test_listeners_that_are_only_announced_take_nothing() -> None:
    dump = recorded.dump()
    for each in of_kind(dump, "ListenersConfigDump")["dynamic_listeners"]:
        each["warming_state"] = each.pop("active_state")
    with pytest.raises(UnreadableError, match="no listeners"):
        dumps.gateway_of(Tree(dump))


def test_a_dump_without_clusters_is_not_the_whole() -> None:
    dump = recorded.dump()
    dump["configs"].remove(of_kind(dump, "ClustersConfigDump"))
    with pytest.raises(UnreadableError, match="no clusters"):
        dumps.gateway_of(Tree(dump))


def test_egctl_puts_members_around_a_dump() -> None:
    dump = recorded.dump()
    assert dumps.within({"envoy-gateway-system": {"pod": {"configDump": dump}}}) is dump
    assert dumps.within({"a": {"b": 1}}) is None


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, member in members for place in places(member, (*path, key))]


WHOLE = recorded.dump()
PLACES = places(WHOLE)
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1e308, "x", "", [], [[]], {}, {"@type": "a"}, [None], [{"name": 1}]]
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(PLACES), WRONG), min_size=1, max_size=3))
def test_whatever_stands_in_a_dump_is_a_finding_or_a_clear_error(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    dump = copy.deepcopy(WHOLE)
    for path, value in changes:
        holder = dump
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    with contextlib.suppress(UnreadableError):
        examine(dumps.gateway_of(Tree(dump)))


def test_a_dump_with_two_thousand_routes_is_looked_at() -> None:
    dump = recorded.dump()
    config = next(
        each["route_config"]
        for each in of_kind(dump, "RoutesConfigDump")["dynamic_route_configs"]
        if each["route_config"]["name"] == "default/sluicegate/http"
    )
    routes = config["virtual_hosts"][0]["routes"]
    serving = next(each for each in routes if "route" in each)
    text = json.dumps(serving)
    order = random.Random(0)
    for number in range(2_000):
        routes.insert(order.randrange(len(routes)), {**json.loads(text), "name": f"route {number}"})
    assert examine(dumps.gateway_of(Tree(dump))) == []

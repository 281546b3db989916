"""Which filter is which."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from extproc.doctor.roles import (
    code_changes,
    code_guards,
    code_meters,
    enforces_verdict,
    is_of_this_version,
    policies,
    source,
    without_comments,
)
from extproc.doctor.tree import Tree, UnreadableError
from extproc.doctor.view import Active, Address, Filter, Manager
from extproc.envoy_data import data_directory

PREFIX = "type.googleapis.com/envoy.extensions.filters.http"


def script(name: str) -> str:
    return without_comments((data_directory() / name).read_text("utf-8"))


def test_our_scripts_are_known_by_what_they_do() -> None:
    named = {name: script(name) for name in ("guard.lua", "usage.lua", "replies.lua")}
    assert [name for name, code in named.items() if code_guards(code)] == ["guard.lua"]
    assert [name for name, code in named.items() if code_meters(code)] == ["usage.lua"]
    assert not any(code_changes(code) for code in named.values())


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("function envoy_on_request(h) h:headers():replace('a', 'b') end", True),
        ("function envoy_on_request(h) h:body():setBytes('') end", True),
        ("function envoy_on_request(h) h:respond({[':status'] = '200'}, '') end", True),
        ("function envoy_on_request(h) h:headers():remove('a') end", False),
        ("function envoy_on_request(h) h:logInfo('a') end", False),
        ("-- h:headers():replace('a', 'b')\n--[[ h:body() ]]", False),
        ("", False),
    ],
)
def test_scripts_that_change_requests(code: str, changes: bool) -> None:
    assert code_changes(without_comments(code)) is changes


def test_a_guard_that_is_commented_out_is_none() -> None:
    text = (data_directory() / "guard.lua").read_text("utf-8")
    assert not code_guards(without_comments("\n".join(f"-- {line}" for line in text.splitlines())))


def test_scripts_for_aigw_have_each_dollar_twice() -> None:
    text = (data_directory() / "usage.lua").read_text("utf-8")
    assert is_of_this_version(text.replace("$", "$$"), "usage.lua")
    assert not is_of_this_version(text + "-- more", "usage.lua")


def lua(config: dict[str, Any], override: dict[str, Any] | None = None) -> Active:
    tree = Tree({"@type": f"{PREFIX}.lua.v3.Lua", **config})
    return Active(Filter("l", tree), Tree(override))


@pytest.mark.parametrize(
    ("active", "code"),
    [
        (lua({"default_source_code": {"inline_string": "a"}}), "a"),
        (lua({"inline_code": "b"}), "b"),
        (lua({"default_source_code": {"inline_bytes": base64.b64encode(b"c").decode()}}), "c"),
        (lua({"default_source_code": {"inline_string": "a"}}, {"source_code": {"inline_string": "d"}}), "d"),
        (lua({"source_codes": {"x": {"inline_string": "e"}}}, {"name": "x"}), "e"),
        (lua({"default_source_code": {"filename": "/f.lua"}}), ""),
    ],
)
def test_the_script_that_runs(active: Active, code: str) -> None:
    assert source(active) == code


def test_a_script_that_is_no_base64() -> None:
    with pytest.raises(UnreadableError, match="inline_bytes: expected base64"):
        source(lua({"default_source_code": {"inline_bytes": "%"}}))


def rules(**changes: Any) -> Tree:
    matcher = {"filter": "sluicegate", "path": [{"key": "verdict"}], "value": {"string_match": {"exact": "allow"}}}
    said = {"metadata_matcher": {**matcher, **changes.pop("matcher", {})}, **changes.pop("said", {})}
    policy = {"permissions": [{"any": True}], "principals": [{"sourced_metadata": said}, *changes.pop("more", [])]}
    return Tree({"policies": {"verdict": policy, **changes.pop("policies", {})}, **changes})


@pytest.mark.parametrize(
    ("given", "enforced"),
    [
        (rules(), True),
        (rules(said={"metadata_source": "DYNAMIC"}), True),
        (rules(said={"metadata_source": "ROUTE"}), False),
        (rules(action="DENY"), False),
        (rules(action="LOG"), False),
        (rules(more=[{"any": True}]), False),
        (rules(policies={"other": {"permissions": [{"any": True}], "principals": [{"any": True}]}}), False),
        (rules(policies={"other": {"permissions": [{"any": True}]}}), False),
        (rules(matcher={"filter": "other"}), False),
        (rules(matcher={"path": [{"key": "tenant"}]}), False),
        (rules(matcher={"invert": True}), False),
        (rules(matcher={"value": {"string_match": {"prefix": "a"}}}), False),
        (rules(matcher={"value": {"string_match": {"exact": "allow", "ignore_case": True}}}), False),
        (Tree({}), False),
        (Tree(None), False),
    ],
)
def test_rules_that_let_pass_nothing_but_our_verdict(given: Tree, enforced: bool) -> None:
    assert enforces_verdict(given) is enforced


def processor(name: str, *namespaces: str) -> Filter:
    options = {"receiving_namespaces": {"untyped": list(namespaces)}}
    return Filter(name, Tree({"@type": f"{PREFIX}.ext_proc.v3.ExternalProcessor", "metadata_options": options}))


@pytest.mark.parametrize(
    ("filters", "ours"),
    [
        ((processor("a", "other"), processor("b", "sluicegate")), ["b"]),
        ((processor("a", "sluicegate"), processor("b", "sluicegate")), ["a", "b"]),
        ((processor("sluicegate.policy"), processor("b")), ["sluicegate.policy"]),
        ((processor("x/aigateway", "io.envoy.ai_gateway"), processor("theirs")), ["theirs"]),
        ((processor("x/aigateway", "io.envoy.ai_gateway"),), []),
    ],
)
def test_the_policy_filter_is_known_by_what_it_may_write(filters: tuple[Filter, ...], ours: list[str]) -> None:
    manager = Manager("l", Address(), Tree({}), Tree({}), filters, (), ())
    assert [each.name for each in policies(manager)] == ours

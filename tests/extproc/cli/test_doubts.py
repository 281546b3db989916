from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.cli.doubts import covers, doubts
from extproc.identity import Identity
from extproc.settings import parse

NOW = datetime(2026, 11, 21, tzinfo=UTC)
POLICIES = {"policies": [{"policy": "entra"}, {"policy": "access"}]}


def upstream(name: str, provider: str, *models: str, **more: Any) -> dict[str, Any]:
    url = {"openai": "https://host/v1", "azure": "https://host/openai/v1", "anthropic": "https://host"}[provider]
    return {"name": name, "provider": provider, "url": url, "models": list(models), **more}


def found(*upstreams: dict[str, Any], **more: Any) -> list[str]:
    return doubts(parse({**POLICIES, "upstreams": list(upstreams), **more}), [Identity], NOW)


@pytest.mark.parametrize(
    ("policies", "provided", "words"),
    [
        (["entra", "access"], [Identity], []),
        (["own", "access"], [Identity], []),
        (["access"], [], ["nothing asks who is calling"]),
        (["entra"], [Identity], ["nothing limits who may use what"]),
        (["own"], [], ["nothing asks who is calling", "nothing limits who may use what"]),
    ],
)
def test_a_chain_that_lets_anybody_in(policies: list[str], provided: list[type[Any]], words: list[str]) -> None:
    lines = doubts(parse({"policies": [{"policy": name} for name in policies]}), provided, NOW)
    assert len(lines) == len(words)
    assert all(line.startswith("policies: ") and word in line for line, word in zip(lines, words, strict=True))


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        (["entra", "access"], None),
        (["entra", "access", "limits", "cost", "audit"], None),
        (["entra", "access", "cost"], "to `cost` the tokens of an answer without usage cost $0, as an estimate"),
        (["entra", "access", "audit"], "to `audit` the tokens of an answer without usage cost $0, as an estimate"),
        (["entra", "access", "cost", "audit"], "to `cost` and `audit` the tokens of an answer without usage cost $0"),
    ],
)
def test_a_chain_to_which_what_is_not_known_is_free(policies: list[str], words: str | None) -> None:
    chain = [{"policy": name} for name in policies]
    lines = found(upstream("u", "openai", "m"), policies=chain)
    assert len(lines) == (words is not None)
    assert all(line.startswith(f"policies: {words}") and "`limits`" in line for line in lines)
    assert found(policies=chain) == []


def test_contracts_that_never_apply() -> None:
    contract = {"name": "c", "input": 1, "output": 1, "models": "n"}
    assert [line.partition(":")[0] for line in found(upstream("u", "openai", "m"), prices={"contracts": [contract]})] == [
        "prices.contracts[0].models"
    ]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (upstream("u", "openai", "m"), None),
        (upstream("u", "openai", "m", url="https://host"), "end in /v1: https://host/v1"),
        (upstream("u", "openai", "m", url="https://host/"), "end in /v1: https://host/v1"),
        (upstream("u", "openai", "m", url="https://host/api"), None),
        (upstream("u", "anthropic", "m"), None),
        (upstream("u", "azure", "m"), None),
        (upstream("u", "azure", "m", url="https://host"), "taken for https://host/openai/v1"),
        (upstream("u", "azure", "m", url="https://host", api_version="2024-10-21"), None),
        (upstream("u", "azure", "m", url="https://host/openai"), "this is neither"),
        (upstream("u", "azure", "m", url="https://host/gateway/openai/v1"), None),
    ],
)
def test_urls(entry: dict[str, Any], word: str | None) -> None:
    lines = found(entry)
    assert len(lines) == (word is not None)
    assert all(line.startswith("upstreams[0].url: ") and (word or "") in line for line in lines)


@pytest.mark.parametrize(
    ("upstreams", "lines"),
    [
        ([upstream("a", "openai", "m", "m*"), upstream("b", "openai", "n")], []),
        ([upstream("a", "openai", "m*", "m")], []),
        ([upstream("a", "openai", "m"), upstream("b", "openai", "m*")], []),
        ([upstream("a", "openai", "*"), upstream("b", "anthropic", "m")], []),
        (
            [upstream("a", "openai", "m"), upstream("b", "azure", "x", "m")],
            ["upstreams[1].models[1]: 'm' is never reached here: upstream 'a' serves it before"],
        ),
        (
            [upstream("a", "openai", "gpt-*"), upstream("b", "openai", "gpt-4*")],
            ["upstreams[1].models[0]: 'gpt-4*' is never reached here: upstream 'a' ('gpt-*') serves it before"],
        ),
        ([upstream("a", "openai", "m", "m")], ["upstreams[0].models[1]: 'm' is never reached: 'm' stands before it"]),
        (
            [upstream("a", "openai", "g*", "gpt*")],
            ["upstreams[0].models[1]: 'gpt*' is never reached: 'g*' stands before it"],
        ),
    ],
)
def test_entries_that_are_never_reached(upstreams: list[dict[str, Any]], lines: list[str]) -> None:
    assert found(*upstreams) == lines


PATTERNS = st.text("ab*?[]", max_size=5)


@given(PATTERNS, PATTERNS, st.lists(st.text("ab", max_size=4), max_size=20))
def test_what_is_covered_is_matched(glob: str, other: str, names: list[str]) -> None:
    if covers(glob, other):
        assert all(fnmatchcase(name, glob) or glob == name for name in names if fnmatchcase(name, other))


@pytest.mark.parametrize(
    ("address", "open_to_others"),
    [
        ("unix:/run/admin.sock", False),
        ("127.0.0.1:9902", False),
        ("localhost:9902", False),
        ("[::1]:9902", False),
        ("0.0.0.0:9902", True),
        ("[::]:9902", True),
        ("10.0.0.1:9902", True),
        ("localhost.example:9902", True),
    ],
)
def test_what_the_server_tells_of_itself_is_for_this_machine(address: str, open_to_others: bool) -> None:
    assert [line.partition(":")[0] for line in found(server={"admin": address})] == ["server.admin"] * open_to_others


TLS = {
    "certificate": "c",
    "key": "k",
    "client_ca": "a",
    "envoy": {"certificate": "c", "key": "k", "ca": "a", "server_name": "policy.internal"},
}


@pytest.mark.parametrize(
    ("server", "warned"),
    [
        ({}, False),
        ({"listen": "unix:/run/x/policy.sock"}, False),
        ({"listen": "127.0.0.1:9000"}, False),
        ({"listen": "127.8.8.8:9000"}, False),
        ({"listen": "[::1]:9000"}, False),
        ({"listen": "localhost:9000"}, False),
        ({"listen": "0.0.0.0:9000"}, True),
        ({"listen": "[::]:9000"}, True),
        ({"listen": "10.0.0.5:9000"}, True),
        ({"listen": "policy.internal:9000"}, True),
        ({"listen": "10.0.0.5:9000", "tls": TLS}, False),
    ],
)
def test_a_policy_server_that_others_can_ask(server: dict[str, Any], warned: bool) -> None:
    lines = found(server=server)
    assert len(lines) == warned
    assert all(line.startswith("server.listen: ") and "`server.tls`" in line for line in lines)

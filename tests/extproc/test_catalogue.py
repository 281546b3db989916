"""What there is to call."""

from __future__ import annotations

import pytest

from extproc.catalogue import Agent, Catalogue, Model, Opaque, Provider, Upstream
from extproc.exchange import Dialect

MIXED = Upstream(
    "mixed", Provider.OPENAI, models=(Model("gpt-4*", "g"), Model("gpt-4o", "exact"), Model("gpt-*", "h"), Model("o[13]"))
)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("gpt-4o", "exact"),
        ("gpt-4.1", "g"),
        ("gpt-5", "h"),
        ("gpt-", "h"),
        ("GPT-4o", "none"),
        ("xgpt-4o", "none"),
        ("gpt-4*", "g"),
        ("o1", None),
        ("o2", "none"),
        ("", "none"),
    ],
)
def test_an_exact_name_before_a_glob_and_globs_in_order(model: str, target: str | None) -> None:
    found = MIXED.serves(model)
    assert (found.target if found else "none") == target


@pytest.mark.parametrize(
    ("name", "glob"), [("gpt-4o", False), ("gpt*", True), ("o?", True), ("o[13]", True), ("a]b", False)]
)
def test_globs(name: str, glob: bool) -> None:
    assert Model(name).is_glob is glob


CATALOGUE = Catalogue(
    (
        Upstream("claude", Provider.ANTHROPIC, models=(Model("m"), Model("c"))),
        Upstream("first", Provider.OPENAI, models=(Model("m"), Model("gpt-*"))),
        Upstream("second", Provider.AZURE, models=(Model("m"), Model("gpt-4o"))),
    ),
    (Agent("kb"),),
)


@pytest.mark.parametrize(
    ("dialect", "model", "upstream"),
    [
        (Dialect.OPENAI, "m", "first"),
        (Dialect.OPENAI, "gpt-4o", "first"),
        (Dialect.OPENAI, "c", None),
        (Dialect.ANTHROPIC, "m", "claude"),
        (Dialect.ANTHROPIC, "gpt-4o", None),
        (Dialect.JSONRPC, "m", None),
    ],
)
def test_the_first_upstream_of_the_dialect_serves(dialect: Dialect, model: str, upstream: str | None) -> None:
    found = CATALOGUE.find(dialect, model)
    assert (found[0].name if found else None) == upstream


def test_named_models() -> None:
    assert [(name, of.name) for name, of in CATALOGUE.named_models(Dialect.OPENAI)] == [
        ("m", "first"),
        ("gpt-4o", "second"),
    ]
    assert [name for name, _ in CATALOGUE.named_models(Dialect.ANTHROPIC)] == ["m", "c"]


def test_names() -> None:
    assert CATALOGUE.agent("kb") == Agent("kb")
    assert CATALOGUE.agent("claude") is None
    assert CATALOGUE.upstream("kb") is None
    assert CATALOGUE.upstream("second") is CATALOGUE.upstreams[2]


@pytest.mark.parametrize(
    ("pattern", "method", "path", "matches"),
    [
        ("/v1/files", "GET", "/v1/files", True),
        ("/v1/files", "PUT", "/v1/files", False),
        ("/v1/files", "get", "/v1/files", False),
        ("/v1/files", "GET", "/v1/files/", False),
        ("/v1/files", "GET", "/v1/files/x", False),
        ("/v1/files/*", "GET", "/v1/files/x", True),
        ("/v1/files/*", "GET", "/v1/files/x/y", True),
        ("/v1/files/*", "GET", "/v1/files/", False),
        ("/v1/files/*", "GET", "/v1/files", False),
        ("/v1/files/*", "GET", "/v1/filesx", False),
    ],
)
def test_opaque_routes(pattern: str, method: str, path: str, matches: bool) -> None:
    assert Opaque("files", pattern, "up").matches(method, path) is matches

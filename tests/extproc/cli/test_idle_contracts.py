from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extproc.cli.idle_contracts import idle_contracts, known_tenants, malformed, may_meet
from extproc.settings import PolicyEntry, parse

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = "16223b5e-7f36-5850-bda3-09553ced0b0e"
ENTRA = {"policy": "entra", "settings": {"tenants": [{"id": ID.upper(), "name": "contoso"}]}}
EXAMPLES = Path(__file__).parents[3] / "examples"
UPSTREAMS = [
    {"name": "a", "provider": "azure", "url": "https://a/openai/v1", "region": "swedencentral", "models": ["gpt-4o"]},
    {"name": "o", "provider": "openai", "url": "https://o/v1", "models": ["gpt-5", {"name": "tuned", "target": "ft:5"}]},
    {"name": "c", "provider": "anthropic", "url": "https://c", "models": ["claude-*"]},
]


def found(*contracts: dict[str, Any], policies: list[dict[str, Any]] | None = None, **more: Any) -> list[str]:
    agreed = [{"name": f"c{index}", "input": 1, "output": 2, **one} for index, one in enumerate(contracts)]
    tree = {"upstreams": UPSTREAMS, "policies": policies or [ENTRA], "prices": {"contracts": agreed}, **more}
    settings = parse(tree)
    return list(idle_contracts(settings, settings.catalogue(), NOW))


APPLIES: list[dict[str, Any]] = [
    {},
    {"provider": "azure", "region": "swedencentral", "models": ["gpt-4o", "gpt-4o-20*"]},
    {"models": "gpt-5*"},
    {"models": "ft:5"},
    {"models": "tuned"},
    {"models": "claude-sonnet-4"},
    {"models": "*-sonnet-*"},
    {"models": "cl[a-z]ude-[0-9]"},
    {"models": "claude-[!x]*", "provider": "anthropic"},
    {"tenant": "contoso"},
    {"tenant": "con*"},
    {"tenant": ID},
    {"from": "2027-01-01"},
    {"until": "2026-11-22"},
]


@pytest.mark.parametrize("contract", APPLIES, ids=str)
def test_contracts_that_apply(contract: dict[str, Any]) -> None:
    assert found(contract) == []


@pytest.mark.parametrize(
    ("contract", "line"),
    [
        (
            {"models": "gpt-4[o"},
            ".models[0]: contract 'c0': 'gpt-4[o' is no glob: its bracket is not closed, and stands f",
        ),
        (
            {"models": ["*", "gpt-[9-0]"]},
            ".models[1]: contract 'c0': 'gpt-[9-0]' is no glob: a range that runs backwards",
        ),
        ({"tenant": "contoso["}, ".tenant: contract 'c0': 'contoso[' is no glob: its bracket is not closed"),
        ({"models": "gpt-6"}, ".models: contract 'c0' never applies: no upstream has a model 'gpt-6'"),
        ({"models": ["gpt-6", "o3*"]}, ".models: contract 'c0' never applies: no upstream has a model 'gpt-6', 'o3*'"),
        ({"models": "claude"}, ".models: contract 'c0' never applies: no upstream has a model 'claude'"),
        ({"models": "Claude-*"}, ".models: contract 'c0' never applies: no upstream has a model 'Claude-*'"),
        (
            {"models": "gpt-5", "provider": "azure"},
            ".models: contract 'c0' never applies: no upstream of provider azure has a model 'gpt-5'",
        ),
        (
            {"models": "gpt-5", "region": "swedencentral"},
            ".models: contract 'c0' never applies: no upstream of region 'swedencentral' has a model 'gpt-5'",
        ),
        (
            {"region": "swedencentra"},
            ".region: contract 'c0' never applies: there is no upstream of region 'swedencentra'",
        ),
        (
            {"region": "swedencentral", "provider": "openai"},
            ".region: contract 'c0' never applies: there is no upstream of provider openai of region 'swedencentral'",
        ),
        ({"tenant": "contosso"}, ".tenant: contract 'c0' never applies: no tenant is called 'contosso'"),
        ({"tenant": ID.upper()}, f".tenant: contract 'c0' never applies: no tenant is called '{ID.upper()}'"),
        (
            {"until": "2026-11-21"},
            ".until: contract 'c0' no longer applies: it ended on 2026-11-21 (UTC), and none takes its place",
        ),
    ],
    ids=str,
)
def test_contracts_that_never_apply(contract: dict[str, Any], line: str) -> None:
    (told,) = found(contract)
    assert told.startswith(f"prices.contracts[0]{line}")


def test_every_reason_is_told() -> None:
    lines = found({}, {"models": "x", "tenant": "y", "until": "2026-01-01"})
    assert [line.partition(":")[0] for line in lines] == [
        *("prices.contracts[1].models", "prices.contracts[1].tenant", "prices.contracts[1].until"),
    ]


def test_no_upstream_of_a_provider() -> None:
    (line,) = found({"provider": "azure", "region": "x"}, upstreams=UPSTREAMS[2:])
    assert line == "prices.contracts[0].provider: contract 'c0' never applies: there is no upstream of provider azure"
    (line,) = found({}, upstreams=[])
    assert line == "prices.contracts[0]: contract 'c0' never applies: there is no upstream"


@pytest.mark.parametrize(
    ("follower", "warned"),
    [
        ({"tenant": "contoso", "models": ["gpt-5", "tuned"], "from": "2026-10-01"}, False),
        ({"tenant": "contoso", "models": ["tuned", "gpt-5"]}, False),
        ({"tenant": "contoso", "models": ["gpt-5", "tuned"], "from": "2026-12-01"}, True),
        ({"tenant": "contoso", "models": ["gpt-5"]}, True),
        ({"models": ["gpt-5", "tuned"]}, True),
    ],
)
def test_a_contract_that_another_takes_the_place_of(follower: dict[str, Any], warned: bool) -> None:
    ended = {"tenant": "contoso", "models": ["gpt-5", "tuned"], "until": "2026-10-01"}
    assert [line.partition(":")[0] for line in found(ended, follower)] == ["prices.contracts[0].until"] * warned


CLAIMED = {"claims": {"tenant_name": "company"}}


@pytest.mark.parametrize(
    ("policies", "known"),
    [
        ([], set()),
        ([("access", {}), ("cost", {}), ("limits", {}), ("audit", {})], set()),
        ([("entra", {"tenants": [{"id": ID, "name": "contoso"}, {"id": "B"}]})], {ID, "contoso", "b"}),
        ([("entra", {"tenants": [{"id": "a", "name": "b"}], "any_tenant": True})], None),
        ([("entra", {"tenants": [{"id": "a", "name": "b"}], **CLAIMED})], {"a", "b"}),
        ([("entra", {"tenants": [{"id": "a", "name": "b"}, {"id": "c"}], **CLAIMED})], None),
        ([("entra", {})], None),
        ([("entra", {"tenants": [{"id": "a"}]}), ("own", {})], None),
    ],
)
def test_tenants_that_there_can_be(policies: list[tuple[str, dict[str, Any]]], known: set[str] | None) -> None:
    entries = [PolicyEntry(policy=name, settings=settings) for name, settings in policies]
    assert known_tenants(entries) == known


def test_a_mistyped_tenant_is_told_what_may_be_meant() -> None:
    assert found({"tenant": "contosso"})[0].endswith("'contosso' (did you mean 'contoso'?)")


def test_where_tenants_are_open_nothing_is_said_of_them() -> None:
    assert found({"tenant": "x"}, policies=[{"policy": "own"}]) == []
    assert found({"tenant": "x"}, policies=[{"policy": "entra", "settings": {"any_tenant": True}}]) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_have_no_idle_contracts(path: Path) -> None:
    settings = parse(yaml.safe_load(path.read_text("utf-8")))
    assert list(idle_contracts(settings, settings.catalogue(), NOW)) == []


@pytest.mark.parametrize(
    ("glob", "is_malformed"),
    [
        *((glob, False) for glob in ("a", "*?", "[ab]", "[]]", "[!]a]", "a]", "[0-9]", "[a-]")),
        *((glob, True) for glob in ("[", "[]", "[!]", "a[b", "[a]b[c", "[z-a]", "[!9-0]")),
    ],
)
def test_globs_that_are_none(glob: str, is_malformed: bool) -> None:
    assert (malformed(glob) is not None) is is_malformed


PATTERNS = st.text("ab*?[]!-", max_size=6)


@given(PATTERNS, PATTERNS, st.text("ab[]!-", max_size=6))
def test_no_name_is_of_both_where_they_do_not_meet(glob: str, other: str, name: str) -> None:
    if fnmatchcase(name, glob) and fnmatchcase(name, other):
        assert may_meet(glob, other)


@pytest.mark.parametrize(
    ("glob", "other", "meet"),
    [
        ("", "", True),
        ("*", "", True),
        ("a*", "*b", True),
        ("a*c", "ab*", True),
        ("a*", "b*", False),
        ("*a", "*b", False),
        ("a?", "a", False),
        ("a?c", "ab*", True),
        ("gpt-4o-20*", "gpt-4o", False),
        ("a[bc]", "ab*", True),
        ("*" * 128 + "a", "*" * 128 + "b", False),
    ],
)
def test_what_meets(glob: str, other: str, meet: bool) -> None:
    assert may_meet(glob, other) is may_meet(other, glob) is meet

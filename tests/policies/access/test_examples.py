"""The shipped examples: they are usable as they stand, and their roles are the ones that the documentation promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extproc.assembly import assemble
from extproc.call import Endpoint, Operation
from extproc.configured import read_tree
from extproc.exchange import Dialect
from extproc.settings import Settings, parse
from policies.access.decide import Allowed, decide_endpoint, usable_models
from policies.access.grants import Grants, compile_grants
from policies.access.settings import AccessSettings
from tests.policies.access.world import person

ROOT = Path(__file__).parents[3]
EXAMPLES = ("azure-openai", "self-hosted")

PERMISSIONS = (
    "manage_org_kb",
    "manage_dept_kb",
    "manage_tools",
    "upload_docs",
    "query_kb",
    "use_agent",
    "view_audit_logs",
)

# One request that each permission is there for: agent, method, path.
REQUESTS = {
    "manage_org_kb": ("kb", "PUT", "/settings"),
    "manage_dept_kb": ("kb", "PUT", "/departments/7/members"),
    "manage_tools": ("tools", "POST", "/register"),
    "upload_docs": ("kb", "POST", "/docs"),
    "query_kb": ("kb", "GET", "/search"),
    "use_agent": ("assistant", "POST", "/run"),
    "view_audit_logs": ("audit", "GET", "/events"),
}

MATRIX = {
    # Columns in the order of PERMISSIONS.
    "OrgAdmin": (True, True, True, True, True, True, True),
    "DeptAdmin": (False, True, False, True, True, True, False),
    "TeamLead": (False, False, False, True, True, True, False),
    "User": (False, False, False, True, True, True, False),
    "ReadOnly": (False, False, False, False, True, False, False),
    "Guest": (False, False, False, False, False, False, False),
}


def example(name: str) -> Settings:
    return parse(read_tree(ROOT / "examples" / f"{name}.yaml"))


def settings_of(configuration: Settings, policy: str) -> dict[str, Any]:
    return next(entry.settings for entry in configuration.policies if entry.policy == policy)


def compiled(name: str) -> Grants:
    configuration = example(name)
    return compile_grants(AccessSettings.model_validate(settings_of(configuration, "access")), configuration.catalogue())


@pytest.mark.parametrize(
    ("name", "policies"),
    [
        *((name, ["entra", "access", "cost"]) for name in (*EXAMPLES, "ai-gateway")),
        ("prices", ["entra", "access", "limits"]),
    ],
)
def test_an_example_is_usable(name: str, policies: list[str]) -> None:
    # As `sluicegate check` does it: found by entry point, validated, built, put in order.
    chain = assemble(example(name))
    assert [link.policy.name for link in chain.links] == policies


def test_every_example_is_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.yaml")} == {*EXAMPLES, "ai-gateway", "prices"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_roles_hold_the_promised_permissions(name: str) -> None:
    settings = AccessSettings.model_validate(settings_of(example(name), "access"))
    assert set(settings.permissions) == set(PERMISSIONS)
    held = {
        role: tuple(permission in assignment.permissions or "*" in assignment.permissions for permission in PERMISSIONS)
        for role, assignment in settings.roles.items()
    }
    assert held == {role: row for role, row in MATRIX.items() if role != "Guest"}


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("role", list(MATRIX))
def test_the_matrix_holds_for_requests(name: str, role: str) -> None:
    grants = compiled(name)
    outcomes = []
    for permission in PERMISSIONS:
        agent, method, path = REQUESTS[permission]
        asked = Endpoint(Operation.AGENT, Dialect.OPENAI, route=agent, rest=path)
        outcomes.append(isinstance(decide_endpoint(grants, person(role), asked, method, path), Allowed))
    assert tuple(outcomes) == MATRIX[role]


@pytest.mark.parametrize(
    ("name", "role", "dialect", "models"),
    [
        ("azure-openai", "ReadOnly", Dialect.OPENAI, ["gpt-4o", "gpt-4o-mini", "text-embedding-3-large"]),
        ("azure-openai", "User", Dialect.OPENAI, ["gpt-4o", "gpt-4o-mini", "text-embedding-3-large", "gpt-5"]),
        ("azure-openai", "Guest", Dialect.OPENAI, []),
        ("self-hosted", "ReadOnly", Dialect.OPENAI, ["llama-3.3-70b", "bge-m3"]),
        ("self-hosted", "ReadOnly", Dialect.ANTHROPIC, []),
        ("self-hosted", "User", Dialect.ANTHROPIC, ["claude-sonnet-5-5", "claude-haiku-5-5"]),
    ],
)
def test_the_models_of_a_role(name: str, role: str, dialect: Dialect, models: list[str]) -> None:
    assert usable_models(compiled(name), person(role), dialect) == models


@pytest.mark.parametrize("name", [*EXAMPLES, "ai-gateway"])
def test_examples_hold_no_secret(name: str) -> None:
    configuration = example(name)
    assert all(upstream.credential is None or upstream.credential.env is not None for upstream in configuration.upstreams)

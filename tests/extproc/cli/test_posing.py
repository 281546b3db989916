from __future__ import annotations

from typing import Any

import pytest

from extproc.chain import Chain, Link
from extproc.cli.posing import Posing, described, identity_of, posed
from extproc.identity import CallerKind, Identity
from extproc.policy import Policy
from extproc.settings import parse

GUID = "16223B5E-7F36-5850-BDA3-09553CED0B0E"
SETTINGS = parse({"policies": [{"policy": "p", "settings": {"tenants": [{"id": GUID, "name": "contoso"}, {"id": "x"}]}}]})
NOTHING: dict[str, Any] = {"tenant": None, "roles": [], "groups": [], "scopes": [], "app": False}


class Proving(Policy):
    name = "proving"
    provides = (Identity,)


class Other(Policy):
    name = "other"


@pytest.mark.parametrize(
    ("asked", "tenant", "name"),
    [
        (None, GUID.lower(), "contoso"),
        ("Contoso", GUID.lower(), "contoso"),
        (GUID, GUID.lower(), "contoso"),
        ("X", "x", ""),
    ],
)
def test_tenants_by_name_or_id(asked: str | None, tenant: str, name: str) -> None:
    identity = identity_of(SETTINGS, **{**NOTHING, "tenant": asked})
    assert (identity.tenant, identity.tenant_name, identity.kind) == (tenant, name, CallerKind.USER)


def test_a_tenant_that_the_configuration_does_not_name() -> None:
    with pytest.raises(ValueError, match=r"^the configuration names no tenant 'contso', but contoso, x$"):
        identity_of(SETTINGS, **{**NOTHING, "tenant": "contso"})
    anybody = identity_of(parse({"policies": [{"policy": "p"}]}), **{**NOTHING, "tenant": "any"})
    assert anybody.tenant == "any"


def test_all_that_can_be_said_of_a_caller() -> None:
    asked: dict[str, Any] = {"tenant": None, "roles": ["B", "A"], "groups": [GUID, "Staff"], "scopes": ["s"], "app": True}
    identity = identity_of(SETTINGS, **asked)
    assert identity.groups == {GUID.lower(), "Staff"}
    assert described(identity) == (
        f"app of tenant contoso; roles A, B; groups {', '.join(sorted(identity.groups))}; scopes s"
    )


@pytest.mark.parametrize(
    ("links", "names", "replaced"),
    [
        ([Other(), Proving(), Other()], ["other", "stand-in", "other"], ["proving"]),
        ([Proving(), Proving()], ["stand-in"], ["proving", "proving"]),
        ([Other()], ["stand-in", "other"], []),
        ([], ["stand-in"], []),
    ],
)
def test_it_stands_where_the_identity_policy_stood(links: list[Policy], names: list[str], replaced: list[str]) -> None:
    chain, gone = posed(Chain(map(Link, links)), identity_of(SETTINGS, **NOTHING), timeout=1.0)
    assert [link.policy.name for link in chain.links] == names
    assert gone == replaced
    assert sum(isinstance(link.policy, Posing) for link in chain.links) == 1

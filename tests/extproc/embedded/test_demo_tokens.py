from __future__ import annotations

from uuid import UUID

import pytest

from extproc.configured import read_tree
from extproc.embedded.demo_tokens import GATEWAY, TENANTS, Caller, claims, demo_guid, parse_lifetime
from extproc.embedded.stack import DEMO

CONTOSO = "16223b5e-7f36-5850-bda3-09553ced0b0e"
NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800), ("30d", 2_592_000), ("-5m", -300), ("1s", 1)],
)
def test_lifetimes(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1.5h", "1 h", " 1h", "1h ", "0s", "-0s", "31d", "1w", "1H", "+1h", "--1h", "9999999d", "١h"]
)
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        parse_lifetime(text)


@pytest.mark.parametrize(
    ("name", "guid"),
    [
        ("contoso", CONTOSO),
        (CONTOSO, CONTOSO),
        (CONTOSO.upper(), CONTOSO),
        ("fabrikam", "5b776b96-aed2-5507-8d0d-17fc4a1e39de"),
    ],
)
def test_tenants_by_name_or_guid(name: str, guid: str) -> None:
    assert demo_guid("tenant", name) == guid


@pytest.mark.parametrize(
    "name", ["contosO", "", "x" * 36, "{16223b5e-7f36-5850-bda3-09553ced0b0}", CONTOSO.replace("-", "")]
)
def test_other_names_are_other_guids_and_always_the_same(name: str) -> None:
    guid = demo_guid("tenant", name)
    assert UUID(guid).version == 5
    assert guid != CONTOSO
    assert guid == demo_guid("tenant", name)
    assert guid != demo_guid("user", name)


def test_a_person_has_scope_and_roles_and_no_mark_of_an_application() -> None:
    members = claims(
        Caller("contoso", "alice", ("User", "TeamLead"), department="research"), now=NOW, lifetime=3600, token_id="t1"
    )
    assert members["iss"] == f"https://login.sluicegate.test/{CONTOSO}/v2.0"
    assert members["aud"] == GATEWAY
    assert (members["iat"], members["nbf"], members["exp"]) == (NOW, NOW, NOW + 3600)
    assert members["tid"] == CONTOSO
    assert members["ver"] == "2.0"
    assert members["scp"] == "access_as_user"
    assert members["idtyp"] == "user"
    assert members["roles"] == ["User", "TeamLead"]
    assert members["department"] == "research"
    assert members["uti"] == "t1"
    assert members["oid"] != demo_guid("user", f"{TENANTS['fabrikam']}/alice")


def test_an_application_has_no_scope() -> None:
    members = claims(Caller("contoso", "batch", ("User",), app_only=True), now=NOW, lifetime=60, token_id="t2")
    assert members["idtyp"] == "app"
    assert "scp" not in members
    assert "name" not in members
    assert members["roles"] == ["User"]


def test_without_roles_groups_and_department_there_are_no_such_claims() -> None:
    members = claims(Caller("contoso", "alice"), now=NOW, lifetime=60, token_id="t3")
    assert not {"roles", "groups", "department"} & set(members)


def test_groups_are_guids() -> None:
    members = claims(Caller("contoso", "alice", groups=("staff", CONTOSO)), now=NOW, lifetime=60, token_id="t4")
    assert [str(UUID(group)) for group in members["groups"]] == members["groups"]


def test_an_expired_token_was_good_once() -> None:
    members = claims(Caller("contoso", "alice"), now=NOW, lifetime=-300, token_id="t5")
    assert members["nbf"] < members["exp"] == NOW - 300


def test_the_demo_configuration_names_these_tenants_and_this_audience() -> None:
    entra = read_tree(DEMO)["policies"][0]["settings"]
    assert {tenant["name"]: tenant["id"] for tenant in entra["tenants"]} == dict(TENANTS)
    assert entra["audiences"] == [GATEWAY]

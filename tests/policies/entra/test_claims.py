"""Claims to identity: what the table of attacks in test_policy.py does not say already."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.identity import CallerKind
from policies.entra.claims import ClaimRules, Verified, identify
from policies.entra.groups_claim import read_groups
from policies.entra.issuer import Version
from policies.entra.mapped import mapped
from policies.entra.refusal import Reason, Refusal
from policies.entra.settings import ClaimNames
from tests.entra_tokens import ABSENT, ALICE, API, CONTOSO, Issuer, guid
from tests.policies.entra.world import NOW

NAMES = ClaimNames(department="dept", cost_centre="cc", tenant_name="org")
RULES = ClaimRules(frozenset({API, "api://gateway", "api://gateway/"}), {CONTOSO: "contoso"}, names=NAMES)


def _identify(version: Version = "2.0", rules: ClaimRules = RULES, **changes: Any) -> Verified | Refusal:
    claims = Issuer().claims(CONTOSO, version=version, now=NOW, **changes)
    return identify(claims, CONTOSO, version, rules, NOW)


def _good(**changes: Any) -> Verified:
    verified = _identify(**changes)
    assert isinstance(verified, Verified), verified
    return verified


def test_all_of_it() -> None:
    verified = _good(
        roles=["User", "TeamLead"], scp="chat tools.read", groups=[guid("a")], dept="R&D", cc="4711", uti="abc_-1"
    )
    identity = verified.identity
    assert verified.expires == int(NOW) + 3600
    assert (identity.tenant, identity.user, identity.kind) == (CONTOSO, ALICE, CallerKind.USER)
    assert identity.roles == {"User", "TeamLead"}
    assert identity.scopes == {"chat", "tools.read"}
    assert identity.groups == {guid("a")}
    assert (identity.department, identity.cost_centre) == ("R&D", "4711")
    assert (identity.tenant_name, identity.token_id) == ("contoso", "abc_-1")
    assert verified.notes == ()


@pytest.mark.parametrize("uti", [ABSENT, 1, "", "a b", "a\n", "x" * 129])
def test_an_odd_token_id_is_left_out(uti: Any) -> None:
    assert _good(uti=uti).identity.token_id == ""


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"idtyp": "user"}, CallerKind.USER),
        ({"idtyp": ABSENT}, CallerKind.USER),
        ({"app_only": True}, CallerKind.APP),
        ({"app_only": True, "idtyp": ABSENT}, CallerKind.APP),
        ({"app_only": True, "azpacr": "2"}, CallerKind.APP),
        ({"app_only": True, "azpacr": ABSENT}, CallerKind.APP),
        ({"app_only": True, "idtyp": ABSENT, "sub": "other"}, Reason.CALLER_KIND),
        ({"app_only": True, "idtyp": ABSENT, "sub": ABSENT, "oid": ABSENT}, Reason.CALLER_KIND),
        ({"app_only": True, "idtyp": "user"}, Reason.NO_PERMISSION),
        ({"app_only": True, "idtyp": "APP"}, Reason.CALLER_KIND),
        ({"app_only": True, "idtyp": ["app"]}, Reason.CALLER_KIND),
        ({"idtyp": "app"}, Reason.CALLER_KIND),
        ({"scp": "a  b"}, Reason.CLAIM),
        ({"scp": " "}, Reason.CLAIM),
        ({"roles": None}, Reason.CLAIM),
        ({"roles": {"OrgAdmin": 1}}, Reason.CLAIM),
        ({"roles": ["\ud800"]}, Reason.CLAIM),
        ({"at_hash": "x"}, Reason.NOT_AN_ACCESS_TOKEN),
        ({"nbf": ABSENT}, Reason.CLAIM),
        ({"iat": True}, Reason.CLAIM),
        ({"iat": int(NOW) + 3000}, Reason.NOT_YET_VALID),
        ({"exp": -1}, Reason.CLAIM),
        ({"exp": 1 << 60}, Reason.CLAIM),
    ],
)
def test_kinds(changes: dict[str, Any], kind: CallerKind | Reason) -> None:
    answer = _identify(**changes)
    assert (answer.reason if isinstance(answer, Refusal) else answer.identity.kind) is kind


def test_the_application_is_read_from_the_claim_of_the_version() -> None:
    answer = _identify("1.0", appid=ABSENT, azp=guid("client"))
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.NOT_AN_ACCESS_TOKEN


@pytest.mark.parametrize(
    ("claims", "groups", "known"),
    [
        ({}, set(), True),
        ({"groups": []}, set(), True),
        ({"groups": [guid("a"), guid("b")]}, {guid("a"), guid("b")}, True),
        ({"hasgroups": False}, set(), True),
        ({"_claim_names": {"other": "src1"}}, set(), True),
        ({"_claim_names": {"groups": "src1"}}, set(), False),
        ({"_claim_names": {"groups": "src1"}, "groups": [guid("a")]}, set(), False),
        ({"_claim_names": "groups"}, set(), False),
        ({"_claim_names": None}, set(), False),
        ({"_claim_names": ["groups"]}, set(), False),
        ({"hasgroups": True}, set(), False),
        ({"hasgroups": "true"}, set(), False),
        ({"hasgroups": None}, set(), False),
        ({"groups": "all"}, set(), False),
        ({"groups": None}, set(), False),
        ({"groups": ["Domain Admins"]}, set(), False),
        ({"groups": [guid("a"), 1]}, set(), False),
        ({"groups": [guid("a").upper()]}, set(), False),
    ],
)
def test_groups(claims: dict[str, Any], groups: set[str], known: bool) -> None:
    found, is_known, notes = read_groups(claims)
    assert found == groups
    assert is_known is known
    assert bool(notes) is not known


@pytest.mark.parametrize(
    "value", ["R&D", "4711", "Qualität (EU)", "研究開発", "A", "a" * 64, "Sales/EMEA: north", "O'Neil"]
)
def test_names_are_kept(value: str) -> None:
    assert mapped({"dept": value, "cc": value}, NAMES) == (
        {"department": value, "cost_centre": value, "tenant_name": ""},
        (),
    )


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "a" * 65,
            " R&D",
            "R&D ",
            "a\nb",
            "a\r\nx-admin: 1",
            "a\x00",
            "a{b}",
            'a"b',
            "a\\b",
            "a;b",
            "<script>",
        ),
        *("\ud800", "Qualita\u0308t", "\u212bngstrom", "a\u202eb", "a\u200bb"),
        *(4711, True, ["R&D"], {"a": 1}),
    ],
)
def test_what_is_no_name_is_dropped_and_noted(value: Any) -> None:
    facts, notes = mapped({"dept": value}, NAMES)
    assert facts["department"] == ""
    assert len(notes) == 1
    assert "dept" in notes[0]


def test_nothing_is_read_that_is_not_configured() -> None:
    verified = _good(rules=ClaimRules(RULES.audiences, {}), dept="R&D", department="R&D")
    assert verified.identity.department == ""


def test_a_token_does_not_rename_a_configured_tenant() -> None:
    assert _good(org="fabrikam").identity.tenant_name == "contoso"
    assert _good(rules=ClaimRules(RULES.audiences, {CONTOSO: ""}, names=NAMES), org="fabrikam").identity.tenant_name == (
        "fabrikam"
    )


@pytest.mark.parametrize(
    ("required", "claims", "lacking"),
    [
        (("c1",), {"acrs": ["c1"]}, None),
        (("c1", "c2"), {"acrs": ["c2", "c1"]}, None),
        (("c1", "c2"), {"acrs": ["c1"], "xms_cc": ["cp1"]}, "c2"),
        (("c1",), {"acrs": {"c1": True}, "xms_cc": ["cp1"]}, "c1"),
    ],
)
def test_the_first_context_that_lacks_is_demanded(
    required: tuple[str, ...], claims: dict[str, Any], lacking: str | None
) -> None:
    answer = _identify(rules=ClaimRules(RULES.audiences, RULES.tenants, required_acrs=required), **claims)
    if lacking is None:
        assert isinstance(answer, Verified)
        return
    assert isinstance(answer, Refusal)
    assert json.loads(answer.claims_challenge or "") == {"access_token": {"acrs": {"essential": True, "value": lacking}}}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["app", "user", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_claim = st.sampled_from(
    [*sorted(Issuer().claims(CONTOSO)), "groups", "roles", "_claim_names", "hasgroups", "acrs", "dept"]
)


@settings(deadline=None)
@given(st.dictionaries(_claim, _json, max_size=4))
def test_arbitrary_claims_never_crash_and_never_raise_rights(changes: dict[str, Any]) -> None:
    answer = _identify(**changes)
    if isinstance(answer, Verified):
        assert answer.identity.user == ALICE
        assert answer.identity.roles <= set(changes.get("roles", []))
        assert answer.identity.groups == frozenset()

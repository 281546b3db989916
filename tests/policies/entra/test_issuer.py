"""Tenant, issuer and key: who may have signed what."""

from __future__ import annotations

from typing import Any

import pytest

from policies.entra.issuer import Authority, KeyPlace, Version, issued_by, key_place, may_sign, same_issuer
from policies.entra.refusal import RefusedError
from tests.entra_tokens import CONTOSO, FABRIKAM

WORLD = Authority("https://login.microsoftonline.com", "https://sts.windows.net")
CHINA = Authority("https://login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn")
V2 = f"https://login.microsoftonline.com/{CONTOSO}/v2.0"
V1 = f"https://sts.windows.net/{CONTOSO}/"
MSA = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"


@pytest.mark.parametrize(
    ("authority", "version", "issuer"),
    [
        (WORLD, "2.0", V2),
        (WORLD, "1.0", V1),
        (CHINA, "2.0", f"https://login.partner.microsoftonline.cn/{CONTOSO}/v2.0"),
        (CHINA, "1.0", f"https://sts.chinacloudapi.cn/{CONTOSO}/"),
    ],
)
def test_the_issuer_of_each_version_and_cloud(authority: Authority, version: Version, issuer: str) -> None:
    claims = {"ver": version, "tid": CONTOSO, "iss": issuer}
    assert issued_by(claims, authority, ("1.0", "2.0")) == (CONTOSO, version)


@pytest.mark.parametrize(
    ("changes", "versions"),
    [
        ({}, ("1.0",)),
        ({"iss": V1}, ("1.0", "2.0")),
        ({"ver": "1.0"}, ("1.0", "2.0")),
        ({"ver": None}, ("1.0", "2.0")),
        ({"tid": FABRIKAM}, ("2.0",)),
        ({"tid": f"{CONTOSO}/"}, ("2.0",)),
        ({"tid": f"{CONTOSO}\n"}, ("2.0",)),
        ({"tid": CONTOSO.replace("1", "\uff11")}, ("2.0",)),
        ({"tid": {}}, ("2.0",)),
        ({"iss": V2 + "?"}, ("2.0",)),
        ({"iss": None}, ("2.0",)),
    ],
)
def test_what_does_not_agree_is_refused(changes: dict[str, Any], versions: tuple[Version, ...]) -> None:
    with pytest.raises(RefusedError):
        issued_by({"ver": "2.0", "tid": CONTOSO, "iss": V2, **changes}, WORLD, versions)


@pytest.mark.parametrize(
    ("tenant", "version", "common", "place"),
    [
        (CONTOSO, "1.0", False, KeyPlace(CONTOSO, "1.0")),
        (CONTOSO, "2.0", False, KeyPlace(CONTOSO, "2.0")),
        (CONTOSO, "1.0", True, KeyPlace("common", "2.0")),
        (CONTOSO, "2.0", True, KeyPlace("common", "2.0")),
    ],
)
def test_where_keys_are(tenant: str, version: Version, common: bool, place: KeyPlace) -> None:
    assert key_place(tenant, version, common=common) == place


@pytest.mark.parametrize(
    ("issuers", "version", "common", "may"),
    [
        ({V2}, "2.0", False, True),
        ({V2}, "1.0", False, True),
        ({V1}, "1.0", False, True),
        ({V1}, "2.0", False, False),
        ({None}, "1.0", False, True),
        ({None}, "2.0", False, True),
        ({None}, "2.0", True, False),
        ({"https://login.microsoftonline.com/{tenantid}/v2.0"}, "2.0", True, True),
        ({"https://login.microsoftonline.com/{tenantId}/v2.0"}, "1.0", True, True),
        ({"https://login.microsoftonline.com/{TENANTID}/v2.0"}, "2.0", False, True),
        ({"https://login.microsoftonline.com/{tenant}/v2.0"}, "2.0", True, False),
        ({MSA}, "2.0", True, False),
        ({MSA}, "2.0", False, False),
        ({MSA, "https://login.microsoftonline.com/{tenantid}/v2.0"}, "2.0", True, True),
        ({None, MSA}, "2.0", True, False),
        (set(), "2.0", False, False),
        ({""}, "2.0", True, False),
    ],
)
def test_who_may_sign(issuers: set[str | None], version: Version, common: bool, may: bool) -> None:
    assert may_sign(frozenset(issuers), WORLD, CONTOSO, version, common=common) is may


def test_a_tenant_is_inserted_as_it_is() -> None:
    assert same_issuer("a{tenantid}b", r"a\1b", r"\1")


def test_the_metadata_issuer() -> None:
    assert WORLD.metadata_issuer(KeyPlace("common", "2.0")) == "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert WORLD.metadata_issuer(KeyPlace(CONTOSO, "1.0")) == V1

"""The settings: what is accepted, and what is a mistake."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.entra.issuer import KeyPlace
from policies.entra.settings import EntraSettings
from policies.entra.verify import Rules
from tests.entra_tokens import API, CLIENT, CONTOSO, FABRIKAM
from tests.policies.entra.world import settings

SECRET = {"env": "GRAPH_SECRET"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tenants": [{"id": CONTOSO}]},
        {"tenants": [{"id": CONTOSO}, {"id": FABRIKAM}]},
        {"any_tenant": True, "keys": "common", "tenants": []},
        {"audiences": [API.upper(), "https://gateway.contoso.com/api", "api://contoso.onmicrosoft.com/gateway"]},
        {"authority": "https://login.microsoftonline.us/"},
        {"fetch_from": "http://127.0.0.1:9001"},
        {"fetch_from": "http://[::1]:9001"},
        {"fetch_from": "http://localhost:9001"},
        {"fetch_from": "https://mirror.contoso.com/entra"},
        {"graph": {"client_id": CLIENT, "secret": {"file": "/run/secrets/graph"}}},
        {"claims": {"department": "extension_dept", "cost_centre": "cc"}},
        {"required_acrs": ["c1", "c25"]},
        {"versions": ["2.0"], "leeway": 0, "token_cache_size": 0},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    settings(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tenants": []}, "at least one tenant"),
        ({"tenants": [{"id": "*"}]}, "expected a GUID"),
        ({"tenants": [{"id": "contoso.onmicrosoft.com"}]}, "expected a GUID"),
        ({"tenants": [{"id": CONTOSO}, {"id": CONTOSO}]}, "stands twice"),
        ({"tenants": [{"id": CONTOSO, "name": "a"}, {"id": FABRIKAM, "name": "a"}]}, "stands twice"),
        ({"tenants": [{"id": CONTOSO, "name": "Contoso Ltd."}]}, "pattern"),
        ({"any_tenant": True}, "keys: common"),
        ({"audiences": []}, "at least 1"),
        ({"audiences": ["gateway"]}, "client id"),
        ({"audiences": ["api://gate way"]}, "client id"),
        ({"audiences": ["https://graph.microsoft.com/"]}, "Graph"),
        ({"audiences": ["00000003-0000-0000-C000-000000000000"]}, "Graph"),
        ({"authority": "http://login.microsoftonline.com"}, "https"),
        ({"authority": "https://user:pass@login.microsoftonline.com"}, "credentials"),
        ({"authority": "login.microsoftonline.com"}, "host"),
        ({"authority": "https://login.microsoftonline.com/?x=1"}, "query"),
        ({"fetch_from": "http://mirror.contoso.com"}, "loopback"),
        ({"fetch_from": "http://127.0.0.1.evil.example"}, "loopback"),
        ({"fetch_from": "http://localhost.evil.example"}, "loopback"),
        ({"fetch_from": "ftp://127.0.0.1"}, "https"),
        ({"keys": "organizations"}, "tenant.*common"),
        ({"leeway": 301}, "300"),
        ({"leeway": -1}, "0"),
        ({"max_token_bytes": 10_000_000}, "65536"),
        ({"versions": []}, "at least 1"),
        ({"versions": ["3.0"]}, "1.0"),
        ({"claims": {"department": "email"}}, "changed by people"),
        ({"claims": {"tenant_name": "upn"}}, "changed by people"),
        ({"claims": {"user": "sub"}}, "Extra inputs"),
        ({"required_acrs": ["high"]}, "pattern"),
        ({"realm": 'a"b'}, "quotes"),
        ({"realm": "a\r\nb"}, "printable"),
        ({"refresh": 3_600, "max_age": 60}, "max_age"),
        ({"graph": {"client_id": CLIENT, "secret": "hunter2"}}, "Secret"),
        ({"graph": {"client_id": CLIENT, "secret": SECRET, "base_url": "http://graph.example"}}, "https"),
        ({"issuer": "https://x"}, "Extra inputs"),
    ],
)
def test_mistakes(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(**changes)


def test_audiences_with_and_without_slash() -> None:
    accepted = settings(audiences=[API.upper(), "api://gateway", "https://gateway.contoso.com/"]).accepted_audiences()
    assert {
        API,
        "api://gateway",
        "api://gateway/",
        "https://gateway.contoso.com",
        "https://gateway.contoso.com/",
    } <= accepted
    assert API + "/" not in accepted


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"tenants": [{"id": CONTOSO}]}, [KeyPlace(CONTOSO, "1.0"), KeyPlace(CONTOSO, "2.0")]),
        ({"versions": ["2.0"]}, [KeyPlace(CONTOSO, "2.0"), KeyPlace(FABRIKAM, "2.0")]),
        ({"keys": "common"}, [KeyPlace("common", "2.0")]),
    ],
)
def test_where_keys_may_be_fetched_from(changes: dict[str, Any], places: list[KeyPlace]) -> None:
    assert list(Rules.of(settings(**changes)).key_places()) == places


def test_defaults_are_those_of_the_public_cloud() -> None:
    plain = EntraSettings.model_validate({"audiences": [API], "tenants": [{"id": CONTOSO}]})
    rules = Rules.of(plain)
    assert rules.authority.issuer("2.0", CONTOSO) == f"https://login.microsoftonline.com/{CONTOSO}/v2.0"
    assert rules.authority.issuer("1.0", CONTOSO) == f"https://sts.windows.net/{CONTOSO}/"
    assert (plain.leeway, plain.max_token_bytes) == (60, 16_384)

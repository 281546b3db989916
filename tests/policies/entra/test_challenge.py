"""What callers are told."""

from __future__ import annotations

import json
import re
from base64 import b64decode

import pytest

from policies.entra.challenge import TELLINGS, Realm, challenge, quoted, reject
from policies.entra.refusal import Reason, Refusal, shown

REALM = Realm("sluicegate", None, "https://login.microsoftonline.com/common/oauth2/v2.0/authorize")
NAMED = Realm("gate", "https://login.example/authorize", "unused")


def _header(refusal: Refusal, realm: Realm = REALM) -> str:
    return dict(reject(refusal, realm).headers)["www-authenticate"]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_told(reason: Reason) -> None:
    rejection = reject(Refusal(reason, "detail"), REALM)
    assert rejection.why == f"{reason}: detail"
    assert "detail" not in rejection.message
    assert rejection.status in {400, 401, 403, 503}
    assert re.fullmatch(r"[a-z_]+", rejection.code)
    # RFC 6750 section 3: the characters that error_description may have.
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", rejection.message)
    assert bool(rejection.headers) is (rejection.status != 503)


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        (Reason.NO_CREDENTIALS, 'Bearer realm="sluicegate"'),
        (Reason.OTHER_SCHEME, 'Bearer realm="sluicegate"'),
        (Reason.EXPIRED, 'Bearer realm="sluicegate", error="invalid_token", error_description="The token has expired."'),
    ],
)
def test_the_challenge(reason: Reason, value: str) -> None:
    assert _header(Refusal(reason)) == value


@pytest.mark.parametrize(
    ("reason", "status", "error"),
    [
        (Reason.CONFLICTING_TOKENS, 400, "invalid_request"),
        (Reason.SIGNATURE, 401, "invalid_token"),
        (Reason.NO_PERMISSION, 403, "insufficient_scope"),
        (Reason.AUTHENTICATION_CONTEXT, 403, "insufficient_scope"),
    ],
)
def test_errors_of_rfc_6750(reason: Reason, status: int, error: str) -> None:
    assert reject(Refusal(reason), REALM).status == status
    assert f'error="{error}"' in _header(Refusal(reason))


def test_a_configured_authorization_uri_is_always_told() -> None:
    assert _header(Refusal(Reason.NO_CREDENTIALS), NAMED) == (
        'Bearer realm="gate", authorization_uri="https://login.example/authorize"'
    )


@pytest.mark.parametrize("realm", [REALM, NAMED])
def test_a_claims_challenge(realm: Realm) -> None:
    request = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'
    rejection = reject(Refusal(Reason.AUTHENTICATION_CONTEXT, claims_challenge=request), realm)
    assert (rejection.status, rejection.code) == (401, "insufficient_claims")
    header = dict(rejection.headers)["www-authenticate"]
    members = dict(re.findall(r'(\w+)="([^"]*)"', header))
    assert members["error"] == "insufficient_claims"
    assert members["authorization_uri"] == (realm.authorization_uri or realm.default_authorization_uri)
    assert json.loads(b64decode(members["claims"])) == json.loads(request)


def test_the_reason_is_for_the_operator_only() -> None:
    rejection = reject(Refusal(Reason.TENANT_NOT_ALLOWED, "tenant-of-a-customer"), REALM)
    assert "tenant-of-a-customer" not in rejection.message + str(rejection.headers)


def test_retry_after_is_passed_on() -> None:
    assert reject(Refusal(Reason.KEYS_UNAVAILABLE, retry_after=7.0), REALM).retry_after == 7


@pytest.mark.parametrize(
    ("value", "expected"), [("plain", "plain"), ('a"b', 'a\\"b'), ("a\\b", "a\\\\b"), ("a\r\nb", "a??b"), ("é", "?")]
)
def test_quoting(value: str, expected: str) -> None:
    assert quoted(value) == expected
    telling = TELLINGS[Reason.NO_CREDENTIALS]
    assert challenge(telling, Realm(value, None, "")) == f'Bearer realm="{expected}"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\r\nb", r"'a\r\nb'"),
        ("\ud800é", r"'\ud800\xe9'"),
        (None, "None"),
        (["secret"], "a list"),
        ({"a": 1}, "a dict"),
        ("x" * 500, "'" + "x" * 79 + "…"),
    ],
)
def test_hostile_values_in_reasons_are_harmless(value: object, expected: str) -> None:
    assert shown(value) == expected

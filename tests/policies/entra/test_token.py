"""Header fields to a token; hostile bytes never to anything else than a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.exchange import Headers
from policies.entra.refusal import Reason, Refusal
from policies.entra.token import Token, parse_token, read_bearer
from tests.entra_tokens import ABSENT, CONTOSO, Issuer, assemble, b64, overridden

GOOD = "aaa.bbb.ccc"
HEADER: dict[str, Any] = {"typ": "JWT", "alg": "RS256", "kid": "key-1"}


@pytest.mark.parametrize(
    "fields",
    [
        [("authorization", f"Bearer {GOOD}")],
        [("authorization", f"bearer {GOOD}")],
        [("authorization", f"BEARER  {GOOD}")],
        [("api-key", GOOD)],
        [("x-api-key", GOOD)],
        [("authorization", f"Bearer {GOOD}"), ("api-key", GOOD), ("x-api-key", GOOD)],
        [("cookie", "authorization=Bearer x"), ("api-key", GOOD), ("x-api-key-2", "other")],
    ],
)
def test_the_token_is_found(fields: list[tuple[str, str]]) -> None:
    assert read_bearer(Headers(fields), 100) == GOOD


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], Reason.NO_CREDENTIALS),
        ([("proxy-authorization", f"Bearer {GOOD}")], Reason.NO_CREDENTIALS),
        ([("authorization", "Basic dXNlcjpwYXNz")], Reason.OTHER_SCHEME),
        ([("authorization", GOOD)], Reason.OTHER_SCHEME),
        ([("authorization", f"Bearer\t{GOOD}")], Reason.OTHER_SCHEME),
        ([("authorization", f" Bearer {GOOD}")], Reason.OTHER_SCHEME),
        ([("authorization", "Basic dXNlcjpwYXNz"), ("api-key", GOOD)], Reason.OTHER_SCHEME),
        ([("authorization", "")], Reason.OTHER_SCHEME),
        ([("authorization", "Bearer")], Reason.MALFORMED_FIELD),
        ([("authorization", "Bearer ")], Reason.MALFORMED_FIELD),
        ([("api-key", "")], Reason.MALFORMED_FIELD),
        ([("api-key", f"Bearer {GOOD}")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD},Bearer {GOOD}")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD}, Bearer x.y.z")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD} ")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD}=")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD}\n")], Reason.MALFORMED_FIELD),
        ([("authorization", "Bearer aaa.bbb.\u0441\u0441\u0441")], Reason.MALFORMED_FIELD),
        ([("authorization", f"Bearer {GOOD}"), ("authorization", f"Bearer {GOOD}")], Reason.REPEATED_FIELD),
        ([("api-key", GOOD), ("api-key", "x.y.z")], Reason.REPEATED_FIELD),
        ([("authorization", f"Bearer {GOOD}"), ("api-key", "x.y.z")], Reason.CONFLICTING_TOKENS),
        ([("x-api-key", GOOD), ("api-key", "x.y.z")], Reason.CONFLICTING_TOKENS),
        ([("authorization", f"Bearer {GOOD}"), ("x-api-key", "")], Reason.CONFLICTING_TOKENS),
        ([("authorization", "Bearer " + "a" * 101)], Reason.TOO_LONG),
    ],
)
def test_no_token_is_found(fields: list[tuple[str, str]], reason: Reason) -> None:
    found = read_bearer(Headers(fields), 100)
    assert isinstance(found, Refusal)
    assert found.reason is reason


def test_a_token_of_exactly_the_longest_length_is_read() -> None:
    assert read_bearer(Headers([("api-key", "a" * 100)]), 100) == "a" * 100


def test_a_good_token_is_taken_apart() -> None:
    text = Issuer().token(CONTOSO)
    token = parse_token(text)
    assert isinstance(token, Token)
    assert token.key_id == "key-1"
    assert token.claims["tid"] == CONTOSO
    assert text.encode().startswith(token.signed)
    assert "Alice" not in repr(token)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"alg": "none"}, Reason.ALGORITHM),
        ({"alg": "None"}, Reason.ALGORITHM),
        ({"alg": "HS256"}, Reason.ALGORITHM),
        ({"alg": "rs256"}, Reason.ALGORITHM),
        ({"alg": "PS256"}, Reason.ALGORITHM),
        ({"alg": "RS384"}, Reason.ALGORITHM),
        ({"alg": ["RS256"]}, Reason.ALGORITHM),
        ({"alg": ABSENT}, Reason.ALGORITHM),
        ({"crit": ["exp"]}, Reason.CRITICAL_HEADER),
        ({"crit": []}, Reason.CRITICAL_HEADER),
        ({"b64": False, "crit": ["b64"]}, Reason.CRITICAL_HEADER),
        ({"jku": "https://evil.example/keys"}, Reason.OWN_KEY),
        ({"jwk": {"kty": "RSA"}}, Reason.OWN_KEY),
        ({"x5u": "https://evil.example/cert"}, Reason.OWN_KEY),
        ({"x5c": ["MII"]}, Reason.OWN_KEY),
        ({"nonce": "abc"}, Reason.OTHER_RESOURCE),
        ({"typ": ABSENT}, Reason.TYPE),
        ({"typ": "dpop+jwt"}, Reason.TYPE),
        ({"typ": "logout+jwt"}, Reason.TYPE),
        ({"typ": 1}, Reason.TYPE),
        ({"kid": ABSENT}, Reason.KEY_ID),
        ({"kid": 1}, Reason.KEY_ID),
        ({"kid": ["key-1"]}, Reason.KEY_ID),
        ({"kid": None}, Reason.KEY_ID),
        ({"kid": ""}, Reason.KEY_ID),
        ({"kid": "k" * 129}, Reason.KEY_ID),
        ({"kid": "../../etc/passwd"}, Reason.KEY_ID),
        ({"kid": "key-1\n"}, Reason.KEY_ID),
        ({"kid": "' OR 1=1 --"}, Reason.KEY_ID),
    ],
)
def test_other_headers_are_refused(header: dict[str, Any], reason: Reason) -> None:
    token = parse_token(assemble(overridden(HEADER, header), {"a": 1}))
    assert isinstance(token, Refusal)
    assert token.reason is reason


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt"])
def test_types_of_access_tokens(kind: str) -> None:
    assert isinstance(parse_token(assemble({**HEADER, "typ": kind}, {})), Token)


def _text(header: str | bytes = json.dumps(HEADER), payload: str | bytes = "{}", signature: str = "AAAA") -> str:
    parts = (part.encode() if isinstance(part, str) else part for part in (header, payload))
    return ".".join([*(b64(part) for part in parts), signature])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sk-proj-abcdef", Reason.NOT_A_JWT),
        ("a.b", Reason.NOT_A_JWT),
        ("a.b.c.d", Reason.NOT_A_JWT),
        ("a.b.c.d.e", Reason.ENCRYPTED),
        ("..", Reason.BAD_JSON),
        ("a.b.c", Reason.BAD_ENCODING),
        (_text(signature="A"), Reason.BAD_ENCODING),
        (_text(signature="AB"), Reason.BAD_ENCODING),
        (_text()[:-5] + ".AAAA.", Reason.NOT_A_JWT),
        (_text(header="[]"), Reason.BAD_JSON),
        (_text(header='"RS256"'), Reason.BAD_JSON),
        (_text(header="{"), Reason.BAD_JSON),
        (_text(header='{"alg":"none","alg":"RS256","typ":"JWT","kid":"key-1"}'), Reason.BAD_JSON),
        (_text(header=json.dumps(HEADER).encode("utf-16")), Reason.BAD_JSON),
        (_text(header=b"\xef\xbb\xbf" + json.dumps(HEADER).encode()), Reason.BAD_JSON),
        (_text(payload='{"tid":"a","tid":"b"}'), Reason.BAD_JSON),
        (_text(payload='{"a":{"b":1,"b":2}}'), Reason.BAD_JSON),
        (_text(payload='{"a":1,"\\u0061":2}'), Reason.BAD_JSON),
        (_text(payload='{"exp":NaN}'), Reason.BAD_JSON),
        (_text(payload='{"exp":-Infinity}'), Reason.BAD_JSON),
        (_text(payload='{"exp":' + "9" * 5_000 + "}"), Reason.BAD_JSON),
        (_text(payload=b'{"a":"\xff"}'), Reason.BAD_JSON),
        (_text(payload='{"a":' * 3_000 + "1" + "}" * 3_000), Reason.BAD_JSON),
        (_text(payload="[" * 100_000), Reason.BAD_JSON),
        (_text(payload="{}{}"), Reason.BAD_JSON),
        (_text(payload=""), Reason.BAD_JSON),
    ],
)
def test_other_forms_are_refused(text: str, reason: Reason) -> None:
    token = parse_token(text)
    assert isinstance(token, Refusal)
    assert token.reason is reason


def test_only_one_encoding_of_a_token_is_read() -> None:
    text = _text(signature="AA")
    assert isinstance(parse_token(text), Token)
    assert isinstance(parse_token(text[:-1] + "B"), Refusal), "the same byte, differently written"


_names = st.sampled_from(["authorization", "api-key", "x-api-key", "cookie"])
_values = st.one_of(
    st.text(max_size=80), st.binary(max_size=80).map(lambda b: "Bearer " + b.decode("latin-1")), st.just("Bearer a.b.c")
)


@settings(deadline=None)
@given(st.lists(st.tuples(_names, _values), max_size=5))
def test_arbitrary_fields_never_crash_and_never_pass(fields: list[tuple[str, str]]) -> None:
    bearer = read_bearer(Headers(fields), 64)
    if isinstance(bearer, str):
        assert set(bearer) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert isinstance(parse_token(bearer), Refusal)


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=64))
def test_arbitrary_segments_never_crash(header: bytes, payload: bytes, signature: bytes) -> None:
    assert isinstance(parse_token(f"{b64(header)}.{b64(payload)}.{b64(signature)}"), Refusal)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "typ", "kid", "crit", "jku", "nonce"), _json)))
def test_arbitrary_headers_pass_only_in_the_one_form(changes: dict[str, Any]) -> None:
    token = parse_token(_text(header=json.dumps({**HEADER, **changes})))
    if isinstance(token, Token):
        assert changes.get("alg", "RS256") == "RS256"
        assert not {"crit", "jku", "nonce"} & set(changes)

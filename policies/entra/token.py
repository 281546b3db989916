"""From header fields to an unverified token: which field, which token, in which form.

Nothing here is trusted yet. Whatever the bytes are, the answer is a token in the one form that Entra issues (RFC 7515
compact serialisation, RS256) or a refusal.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.exchange import Headers
from extproc.payload import PayloadError, read_object
from policies.entra.refusal import Reason, Refusal, RefusedError, shown

CREDENTIAL_FIELDS: Final = ("authorization", "api-key", "x-api-key")
"""SDKs that know only API keys send the token in the second (Azure OpenAI) or third (Anthropic) field."""

# Narrower than RFC 6750's b64token: a JWT has neither "+", "/", "~" nor padding. A comma is Envoy joining two fields.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]+")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.=-]{1,128}")
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_OWN_KEY: Final = ("jku", "jwk", "x5u", "x5c")
_JWS_SEGMENTS: Final = 3
_JWE_SEGMENTS: Final = 5


@dataclass(frozen=True, slots=True)
class Token:
    """A well-formed RS256 token. `claims` are what it says, not what is so, until its signature is verified."""

    key_id: str
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read_bearer(headers: Headers, max_bytes: int) -> str | Refusal:
    """The one token that the request carries."""
    found = read_credential(headers, max_bytes)
    if isinstance(found, str) and not _TOKEN.fullmatch(found):
        return Refusal(Reason.MALFORMED_FIELD, "empty, or with characters that no token has")
    return found


def read_credential(headers: Headers, max_bytes: int) -> str | Refusal:
    """What stands where a token should, whatever its characters. Several fields may carry it, if they carry the same."""
    found: dict[str, str] = {}
    for name in CREDENTIAL_FIELDS:
        values = headers.all(name)
        if len(values) > 1:
            return Refusal(Reason.REPEATED_FIELD, name)
        if values:
            found[name] = values[0]
    if not found:
        return Refusal(Reason.NO_CREDENTIALS)
    token: str | None = None
    for name, value in found.items():
        credential = value
        if name == "authorization":
            scheme, _, rest = value.partition(" ")
            if scheme.lower() != "bearer":
                return Refusal(Reason.OTHER_SCHEME)
            credential = rest.lstrip(" ")
        if token is not None and credential != token:
            return Refusal(Reason.CONFLICTING_TOKENS, " and ".join(sorted(found)))
        token = credential
    if token is not None and len(token) > max_bytes:
        return Refusal(Reason.TOO_LONG, f"{len(token)} bytes, at most {max_bytes} are read")
    return token or ""


def parse_token(text: str) -> Token | Refusal:
    """Take the token apart. `text` is what `read_bearer` gave."""
    try:
        return _parse(text)
    except RefusedError as error:
        return error.refusal


def _parse(text: str) -> Token:
    segments = text.split(".")
    if len(segments) == _JWE_SEGMENTS:
        raise RefusedError(Reason.ENCRYPTED, "five segments: a JWE")
    if len(segments) != _JWS_SEGMENTS:
        raise RefusedError(Reason.NOT_A_JWT, f"{len(segments)} segments")
    header = _object(segments[0], "header")
    key_id = _check_header(header)
    claims = _object(segments[1], "payload")
    signature = _decode(segments[2], "signature")
    return Token(key_id, claims, f"{segments[0]}.{segments[1]}".encode("ascii"), signature)


def _check_header(header: dict[str, Any]) -> str:
    """The key id.

    Raises:
        RefusedError: the header is not one that Entra writes for other people's APIs.
    """
    algorithm = header.get("alg")
    if algorithm != "RS256":
        raise RefusedError(Reason.ALGORITHM, shown(algorithm))
    if "crit" in header:
        raise RefusedError(Reason.CRITICAL_HEADER, shown(header["crit"]))
    for name in _OWN_KEY:
        if name in header:
            raise RefusedError(Reason.OWN_KEY, name)
    if "nonce" in header:
        # Such tokens are signed over a hash of the nonce, so that only Microsoft's own API can verify them.
        raise RefusedError(Reason.OTHER_RESOURCE, "a nonce in the header: issued for a Microsoft API such as Graph")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise RefusedError(Reason.TYPE, shown(kind))
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise RefusedError(Reason.KEY_ID, shown(key_id))
    return key_id


def _object(segment: str, name: str) -> dict[str, Any]:
    data = _decode(segment, name)
    try:
        return read_object(data, what=name)
    except PayloadError as error:
        raise RefusedError(Reason.BAD_JSON, str(error)) from None


def _decode(segment: str, name: str) -> bytes:
    """The bytes of a base64url segment: no padding, and only the one canonical encoding of these bytes."""
    try:
        data = b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError(Reason.BAD_ENCODING, name) from None
    if urlsafe_b64encode(data).rstrip(b"=") != segment.encode("ascii"):
        raise RefusedError(Reason.BAD_ENCODING, f"{name}: not the canonical encoding")
    return data

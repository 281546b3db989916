"""Why a caller is refused: the precise reason, for the operator. What the caller is told is decided in `challenge`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_SHOWN: Final = 80


class Reason(StrEnum):
    """The precise reasons. They stand at the beginning of `Reject.why` and are stable."""

    # The request
    NO_CREDENTIALS = "no_credentials"
    OTHER_SCHEME = "other_scheme"
    REPEATED_FIELD = "repeated_field"
    CONFLICTING_TOKENS = "conflicting_tokens"
    MALFORMED_FIELD = "malformed_field"
    # The token's form
    TOO_LONG = "too_long"
    NOT_A_JWT = "not_a_jwt"
    ENCRYPTED = "encrypted"
    BAD_ENCODING = "bad_encoding"
    BAD_JSON = "bad_json"
    # The JOSE header
    ALGORITHM = "algorithm"
    TYPE = "type"
    CRITICAL_HEADER = "critical_header"
    OWN_KEY = "own_key"
    OTHER_RESOURCE = "other_resource"
    KEY_ID = "key_id"
    # Who issued it, before the signature is verified
    VERSION = "version"
    TENANT_ID = "tenant_id"
    ISSUER = "issuer"
    TENANT_NOT_ALLOWED = "tenant_not_allowed"
    UNKNOWN_KEY = "unknown_key"
    KEY_ISSUER = "key_issuer"
    SIGNATURE = "signature"
    # The claims
    CLAIM = "claim"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    AUDIENCE = "audience"
    NOT_AN_ACCESS_TOKEN = "not_an_access_token"  # noqa: S105  (a reason)
    NO_OBJECT_ID = "no_object_id"
    CALLER_KIND = "caller_kind"
    NO_PERMISSION = "no_permission"
    AUTHENTICATION_CONTEXT = "authentication_context"
    # Ours
    KEYS_UNAVAILABLE = "keys_unavailable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No.

    Attributes:
        detail: for the operator; holds no token.
        claims_challenge: the claims request (JSON) that would help a client that understands claims challenges.
        retry_after: seconds, where waiting helps.
    """

    reason: Reason
    detail: str = ""
    claims_challenge: str | None = None
    retry_after: float | None = None

    @property
    def why(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


class RefusedError(Exception):
    """Carries a refusal out of nested readers. Never leaves this package's pure functions."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


def shown(value: Any) -> str:
    """A value that an attacker may have chosen, fit for a log line: ASCII, quoted, short."""
    text = ascii(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

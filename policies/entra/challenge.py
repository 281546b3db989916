"""What a refused caller is told: status, code, message and `WWW-Authenticate` (RFC 6750 section 3).

Until the signature is verified, the caller is nobody: all doubts about who signed the token share one message, so that
nobody can find out by trying which tenants are customers of this gateway. The precise reason stands in `Reject.why`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from extproc.outcome import Reject
from policies.entra.refusal import Reason, Refusal


@dataclass(frozen=True, slots=True)
class Realm:
    """How this gateway calls itself in challenges. `authorization_uri` None: left out where it is not required."""

    realm: str
    authorization_uri: str | None
    default_authorization_uri: str


class Telling(NamedTuple):
    """The public side of a reason. `error` is RFC 6750's, None for a challenge without one or for no challenge."""

    status: int
    code: str
    message: str
    error: str | None = None


_SEND = "Send an access token of Microsoft Entra ID as 'Authorization: Bearer TOKEN' or as API key."
_UNTRUSTED = "The token was not signed by an issuer that this gateway trusts."
_FORM = "The credential is not an access token of Microsoft Entra ID."
_CLAIMS = "The token lacks a claim that access tokens have, or the claim is not valid."


def _missing(message: str) -> Telling:
    return Telling(401, "missing_credentials", message)


def _malformed(message: str) -> Telling:
    return Telling(400, "invalid_request", message, "invalid_request")


def _invalid(message: str) -> Telling:
    return Telling(401, "invalid_token", message, "invalid_token")


TELLINGS: Final[Mapping[Reason, Telling]] = {
    Reason.NO_CREDENTIALS: _missing(f"No credentials were sent. {_SEND}"),
    Reason.OTHER_SCHEME: _missing(f"The authorization scheme is not Bearer. {_SEND}"),
    Reason.REPEATED_FIELD: _malformed("A credential field was sent twice."),
    Reason.CONFLICTING_TOKENS: _malformed("Different credentials were sent in different fields."),
    Reason.MALFORMED_FIELD: _malformed("The credential is empty or has characters that no token has."),
    Reason.TOO_LONG: _invalid("The token is too long."),
    Reason.NOT_A_JWT: _invalid(_FORM),
    Reason.ENCRYPTED: _invalid("The token is encrypted: it is for another resource."),
    Reason.BAD_ENCODING: _invalid(_FORM),
    Reason.BAD_JSON: _invalid(_FORM),
    Reason.ALGORITHM: _invalid("The token is not signed with RS256."),
    Reason.TYPE: _invalid(_FORM),
    Reason.CRITICAL_HEADER: _invalid(_FORM),
    Reason.OWN_KEY: _invalid(_FORM),
    Reason.OTHER_RESOURCE: _invalid(
        "The token is for another resource, such as Microsoft Graph: request one for this API."
    ),
    Reason.KEY_ID: _invalid(_FORM),
    Reason.VERSION: _invalid("The version of the token is not accepted."),
    Reason.TENANT_ID: _invalid(_FORM),
    Reason.ISSUER: _invalid("The issuer of the token does not fit its tenant and version."),
    Reason.TENANT_NOT_ALLOWED: _invalid(_UNTRUSTED),
    Reason.UNKNOWN_KEY: _invalid(_UNTRUSTED),
    Reason.KEY_ISSUER: _invalid(_UNTRUSTED),
    Reason.SIGNATURE: _invalid(_UNTRUSTED),
    Reason.CLAIM: _invalid(_CLAIMS),
    Reason.EXPIRED: _invalid("The token has expired."),
    Reason.NOT_YET_VALID: _invalid("The token is not valid yet."),
    Reason.AUDIENCE: _invalid("The token is for another resource: its audience is not this API."),
    Reason.NOT_AN_ACCESS_TOKEN: _invalid("The token is an ID token: send an access token."),
    Reason.NO_OBJECT_ID: _invalid("The token lacks the claim oid: the client must request the scope profile."),
    Reason.CALLER_KIND: _invalid("The token does not say clearly whether a user or an application calls."),
    Reason.NO_PERMISSION: Telling(
        403,
        "insufficient_scope",
        "The token grants no permission on this API: a user needs a scope, an application needs an app role.",
        "insufficient_scope",
    ),
    Reason.AUTHENTICATION_CONTEXT: Telling(
        403,
        "insufficient_claims",
        "This API requires a stronger authentication than the token proves.",
        "insufficient_claims",
    ),
    Reason.KEYS_UNAVAILABLE: Telling(
        503, "identity_provider_unavailable", "The identity provider cannot be reached; the token cannot be verified now."
    ),
}


def reject(refusal: Refusal, realm: Realm) -> Reject:
    """The refusal as an answer."""
    telling = TELLINGS[refusal.reason]
    status = telling.status
    if refusal.claims_challenge is not None:
        # A client that can answer a claims challenge expects it as 401 (OpenID CAEP profile of Entra).
        status = 401
    headers: tuple[tuple[str, str], ...] = ()
    if status < 500:
        headers = (("www-authenticate", challenge(telling, realm, refusal.claims_challenge)),)
    return Reject(
        status=status,
        code=telling.code,
        message=telling.message,
        retry_after=refusal.retry_after,
        headers=headers,
        why=refusal.why,
    )


def challenge(telling: Telling, realm: Realm, claims_challenge: str | None = None) -> str:
    """The value of `WWW-Authenticate`: one Bearer challenge."""
    parameters = [("realm", realm.realm)]
    if claims_challenge is not None:
        parameters.append(("authorization_uri", realm.authorization_uri or realm.default_authorization_uri))
    elif realm.authorization_uri is not None:
        parameters.append(("authorization_uri", realm.authorization_uri))
    if telling.error == "insufficient_claims" and claims_challenge is None:
        # The code is Entra's, for clients that declared to understand it; others are told RFC 6750's.
        parameters.append(("error", "insufficient_scope"))
    elif telling.error is not None:
        parameters.append(("error", telling.error))
    if telling.error is not None:
        parameters.append(("error_description", telling.message))
    if claims_challenge is not None:
        parameters.append(("claims", b64encode(claims_challenge.encode()).decode("ascii")))
    return "Bearer " + ", ".join(f'{name}="{quoted(value)}"' for name, value in parameters)


def quoted(value: str) -> str:
    """The content of a quoted-string (RFC 9110 section 5.6.4). Anything but visible ASCII and spaces becomes `?`."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in value)
    return clean.replace("\\", "\\\\").replace('"', '\\"')

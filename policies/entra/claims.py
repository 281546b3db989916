"""From the claims of a token whose signature holds to an `Identity`, or to a refusal.

Sources: "Access token claims reference", "Optional claims reference", "Secure applications and APIs by validating
claims" and "OAuth 2.0 client credentials flow" of the Microsoft identity platform; RFC 7519.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.identity import CallerKind, Identity
from policies.entra.groups_claim import read_groups
from policies.entra.issuer import GUID, Version
from policies.entra.mapped import Notes, mapped
from policies.entra.refusal import Reason, Refusal, RefusedError, shown
from policies.entra.settings import GRAPH_AUDIENCES, ClaimNames

_LATEST: Final = 1 << 53
_PERMISSION: Final = re.compile(r"[!-~]{1,256}")
_TOKEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ID_TOKEN_CLAIMS: Final = ("nonce", "at_hash", "c_hash")
_PUBLIC_CLIENT: Final = "0"


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What claims must say. `tenants` maps the accepted ids to names."""

    audiences: frozenset[str]
    tenants: Mapping[str, str]
    leeway: int = 60
    names: ClaimNames = field(default_factory=ClaimNames)
    required_acrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller who is who the token says, until `expires` (seconds since the epoch, without leeway)."""

    identity: Identity
    expires: int
    notes: Notes = ()


def identify(
    claims: Mapping[str, Any], tenant: str, version: Version, rules: ClaimRules, now: float
) -> Verified | Refusal:
    """Who calls, by the claims of a token of `tenant` whose signature holds."""
    try:
        expires = _in_time(claims, rules.leeway, now)
        _for_us(claims, rules.audiences)
        application = _application(claims, version)
        kind, roles, scopes = _permissions(claims, version)
        user = _object_id(claims)
    except RefusedError as error:
        return error.refusal
    lacking = _lacking_context(claims, rules.required_acrs)
    if lacking is not None:
        return lacking
    groups, groups_known, group_notes = read_groups(claims)
    facts, fact_notes = mapped(claims, rules.names)
    token_id = claims.get("uti")
    identity = Identity(
        tenant=tenant,
        user=user,
        app=application,
        kind=kind,
        roles=roles,
        scopes=scopes,
        groups=groups,
        groups_known=groups_known,
        tenant_name=rules.tenants.get(tenant) or facts["tenant_name"],
        department=facts["department"],
        cost_centre=facts["cost_centre"],
        token_id=token_id if isinstance(token_id, str) and _TOKEN_ID.fullmatch(token_id) else "",
    )
    return Verified(identity, expires, group_notes + fact_notes)


def _in_time(claims: Mapping[str, Any], leeway: int, now: float) -> int:
    """The expiry. `exp`, `nbf` and `iat` are whole numbers, as Entra always writes them."""
    expires, not_before, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires <= issued or expires <= not_before:
        raise RefusedError(Reason.CLAIM, "exp is not after iat and nbf")
    if now >= expires + leeway:
        raise RefusedError(Reason.EXPIRED, f"exp {expires}, now {int(now)}, leeway {leeway}")
    if max(not_before, issued) > now + leeway:
        raise RefusedError(Reason.NOT_YET_VALID, f"nbf {not_before}, iat {issued}, now {int(now)}, leeway {leeway}")
    return expires


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 < value < _LATEST:  # bool is an int to isinstance
        raise RefusedError(Reason.CLAIM, f"{name} is {shown(value)}")
    return value


def _for_us(claims: Mapping[str, Any], audiences: frozenset[str]) -> None:
    audience = claims.get("aud")
    if not isinstance(audience, str):
        raise RefusedError(Reason.AUDIENCE, f"aud is {shown(audience)}")
    if audience.rstrip("/") in GRAPH_AUDIENCES:
        raise RefusedError(Reason.OTHER_RESOURCE, "aud is Microsoft Graph")
    if audience not in audiences:
        raise RefusedError(Reason.AUDIENCE, shown(audience))


def _application(claims: Mapping[str, Any], version: Version) -> str:
    """The client application. An ID token names none, and has claims that access tokens lack."""
    foreign = next((name for name in _ID_TOKEN_CLAIMS if name in claims), None)
    if foreign is not None:
        raise RefusedError(Reason.NOT_AN_ACCESS_TOKEN, f"{foreign} is there: an ID token")
    name = "azp" if version == "2.0" else "appid"
    application = claims.get(name)
    if application is None:
        raise RefusedError(Reason.NOT_AN_ACCESS_TOKEN, f"{name} is missing")
    if not isinstance(application, str) or not GUID.fullmatch(application):
        raise RefusedError(Reason.CLAIM, f"{name} is {shown(application)}")
    return application


def _object_id(claims: Mapping[str, Any]) -> str:
    """The caller's object id. There is no falling back to `sub`: a caller would have two names, and two budgets."""
    user = claims.get("oid")
    if user is None:
        raise RefusedError(Reason.NO_OBJECT_ID)
    if not isinstance(user, str) or not GUID.fullmatch(user):
        raise RefusedError(Reason.CLAIM, f"oid is {shown(user)}")
    return user


def _permissions(claims: Mapping[str, Any], version: Version) -> tuple[CallerKind, frozenset[str], frozenset[str]]:
    """Kind of caller, roles and scopes.

    Any application of a tenant can obtain a token for any API there, with neither a role nor a scope: a valid token
    alone is no permission.
    """
    roles, scopes = _roles(claims), _scopes(claims)
    if not roles and not scopes:
        raise RefusedError(Reason.NO_PERMISSION, "neither roles nor scp")
    kind = _kind(claims, has_scopes=bool(scopes))
    if kind is CallerKind.USER and not scopes:
        raise RefusedError(Reason.NO_PERMISSION, "a user's token without scp")
    if kind is CallerKind.APP and claims.get("azpacr" if version == "2.0" else "appidacr") == _PUBLIC_CLIENT:
        raise RefusedError(Reason.CALLER_KIND, "an application's token, but the client proved no identity")
    return kind, roles, scopes


def _kind(claims: Mapping[str, Any], *, has_scopes: bool) -> CallerKind:
    """`idtyp` says it. Without it: a scope is a user's; no scope and `oid` equal to `sub` is an application's."""
    kind = claims.get("idtyp")
    if kind == "app":
        if has_scopes:
            raise RefusedError(Reason.CALLER_KIND, "idtyp is app, but there is scp")
        return CallerKind.APP
    if kind == "user" or (kind is None and has_scopes):
        return CallerKind.USER
    if kind is not None:
        raise RefusedError(Reason.CALLER_KIND, f"idtyp is {shown(kind)}")
    if claims.get("sub") is None or claims.get("sub") != claims.get("oid"):
        raise RefusedError(Reason.CALLER_KIND, "neither idtyp nor scp, and sub is not oid")
    return CallerKind.APP


def _roles(claims: Mapping[str, Any]) -> frozenset[str]:
    roles = claims.get("roles", [])
    if not isinstance(roles, list):
        raise RefusedError(Reason.CLAIM, f"roles is {shown(roles)}")
    return frozenset(_permission("roles", role) for role in roles)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    if "scp" not in claims:
        return frozenset()
    scopes = claims["scp"]
    if not isinstance(scopes, str) or not scopes:
        raise RefusedError(Reason.CLAIM, f"scp is {shown(scopes)}")
    return frozenset(_permission("scp", scope) for scope in scopes.split(" "))


def _permission(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _PERMISSION.fullmatch(value):
        raise RefusedError(Reason.CLAIM, f"{name} holds {shown(value)}")
    return value


def _lacking_context(claims: Mapping[str, Any], required: tuple[str, ...]) -> Refusal | None:
    """A refusal for the first authentication context that the token lacks.

    It carries a claims request only where the client said (`xms_cc`) that it understands one.
    """
    if not required:
        return None
    contexts, capabilities = claims.get("acrs"), claims.get("xms_cc")
    held = contexts if isinstance(contexts, list) else []
    lacking = next((context for context in required if context not in held), None)
    if lacking is None:
        return None
    able = isinstance(capabilities, list) and "cp1" in capabilities
    request = {"access_token": {"acrs": {"essential": True, "value": lacking}}}
    return Refusal(
        Reason.AUTHENTICATION_CONTEXT,
        f"acrs lacks {lacking}",
        claims_challenge=json.dumps(request, separators=(",", ":")) if able else None,
    )

"""Tokens that must not pass: every class of attack on access tokens of Microsoft Entra ID that is known.

Each row mints one wrong token and names what the caller gets. Sources: RFC 7515, RFC 7519, RFC 8725 (best practices),
and the Microsoft identity platform's pages on access tokens and on validating claims.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from tests.contract.hostile import CONSUMERS, OF_FABRIKAM
from tests.entra_tokens import ABSENT, API, CONTOSO, FABRIKAM, STRANGER, Issuer, assemble, b64, guid, private_key

GRAPH: Final = "00000003-0000-0000-c000-000000000000"
ADMINS: Final = "0f0f0f0f-1111-4222-8333-444444444444"
"""A group that the access policy knows."""
USER: Final[Any] = {"roles": ["User"]}


class Wrong(NamedTuple):
    """A wrong token: what mints it, and what its bearer gets."""

    name: str
    mint: Callable[[Issuer], str]
    status: int = 401
    code: str = "invalid_token"


def wrong(name: str, status: int = 401, code: str = "invalid_token", /, **changes: Any) -> Wrong:
    """A token whose claims, header (`header=`) or key (`key=`) are changed."""
    return Wrong(name, lambda issuer: issuer.token(**{**USER, **changes}), status, code)


def headed(name: str, /, **header: Any) -> Wrong:
    return wrong(name, header=header)


def _good(issuer: Issuer) -> list[str]:
    return issuer.token(**USER).split(".")


def _unsigned(issuer: Issuer) -> str:
    head = b64(json.dumps({"typ": "JWT", "alg": "none", "kid": "key-1"}).encode())
    return f"{head}.{_good(issuer)[1]}."


def _hs256(form: serialization.Encoding) -> Callable[[Issuer], str]:
    """Signed with the public key as if it were a shared secret (RFC 8725 section 2.1)."""

    def mint(issuer: Issuer) -> str:
        secret = private_key("key-1").public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
        head = b64(json.dumps({"typ": "JWT", "alg": "HS256", "kid": "key-1"}).encode())
        signed = f"{head}.{_good(issuer)[1]}"
        return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"

    return mint


def _ps256(issuer: Issuer) -> str:
    head = b64(json.dumps({"typ": "JWT", "alg": "PS256", "kid": "key-1"}).encode())
    signed = f"{head}.{_good(issuer)[1]}"
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    return f"{signed}.{b64(private_key('key-1').sign(signed.encode(), salted, hashes.SHA256()))}"


def _pss_as_rs256(issuer: Issuer) -> str:
    head, claims, _ = _good(issuer)
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    signature = private_key("key-1").sign(f"{head}.{claims}".encode(), salted, hashes.SHA256())
    return f"{head}.{claims}.{b64(signature)}"


def _es256(issuer: Issuer) -> str:
    head = b64(json.dumps({"typ": "JWT", "alg": "ES256", "kid": "key-1"}).encode())
    signed = f"{head}.{_good(issuer)[1]}"
    return f"{signed}.{b64(ec.generate_private_key(ec.SECP256R1()).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))}"


def _graph(issuer: Issuer) -> str:
    """As Graph's: the header carries a nonce, the signature is over the header with the nonce's hash."""
    claims = issuer.claims(aud=GRAPH, **USER)
    hashed = {"typ": "JWT", "nonce": b64(sha256(b"nonce").digest()), "alg": "RS256", "kid": "key-1"}
    _, payload, signature = assemble(hashed, claims).split(".")
    return f"{b64(json.dumps({**hashed, 'nonce': 'nonce'}).encode())}.{payload}.{signature}"


def _raw_claims(before: str, after: str) -> Callable[[Issuer], str]:
    """Signed claims whose text is changed, for what no dict can say."""

    def mint(issuer: Issuer) -> str:
        text = json.dumps(issuer.claims(**USER), separators=(",", ":"))
        assert before in text
        header = {"typ": "JWT", "alg": "RS256", "kid": "key-1"}
        return assemble(header, text.replace(before, after, 1).encode())

    return mint


def _swapped(issuer: Issuer) -> str:
    """The signature of one token under the claims of another."""
    head, _, signature = _good(issuer)
    return f"{head}.{issuer.token(roles=['OrgAdmin']).split('.')[1]}.{signature}"


def _respelt_signature(issuer: Issuer) -> str:
    """The same signature bytes in another base64 spelling: the unused bits of the last character set."""
    token = issuer.token(**USER)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


def _late(seconds: int) -> dict[str, int]:
    then = int(time.time()) + seconds
    return {"iat": then, "nbf": then, "exp": then + 3600}


_OVERAGE: Final[Any] = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": "http://169.254.169.254/groups"}},
}

WRONG_TOKENS: Final = (
    # Who signed it
    Wrong("alg none, unsigned", _unsigned),
    headed("alg none, signed", alg="none"),
    headed("alg nOnE", alg="nOnE"),
    headed("alg missing", alg=ABSENT),
    headed("alg is a list", alg=["RS256"]),
    Wrong("HS256 with the public key as PEM", _hs256(serialization.Encoding.PEM)),
    Wrong("HS256 with the public key as DER", _hs256(serialization.Encoding.DER)),
    Wrong("PS256 with the right key", _ps256),
    Wrong("a PSS signature that calls itself RS256", _pss_as_rs256),
    Wrong("ES256 with a key of the attacker's", _es256),
    wrong("the attacker's key under the right kid", key="attacker", header={"kid": "key-1"}),
    wrong("a kid that is not published", key="attacker"),
    headed("kid missing", kid=ABSENT),
    headed("kid is a number", kid=1),
    headed("kid is null", kid=None),
    headed("kid is an object", kid={"$ne": ""}),
    headed("kid is a path", kid="../../../dev/null"),
    headed("kid is SQL", kid="x' UNION SELECT 'key"),
    headed("kid is long", kid="k" * 4000),
    headed("kid of another case", kid="KEY-1"),
    wrong("jku to the attacker", key="attacker", header={"jku": "https://canary.example/keys"}),
    wrong("x5u to the attacker", key="attacker", header={"x5u": "https://canary.example/keys"}),
    headed("jku beside a right signature", jku="https://canary.example/keys"),
    Wrong(
        "the attacker's own key in the header",
        lambda issuer: issuer.token(key="attacker", header={"jwk": issuer.jwk("attacker"), "kid": "key-1"}, **USER),
    ),
    headed("a certificate in the header", x5c=["MIIB"]),
    headed("crit that nobody knows", crit=["exp"]),
    headed("crit that is empty", crit=[]),
    headed("unencoded payload (RFC 7797)", b64=False, crit=["b64"]),
    headed("typ of another kind of token", typ="dpop+jwt"),
    headed("typ missing", typ=ABSENT),
    Wrong("the signature of another token", _swapped),
    Wrong("no signature", lambda issuer: ".".join(_good(issuer)[:2]) + "."),
    Wrong("two segments", lambda issuer: ".".join(_good(issuer)[:2])),
    Wrong("four segments", lambda issuer: ".".join([*_good(issuer), "AAAA"])),
    Wrong("five segments: encrypted", lambda issuer: ".".join([*_good(issuer), "AAAA", "AAAA"])),
    Wrong("a signature that is spelt differently", _respelt_signature),
    Wrong("a signature with padding", lambda issuer: issuer.token(**USER) + "==", 400, "invalid_request"),
    Wrong("a segment with padding", lambda issuer: issuer.token(**USER).replace(".", "=.", 1), 400, "invalid_request"),
    Wrong("not a token at all", lambda _: "sk-canary-1234567890"),
    Wrong("only dots", lambda _: ".."),
    Wrong("base64 that is not JSON", lambda _: "Y2FuYXJ5.Y2FuYXJ5.Y2FuYXJ5"),
    Wrong("longer than tokens are", lambda _: "a" * 17_000),
    wrong("longer than tokens are, and signed", pad="x" * 20_000),
    # Where it was issued, and for whom
    wrong("foreign tenant, consistent", tid=STRANGER, iss=f"https://login.microsoftonline.com/{STRANGER}/v2.0"),
    wrong("foreign tid, our issuer", tid=STRANGER),
    wrong("our tid, foreign issuer", iss=f"https://login.microsoftonline.com/{STRANGER}/v2.0"),
    wrong("tid of another of our tenants", tid=FABRIKAM),
    wrong("the key of another of our tenants", key=OF_FABRIKAM),
    wrong("the key of another of our tenants, version 1", key=OF_FABRIKAM, version="1.0"),
    wrong("issuer without the slash of version 1", version="1.0", iss=f"https://sts.windows.net/{CONTOSO}"),
    wrong("issuer of version 1 in version 2", iss=f"https://sts.windows.net/{CONTOSO}/"),
    wrong("issuer with a slash more", iss=f"https://login.microsoftonline.com/{CONTOSO}/v2.0/"),
    wrong("issuer in upper case", iss=f"https://LOGIN.microsoftonline.com/{CONTOSO}/v2.0"),
    wrong("issuer is the template", iss="https://login.microsoftonline.com/{tenantid}/v2.0"),
    wrong("issuer over http", iss=f"http://login.microsoftonline.com/{CONTOSO}/v2.0"),
    wrong("issuer of another host", iss=f"https://login.microsoftonline.com.canary.example/{CONTOSO}/v2.0"),
    wrong("issuer is a list", iss=[f"https://login.microsoftonline.com/{CONTOSO}/v2.0"]),
    wrong("issuer missing", iss=ABSENT),
    wrong("tid missing", tid=ABSENT),
    wrong("tid is no GUID", tid="contoso"),
    wrong("tid in upper case", tid=guid("x").upper()),
    wrong("ver missing", ver=ABSENT),
    wrong("ver of the future", ver="3.0"),
    wrong("ver does not fit the issuer", ver="1.0"),
    wrong("audience of another API", aud=guid("another")),
    wrong("audience is a list with ours", aud=[API, guid("another")]),
    wrong("audience is a list of ours alone", aud=[API]),
    wrong("audience missing", aud=ABSENT),
    wrong("audience is Graph", aud="https://graph.microsoft.com"),
    wrong("audience is Graph by id", aud=GRAPH),
    wrong("audience is ours with a suffix", aud="api://gateway.canary.example"),
    wrong("audience with two slashes", aud="api://gateway//"),
    wrong("audience in upper case", aud="API://GATEWAY"),
    Wrong("a token of Graph, with its nonce", _graph),
    # When
    wrong("exp missing", exp=ABSENT),
    wrong("exp is a text", exp=str(int(time.time()) + 3600)),
    wrong("exp is a float", exp=time.time() + 3600),
    wrong("exp is true", exp=True),
    wrong("exp is huge", exp=1 << 60),
    Wrong("exp beyond every number", _raw_claims('"exp":', '"exp":1e999,"was":')),
    wrong("expired", **{name: value - 7200 for name, value in _late(0).items()}),
    wrong("not valid yet", **_late(3000)),
    wrong("nbf in the future alone", nbf=int(time.time()) + 86_400),
    wrong("nbf missing", nbf=ABSENT),
    wrong("iat missing", iat=ABSENT),
    # What it says, twice or oddly
    Wrong("duplicate claims: the last is ours", _raw_claims('"aud":', '"aud":"canary","aud":')),
    Wrong("duplicate claims: the first is ours", _raw_claims('"scp":', f'"tid":"{FABRIKAM}","scp":')),
    Wrong("duplicate claims by an escape", _raw_claims('"scp":', '"\\u0072oles":["OrgAdmin"],"scp":')),
    Wrong("claims are an array", lambda _: assemble({"typ": "JWT", "alg": "RS256", "kid": "key-1"}, b"[]")),
    Wrong("claims are empty", lambda _: assemble({"typ": "JWT", "alg": "RS256", "kid": "key-1"}, b"")),
    Wrong("claims are nested deeply", lambda _: assemble({"alg": "RS256"}, b'{"a":' * 900 + b"1" + b"}" * 900)),
    Wrong("claims in UTF-16", lambda i: assemble({"typ": "JWT", "alg": "RS256", "kid": "key-1"},
                                                 json.dumps(i.claims(**USER)).encode("utf-16"))),
    Wrong("duplicate alg in the header", lambda i: assemble(
        b'{"typ":"JWT","alg":"none","alg":"RS256","kid":"key-1"}', i.claims(**USER))),
    # Who it is, and what they may
    wrong("an ID token", nonce="n", azp=ABSENT),
    wrong("an ID token with azp", nonce="n"),
    wrong("no client application", azp=ABSENT),
    wrong("no oid", oid=ABSENT),
    wrong("oid is an address", oid="canary@contoso.example"),
    wrong("mutable claims in place of oid", oid=ABSENT, email="a@contoso.example", upn="a@contoso.example"),
    wrong("an application's token with a scope", idtyp="app"),
    wrong("an application that proved no identity", app_only=True, azpacr="0", roles=["Job"]),
    wrong("neither role nor scope", 403, "insufficient_scope", scp=ABSENT, roles=ABSENT),
    wrong("an application without a role", 403, "insufficient_scope", app_only=True, roles=ABSENT),
    wrong("a user's role without a scope", 403, "insufficient_scope", scp=ABSENT),
    wrong("roles are a text", roles="User"),
    wrong("roles hold a line break", roles=["User\r\nx-tenant-id: canary"]),
    wrong("scp is a list", scp=["access_as_user"]),
    wrong("a role that nobody knows", 403, "operation_not_allowed", roles=["Canary"]),
    wrong("a role of another case", 403, "operation_not_allowed", roles=["user"]),
    wrong("a scope alone", 403, "operation_not_allowed", roles=ABSENT),
    wrong("names and addresses that are a role's", 403, "operation_not_allowed", roles=ABSENT, name="User",
          email="User", preferred_username="User", unique_name="User", upn="User"),
    wrong("a directory role in place of a role", 403, "operation_not_allowed", roles=ABSENT, wids=["User"]),
    wrong("an application with a role for people", 403, "operation_not_allowed", app_only=True, roles=["User"]),
    wrong("a person with a role for applications", 403, "operation_not_allowed", roles=["Job"]),
    wrong("group overage", 403, "groups_unknown", roles=ABSENT, **_OVERAGE),
    wrong("group overage by hasgroups", 403, "groups_unknown", roles=ABSENT, hasgroups=True),
    wrong("group overage beside a groups claim", 403, "groups_unknown", roles=ABSENT, groups=[], **_OVERAGE),
    wrong("groups by their names", 403, "groups_unknown", roles=ABSENT, groups=["Admins"]),
    wrong("groups are a text", 403, "groups_unknown", roles=ABSENT, groups=ADMINS),
)  # fmt: skip


def _by_consumers(**changes: Any) -> Callable[[Issuer], str]:
    return lambda issuer: issuer.token(key="consumers", **{**USER, **changes})


WRONG_WITH_COMMON_KEYS: Final = (
    Wrong("the key of personal accounts for a tenant", _by_consumers()),
    Wrong("the key of personal accounts for a tenant, version 1", _by_consumers(version="1.0")),
    Wrong(
        "a personal account",
        _by_consumers(tid=CONSUMERS, iss=f"https://login.microsoftonline.com/{CONSUMERS}/v2.0"),
    ),
    wrong(
        "a tenant that is not ours, signed rightly",
        tid=STRANGER,
        iss=f"https://login.microsoftonline.com/{STRANGER}/v2.0",
    ),
    wrong("tid and issuer of two tenants", tid=FABRIKAM),
)
"""Sent where keys are those of `common`, which sign for every tenant and for personal accounts."""

"""Mints tokens like those of Microsoft Entra ID, right ones and wrong ones, and the documents that prove them.

issuer = Issuer()
issuer.token(CONTOSO, roles=["User"])                       # a user through an application
issuer.token(CONTOSO, app_only=True, roles=["Job.Run"])     # an application on its own
issuer.token(CONTOSO, version="1.0", aud="api://gateway")   # any claim can be overridden, or left out with ABSENT
issuer.token(CONTOSO, header={"alg": "none"})               # and so can the header
issuer.metadata(CONTOSO), issuer.jwks(CONTOSO)              # what its metadata and key endpoints answer
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final
from uuid import UUID, uuid5

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CONTOSO: Final = "11111111-1111-4111-8111-111111111111"
FABRIKAM: Final = "22222222-2222-4222-8222-222222222222"
STRANGER: Final = "99999999-9999-4999-8999-999999999999"
API: Final = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
"""The client id of the protected API: the audience of version 2 tokens."""
CLIENT: Final = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
ALICE: Final = "a11ce000-0000-4000-8000-000000000001"
ROBOT: Final = "0b0d0000-0000-4000-8000-000000000002"
ABSENT: Final = object()
"""As the value of a claim or header member: leave it out."""


@cache
def private_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The key of that name: made once, the same for the whole test session."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def guid(name: str) -> str:
    """A GUID for a name, always the same."""
    return str(uuid5(UUID(CONTOSO), name))


def assemble(header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, key: str = "key-1") -> str:
    """A token of exactly this header and payload, signed RS256 by the key of that name."""
    signed = ".".join(
        b64(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())
        for part in (header, payload)
    )
    signature = private_key(key).sign(signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{b64(signature)}"


def overridden(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


class Issuer:
    """A cloud that issues tokens for its tenants. `keys` names the keys that are published; the first one signs."""

    def __init__(
        self,
        authority: str = "https://login.microsoftonline.com",
        tenants: Iterable[str] = (CONTOSO, FABRIKAM),
        *,
        v1_issuer: str = "https://sts.windows.net",
        keys: Iterable[str] = ("key-1",),
    ) -> None:
        self.authority = authority
        self.tenants = tuple(tenants)
        self.v1_issuer = v1_issuer
        self.keys = list(keys)

    def issuer(self, tid: str, version: str = "2.0") -> str:
        """The `iss` of a tenant, or its template for `common`."""
        tenant = "{tenantid}" if tid == "common" else tid
        return f"{self.authority}/{tenant}/v2.0" if version == "2.0" else f"{self.v1_issuer}/{tenant}/"

    def claims(
        self,
        tid: str = CONTOSO,
        /,
        *,
        version: str = "2.0",
        app_only: bool = False,
        now: float | None = None,
        **claims: Any,
    ) -> dict[str, Any]:
        """The claims of a good token that lives an hour, with these changes."""
        issued = int(time.time() if now is None else now)
        caller: dict[str, Any] = (
            {"oid": ROBOT, "sub": ROBOT, "idtyp": "app", "roles": ["Gateway.Call"]}
            if app_only
            else {"oid": ALICE, "sub": "pairwise-alice", "scp": "access_as_user", "name": "Alice", "idtyp": "user"}
        )
        client = (
            {"azp": CLIENT, "azpacr": "1" if app_only else "0"}
            if version == "2.0"
            else {"appid": CLIENT, "appidacr": "1" if app_only else "0"}
        )
        common = {
            "aud": API,
            "iss": self.issuer(tid, version),
            "iat": issued,
            "nbf": issued,
            "exp": issued + 3600,
            "tid": tid,
            "uti": b64(hashlib.sha256(tid.encode()).digest()[:16]),
            "ver": version,
        }
        return overridden({**common, **caller, **client}, claims)

    def token(
        self,
        tid: str = CONTOSO,
        /,
        *,
        version: str = "2.0",
        app_only: bool = False,
        now: float | None = None,
        key: str | None = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A signed token of the tenant `tid` (as a keyword, `tid=…` overrides that claim alone).

        `key` signs it (default: the first published); the header names that key unless overridden.
        """
        name = key or self.keys[0]
        members = {"typ": "JWT", "alg": "RS256", "kid": name}
        if version == "1.0":
            members["x5t"] = name
        payload = self.claims(tid, version=version, app_only=app_only, now=now, **claims)
        return assemble(overridden(members, header or {}), payload, name)

    def jwk(self, name: str, **members: Any) -> dict[str, Any]:
        """One entry of a key set."""
        numbers = private_key(name).public_key().public_numbers()
        return overridden(
            {
                "kty": "RSA",
                "use": "sig",
                "kid": name,
                "x5t": name,
                "n": b64(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                "e": b64(numbers.e.to_bytes(3, "big")),
            },
            members,
        )

    def jwks(self, tid: str = CONTOSO, version: str = "2.0") -> dict[str, Any]:
        """The key set. As with Entra, entries have an issuer in version 2 only, and never an `alg`."""
        issuer = self.issuer(tid) if version == "2.0" else ABSENT
        return {"keys": [self.jwk(name, issuer=issuer) for name in self.keys]}

    def metadata(self, tid: str = CONTOSO, version: str = "2.0", base: str | None = None) -> dict[str, Any]:
        """The OpenID Connect metadata. `base` is where the keys are published, if not at the authority."""
        path = "/discovery/v2.0/keys" if version == "2.0" else "/discovery/keys"
        return {
            "issuer": self.issuer(tid, version),
            "jwks_uri": f"{base or self.authority}/{tid}{path}",
            "token_endpoint": f"{base or self.authority}/{tid}/oauth2/v2.0/token",
            "id_token_signing_alg_values_supported": ["RS256"],
            "cloud_instance_name": "microsoftonline.com",
        }

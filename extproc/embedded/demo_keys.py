"""The signing key of the demo identity provider, in the state directory: made at first use, never replaced.

The provider and `sluicegate token` share it through the file alone, so that a token can be made while nothing runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from extproc.embedded.demo_tokens import AUTHORITY, GATEWAY, Caller, claims
from extproc.embedded.faults import StackError
from extproc.embedded.state import make_private


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the `kid` under which it is published (its RFC 7638 thumbprint)."""

    private: rsa.RSAPrivateKey
    kid: str

    def public_jwk(self, issuer: str) -> dict[str, Any]:
        """The public half as Entra publishes it: with `issuer`, without `alg`."""
        return {"kty": "RSA", "use": "sig", "kid": self.kid, **_numbers(self.private), "issuer": issuer}


def key_path(state: Path) -> Path:
    """Where the key of this state directory is, or will be."""
    return state / "identity" / "signing-key.pem"


def signing_key(state: Path) -> SigningKey:
    """The key of this state directory, made if there is none.

    Raises:
        StackError: the directory cannot be written, or the file is not a key.
    """
    path = key_path(state)
    try:
        if not path.exists():
            _make(path)
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StackError(f"the demo signing key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise StackError(f"the demo signing key {path} is not a private key: remove it to have one made") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise StackError(f"the demo signing key {path} is not an RSA key: remove it to have one made")
    return SigningKey(private, _thumbprint(private))


def make_token(state: Path, caller: Caller, *, lifetime: int = 3600, audience: str = GATEWAY) -> str:
    """A signed token of the demo identity provider. `lifetime` in seconds.

    Raises:
        StackError: the key cannot be read or made.
    """
    key = signing_key(state)
    members = claims(
        caller, now=int(time.time()), lifetime=lifetime, token_id=secrets.token_urlsafe(16), audience=audience
    )
    return jwt.encode(members, key.private, algorithm="RS256", headers={"kid": key.kid, "typ": "JWT"})


def is_foreign(token: str, state: Path) -> bool:
    """Whether this is a token of a demo identity provider, signed by a key that is not the one of this state directory.

    Raises:
        StackError: the key cannot be read or made.
    """
    try:
        issued = str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError:
        return False
    return issued.startswith(f"{AUTHORITY}/") and kid != signing_key(state).kid


def _make(path: Path) -> None:
    make_private(path.parent)
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Linked into place whole: of two that make a key at the same time one wins, and neither reads half a file.
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        os.unlink(name)


def _numbers(private: rsa.RSAPrivateKey) -> dict[str, str]:
    public = private.public_key().public_numbers()
    return {"n": _base64url(public.n), "e": _base64url(public.e)}


def _thumbprint(private: rsa.RSAPrivateKey) -> str:
    members = {"kty": "RSA", **_numbers(private)}
    canonical = json.dumps(dict(sorted(members.items())), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

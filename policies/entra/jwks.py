"""OpenID Connect metadata and JSON Web Key Sets, read with suspicion (OpenID Connect Discovery 1.0, RFC 7517)."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from extproc.payload import read_object

MAX_KEYS: Final = 1_000
_KEY_BITS: Final = range(2_048, 8_193)
_EXPONENTS: Final = range(3, 1 << 32)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What we need of the metadata of an issuer. `issuer` may hold the placeholder `{tenantid}`."""

    issuer: str
    jwks_uri: str
    cloud: str | None


@dataclass(frozen=True, slots=True)
class Key:
    """An RSA signing key. Equal when it is the same key for the same issuers.

    `issuers` is what the key set says beside the key; None in it stands for an entry that names no issuer.
    """

    key_id: str
    modulus: int = field(repr=False)
    exponent: int = field(repr=False)
    issuers: frozenset[str | None]
    public: RSAPublicKey = field(compare=False, repr=False)


Keys: TypeAlias = Mapping[str, Key]


def read_metadata(data: bytes) -> Metadata:
    """The metadata document.

    Raises:
        ValueError: not what the specification says.
    """
    members = read_object(data, what="the metadata")
    issuer, jwks_uri, cloud = members.get("issuer"), members.get("jwks_uri"), members.get("cloud_instance_name")
    if not isinstance(issuer, str) or not isinstance(jwks_uri, str):
        raise ValueError("`issuer` and `jwks_uri` are missing")  # noqa: TRY004
    if cloud is not None and not isinstance(cloud, str):
        raise ValueError("`cloud_instance_name` is not a string")
    return Metadata(issuer, jwks_uri, cloud)


def read_keys(data: bytes, cloud: str | None) -> Keys:
    """The usable keys of a key set by their key id. Entries that we cannot use are passed over, as RFC 7517 asks.

    Usable: RSA of 2,048 bits or more, `use` is `sig`, `alg` absent or RS256, of the metadata's own cloud. Two different
    keys under one id are both passed over: nothing says which of them is meant.

    Raises:
        ValueError: not a key set, or not one usable key in it.
    """
    entries = read_object(data, what="the key set").get("keys")
    if not isinstance(entries, list):
        raise ValueError("`keys` is missing")  # noqa: TRY004
    if len(entries) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    keys: dict[str, Key] = {}
    ambiguous: set[str] = set()
    for entry in entries:
        key = _read_key(entry, cloud)
        if key is None:
            continue
        other = keys.get(key.key_id)
        if other is not None and (other.modulus, other.exponent) != (key.modulus, key.exponent):
            ambiguous.add(key.key_id)
        elif other is not None:
            key = Key(key.key_id, key.modulus, key.exponent, key.issuers | other.issuers, key.public)
        keys[key.key_id] = key
    usable = {key_id: key for key_id, key in keys.items() if key_id not in ambiguous}
    if not usable:
        raise ValueError("not one usable key")
    return usable


def _read_key(entry: Any, cloud: str | None) -> Key | None:
    if not isinstance(entry, dict) or entry.get("kty") != "RSA" or entry.get("use") != "sig":
        return None
    if entry.get("alg", "RS256") != "RS256":
        return None
    key_cloud, issuer, key_id = entry.get("cloud_instance_name"), entry.get("issuer"), entry.get("kid")
    if key_cloud is not None and key_cloud != cloud:
        return None
    if issuer is not None and not isinstance(issuer, str):
        return None
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        return None
    modulus, exponent = _number(entry.get("n")), _number(entry.get("e"))
    if modulus is None or exponent is None or modulus.bit_length() not in _KEY_BITS or exponent not in _EXPONENTS:
        return None
    try:
        public = RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None
    return Key(key_id, modulus, exponent, frozenset({issuer}), public)


def _number(text: Any) -> int | None:
    if not isinstance(text, str) or len(text) > 2_000:
        return None
    try:
        return int.from_bytes(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)), "big")
    except (ValueError, binascii.Error):
        return None

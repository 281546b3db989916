"""Who vouches for the end of a segment, and for what was removed: Ed25519 signatures. Pure.

A head or seal is signed as the journal's name, a sequence and a hash; a removal as `removed` before these, and the first
sequence: the signature of a seal, which lies beside its segment, does not say that the segment may be missing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_KEY_ID: Final = 16


class SigningKeyError(ValueError):
    """What was given is no Ed25519 key in PEM. The message does not hold it."""


class Signer:
    """Signs for one writer."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())

    @classmethod
    def from_pem(cls, pem: str) -> Signer:
        """A signer with the private key in `pem` (PKCS 8, not encrypted).

        Raises:
            SigningKeyError: it is none.
        """
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise SigningKeyError("expected an Ed25519 private key in PEM (PKCS 8, not encrypted)") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError("expected an Ed25519 private key, and it is of another kind")
        return cls(key)

    def sign(self, journal: str, sequence: int, digest: str) -> str:
        """The signature, in base 64."""
        return base64.b64encode(self._key.sign(_content(journal, sequence, digest))).decode()

    def sign_removal(self, journal: str, first: int, sequence: int, digest: str) -> str:
        """The same for a removal, from its first record to its last."""
        return base64.b64encode(self._key.sign(_removed(journal, first, sequence, digest))).decode()

    def has_signed_removal(self, signature: str, journal: str, first: int, sequence: int, digest: str) -> bool:
        """Whether it was made by this one."""
        return signed_removal(self._key.public_key(), signature, journal, first, sequence, digest)


def public_key(pem: str) -> Ed25519PublicKey:
    """The public key in `pem` (SubjectPublicKeyInfo).

    Raises:
        SigningKeyError: it is none.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError("expected an Ed25519 public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError("expected an Ed25519 public key, and it is of another kind")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """By which a key is told from others: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:_KEY_ID]


def signed(key: Ed25519PublicKey, signature: str, journal: str, sequence: int, digest: str) -> bool:
    """Whether the owner of `key` signed this."""
    return _holds(key, signature, _content(journal, sequence, digest))


def signed_removal(  # noqa: PLR0917 (each is one thing that is signed)
    key: Ed25519PublicKey, signature: str, journal: str, first: int, sequence: int, digest: str
) -> bool:
    """Whether the owner of `key` signed this removal."""
    return _holds(key, signature, _removed(journal, first, sequence, digest))


def _holds(key: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _content(journal: str, sequence: int, digest: str) -> bytes:
    return f"{journal}\n{sequence}\n{digest}".encode()


def _removed(journal: str, first: int, sequence: int, digest: str) -> bytes:
    return f"removed\n{journal}\n{first}\n{sequence}\n{digest}".encode()

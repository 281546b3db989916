"""A key pair for signing: Ed25519, the private half for the gateway alone, the public half for whoever verifies."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from policies.audit.journal.signing import key_id


def make(private: Path) -> tuple[Path, str]:
    """Make a pair: PEM, PKCS 8 without a password (mode 0600), and beside it `<private>.pub` (SubjectPublicKeyInfo).

    Returns:
        where the public key is, and by which id heads and seals name it.

    Raises:
        FileExistsError: either is there already: a key that has signed is never replaced.
        OSError: it cannot be written.
    """
    public = private.with_name(f"{private.name}.pub")
    if os.path.lexists(public):
        raise FileExistsError(17, "is there already", str(public))
    key = Ed25519PrivateKey.generate()
    _new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    _new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    return public, key_id(key.public_key())


def _new(path: Path, content: bytes, mode: int) -> None:
    """A file that was not there, with this mode whatever the umask is; durable."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise FileExistsError(error.errno, "is there already", str(path)) from None
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)

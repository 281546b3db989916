"""Signatures hold for what was signed, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from extproc.secret import read_secret
from policies.audit.journal.signing import Signer, SigningKeyError, key_id, public_key, signed, signed_removal
from tests.policies.audit.journal.written import key_pair


def test_a_signature_holds_for_one_record(tmp_path: Path) -> None:
    secret, pem = key_pair(tmp_path)
    signer, key = Signer.from_pem(read_secret(secret)), public_key(pem)
    signature = signer.sign("gate.0", 7, "a" * 64)
    assert signer.key_id == key_id(key)
    assert signed(key, signature, "gate.0", 7, "a" * 64)
    assert not signed(key, signature, "gate.1", 7, "a" * 64)
    assert not signed(key, signature, "gate.0", 8, "a" * 64)
    assert not signed(key, signature, "gate.0", 7, "b" * 64)
    (tmp_path / "other").mkdir()
    assert not signed(public_key(key_pair(tmp_path / "other")[1]), signature, "gate.0", 7, "a" * 64)


def test_a_signature_of_an_end_is_none_of_a_removal(tmp_path: Path) -> None:
    secret, pem = key_pair(tmp_path)
    signer, key = Signer.from_pem(read_secret(secret)), public_key(pem)
    removal = signer.sign_removal("gate.0", 3, 7, "a" * 64)
    assert signed_removal(key, removal, "gate.0", 3, 7, "a" * 64)
    assert signer.has_signed_removal(removal, "gate.0", 3, 7, "a" * 64)
    for journal, first, last, digest in (
        *(("gate.1", 3, 7, "a" * 64), ("gate.0", 1, 7, "a" * 64), ("gate.0", 3, 8, "a" * 64), ("gate.0", 3, 7, "b" * 64)),
    ):
        assert not signed_removal(key, removal, journal, first, last, digest)
    assert not signed(key, removal, "gate.0", 7, "a" * 64)
    assert not signed_removal(key, signer.sign("gate.0", 7, "a" * 64), "gate.0", 3, 7, "a" * 64)


@pytest.mark.parametrize("signature", ["", "x", "é", "AAAA", "A" * 88])
def test_what_is_no_signature(tmp_path: Path, signature: str) -> None:
    assert not signed(public_key(key_pair(tmp_path)[1]), signature, "gate.0", 7, "a" * 64)


def test_what_is_no_key(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    right = key_pair(tmp_path)[1]
    for pem in ("", "secret-words", private, right):
        with pytest.raises(SigningKeyError) as caught:
            Signer.from_pem(pem)
        assert "secret-words" not in str(caught.value)
    for pem in ("", "secret-words", public):
        with pytest.raises(SigningKeyError):
            public_key(pem)

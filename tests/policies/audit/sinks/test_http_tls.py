"""Files of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from policies.audit.following.settings import WebhookTls
from policies.audit.following.sink import SinkError
from policies.audit.sinks.http_tls import context
from tests.certificates import Authority


def test_it_verifies_and_shows_what_it_was_given(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    pair = authority.sign("client", "gateway")
    made = context(WebhookTls(ca=authority.path, certificate=pair.certificate, key=pair.key))
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(made.get_ca_certs()) == 1


def test_the_authorities_of_the_system_are_trusted_where_none_is_named() -> None:
    assert context(WebhookTls()).verify_mode is ssl.CERT_REQUIRED


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    pair = Authority(tmp_path, "own").sign("client", "gateway")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    for tls in (
        WebhookTls(ca=str(tmp_path / "missing.pem")),
        WebhookTls(ca=pair.key),
        WebhookTls(certificate=pair.certificate, key=str(locked)),
    ):
        with pytest.raises(SinkError, match="tls: a file cannot be used"):
            context(tls)

"""Metadata and key sets, good and bad."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.entra.jwks import MAX_KEYS, Keys, Metadata, read_keys, read_metadata
from tests.entra_tokens import ABSENT, CONTOSO, Issuer, b64, private_key

ISSUER = Issuer()
CLOUD = "microsoftonline.com"


def _read(*entries: Any, cloud: str | None = CLOUD) -> Keys:
    return read_keys(json.dumps({"keys": entries}).encode(), cloud)


def test_a_good_set() -> None:
    keys = read_keys(json.dumps(Issuer(keys=["key-1", "key-2"]).jwks(CONTOSO)).encode(), CLOUD)
    assert list(keys) == ["key-1", "key-2"]
    assert keys["key-1"].issuers == {ISSUER.issuer(CONTOSO)}
    assert keys["key-1"].public.public_numbers() == private_key("key-1").public_key().public_numbers()


def _small() -> dict[str, Any]:
    numbers = private_key("small", 1024).public_key().public_numbers()
    return {"n": b64(numbers.n.to_bytes(128, "big"))}


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "EC"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"use": "enc"},
        {"use": ABSENT},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"alg": None},
        {"kid": ABSENT},
        {"kid": 1},
        {"kid": "k" * 129},
        {"n": ABSENT},
        {"n": "not base64 \u00e9"},
        {"n": b64(b"\x01" * 3_000)},
        {"n": b64(b"\x01\x00" * 128)},
        _small(),
        {"e": "AQ"},
        {"e": "AA"},
        {"e": b64(b"\xff" * 32)},
        {"issuer": ["https://login.microsoftonline.com"]},
        {"cloud_instance_name": "microsoftonline.us"},
        {"cloud_instance_name": 1},
    ],
)
def test_other_entries_are_passed_over(members: dict[str, Any]) -> None:
    good = ISSUER.jwk("key-1")
    assert list(_read(ISSUER.jwk("key-2", **members), good)) == ["key-1"]
    with pytest.raises(ValueError, match="not one usable key"):
        _read(ISSUER.jwk("key-2", **members))


@pytest.mark.parametrize("entry", [None, 1, "key", [], {}])
def test_entries_that_are_no_keys_are_passed_over(entry: Any) -> None:
    assert list(_read(entry, ISSUER.jwk("key-1"))) == ["key-1"]


def test_a_key_of_the_metadatas_own_cloud_is_good() -> None:
    assert _read(ISSUER.jwk("key-1", cloud_instance_name=CLOUD))
    with pytest.raises(ValueError, match="usable"):
        _read(ISSUER.jwk("key-1", cloud_instance_name=CLOUD), cloud=None)


def test_one_key_for_two_issuers() -> None:
    keys = _read(ISSUER.jwk("key-1", issuer="https://a"), ISSUER.jwk("key-1", issuer="https://b"), ISSUER.jwk("key-1"))
    assert keys["key-1"].issuers == {"https://a", "https://b", None}


def test_two_keys_under_one_id_are_both_passed_over() -> None:
    entries = [ISSUER.jwk("key-1"), ISSUER.jwk("key-2", kid="key-1"), ISSUER.jwk("key-1"), ISSUER.jwk("key-3")]
    assert list(_read(*entries)) == ["key-3"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"\xff\xfe",
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
)
def test_what_is_no_key_set(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_keys(data, CLOUD)


def test_metadata() -> None:
    document = ISSUER.metadata(CONTOSO)
    assert read_metadata(json.dumps(document).encode()) == Metadata(document["issuer"], document["jwks_uri"], CLOUD)
    del document["cloud_instance_name"]
    assert read_metadata(json.dumps(document).encode()).cloud is None


@pytest.mark.parametrize("changes", [{"issuer": None}, {"jwks_uri": 1}, {"jwks_uri": None}, {"cloud_instance_name": []}])
def test_metadata_that_lacks_what_we_need(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`"):
        read_metadata(json.dumps({**ISSUER.metadata(CONTOSO), **changes}).encode())


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_documents_raise_nothing_else(data: bytes) -> None:
    for read in (read_metadata, lambda d: read_keys(d, None)):
        with pytest.raises(ValueError, match=r"."):
            read(data)

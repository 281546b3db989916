"""The signature of a request to a webhook."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.following.signature import batch_id, is_genuine, sign
from tests.policies.audit.following.rigs import NOW, FakeJournal


def test_it_is_the_hmac_of_time_and_body() -> None:
    digest = hmac.new(b"secret", b'1800000000.[{"a":1}]', hashlib.sha256).hexdigest()
    assert sign("secret", NOW + 0.9, b'[{"a":1}]') == f"t=1800000000,v1={digest}"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.binary())
def test_who_has_the_secret_recognises_it(secret: str, body: bytes) -> None:
    value = sign(secret, NOW, body)
    assert is_genuine(value, secret, NOW, body)
    assert not is_genuine(value, secret + "x", NOW, body)
    assert not is_genuine(value, secret, NOW, body + b"x")


@pytest.mark.parametrize(("after", "genuine"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_an_old_one_is_none(after: float, genuine: bool) -> None:
    assert is_genuine(sign("s", NOW, b"body"), "s", NOW + after, b"body") is genuine


@pytest.mark.parametrize("value", ["", "t=", "v1=00", "t=1800000000", "t=x,v1=00", "t=١,v1=00", "t=1,v1=é", "1,v1=0"])
def test_what_is_no_signature_is_none(value: str) -> None:
    assert not is_genuine(value, "s", NOW, b"body")


def test_the_id_is_of_the_records_and_of_their_order(tmp_path: Path) -> None:
    first, second = FakeJournal(tmp_path, "a.0").append(2)
    other = FakeJournal(tmp_path, "a.1").append(1)[0]
    assert batch_id([first, second]) == batch_id([first, second])
    batches = ([first], [second], [first, second], [second, first], [other], [first, other])
    assert len({batch_id(batch) for batch in batches}) == len(batches)
    assert len(batch_id([first])) == 32

"""Charges as the scripts write them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from policies.limits.redis_record import Charged, alone, in_record

TENANT = ["sg:{t}:s:tenant", "tpm", "t", 29_000_000, 57, -1, 0]
MONTH = ["", "tpmo", "t", 24_322, 57, 1_000, 2]
USER = ["sg:{t}:s:user=alice", "rpm", "r", 29_000_000, 1, -1, 0]


def written(*values: Any) -> bytes:
    return msgspec.msgpack.encode(values)


def test_a_key_that_is_left_out_is_the_one_before() -> None:
    found = in_record(written("r", "request", 100, [*TENANT, *MONTH, *USER]))
    assert found == [
        Charged("sg:{t}:s:tenant", "tpm", "t", 29_000_000, 57, -1, 0),
        Charged("sg:{t}:s:tenant", "tpmo", "t", 24_322, 57, 1_000, 2),
        Charged("sg:{t}:s:user=alice", "rpm", "r", 29_000_000, 1, -1, 0),
    ]
    assert alone(written(*TENANT, *MONTH, *USER)) == found


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"s",
        b"\xff",
        written("r", "request", 100),
        written("r", "request", 100, TENANT[:6]),
        written("r", "request", 100, [*TENANT, "more"]),
        written("r", "request", 100, [*TENANT[:3], "now", *TENANT[4:]]),
        written("r", "request", 100, [TENANT]),
    ],
)
def test_what_is_no_record(record: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        in_record(record)


def test_no_charges() -> None:
    assert in_record(written("e", "", 0, [])) == alone(written()) == []

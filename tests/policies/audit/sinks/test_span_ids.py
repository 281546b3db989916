from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.trace_context import onward
from policies.audit.sinks.span_ids import child_id, span_id, trace_id
from tests.policies.audit.sinks.made import made

OWN = "0123456789abcdef" + "fedcba9876543210"
CLIENTS = "0af7651916cd43dd8448eb211c80319c"


def record(trace: str, exchange: str = OWN):  # type: ignore[no-untyped-def]
    return made(1, trace_id=trace, exchange_id=exchange).record


@pytest.mark.parametrize(
    ("trace", "exchange", "expected"),
    [
        (CLIENTS, OWN, CLIENTS),
        ("", OWN, OWN),
        ("0" * 32, OWN, OWN),
        (CLIENTS.upper(), OWN, OWN),
        ("abc", OWN, OWN),
        ("", "envoys-own-name", "74f7c2c0e0ed6c16fb1b6a3c3fdb3a2e"),
    ],
)
def test_the_trace_is_the_clients_or_the_exchanges(trace: str, exchange: str, expected: str) -> None:
    found = trace_id(record(trace, exchange))
    if exchange == OWN:
        assert found == expected
    else:
        assert re.fullmatch("[0-9a-f]{32}", found)
        assert found == trace_id(record(trace, exchange)) != trace_id(record(trace, "another"))


@pytest.mark.parametrize("flag", ["00", "01"])
def test_the_span_is_the_one_that_went_up_whatever_the_clients_flag(flag: str) -> None:
    _, trace, span, sampled = onward(f"00-{CLIENTS}-b7ad6b7169203331-{flag}", OWN).split("-")
    assert (trace, span, sampled) == (trace_id(record(CLIENTS)), span_id(OWN), "01")


@given(st.text(max_size=40))
def test_ids_are_valid_and_the_same_again(exchange: str) -> None:
    ids = [span_id(exchange), child_id(exchange, "decision"), child_id(exchange, "upstream")]
    assert all(re.fullmatch("[0-9a-f]{16}", one) and one.strip("0") for one in ids)
    assert len(set(ids)) == 3
    assert ids == [span_id(exchange), child_id(exchange, "decision"), child_id(exchange, "upstream")]


def test_a_span_of_zeros_is_none() -> None:
    assert span_id("ab" * 8 + "0" * 16).strip("0")

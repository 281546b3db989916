"""Traces that clients have begun, and what is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.trace_context import client_span, onward, own_span

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
EXCHANGE = "e0a2cef42232fc02de1aa3e9e0d2b365"


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"cc-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{TRACE[:-1]}g-{SPAN}-01", ""),
        (f"00-{TRACE[:-1]}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN[:-1]}-01", ""),
        (f"000-{TRACE}-{SPAN}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{TRACE}-{SPAN}-1", ""),
        (f"00-{TRACE}-{SPAN}-01\n", ""),
        (f"00-{TRACE}-{SPAN}-٠١", ""),
        (f" 00-{TRACE}-{SPAN}-01", ""),
        (TRACE, ""),
        ("", ""),
    ],
)
def test_what_is_a_trace(header: str, known: str) -> None:
    assert client_span(header) == ((known, SPAN) if known else ("", ""))


@pytest.mark.parametrize("flag", ["00", "01", "ff"])
def test_a_trace_goes_on_whatever_its_flag(flag: str) -> None:
    assert onward(f"00-{TRACE}-{SPAN}-{flag}", EXCHANGE) == f"00-{TRACE}-de1aa3e9e0d2b365-01"


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01"])
def test_without_one_it_begins_here(header: str) -> None:
    assert onward(header, EXCHANGE) == f"00-{EXCHANGE}-{own_span(EXCHANGE)}-01"


@given(st.text(max_size=80))
def test_what_goes_up_is_always_a_trace(header: str) -> None:
    assert client_span(onward(header, EXCHANGE)) != ("", "")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.moments import moment
from policies.audit.sinks.nanoseconds import nanoseconds


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999))
def test_it_is_what_was_written(seconds: int, micros: int) -> None:
    assert nanoseconds(moment(seconds)) + micros * 1_000 == seconds * 10**9 + micros * 1_000
    assert nanoseconds(f"{moment(seconds)[:19]}.{micros:06d}Z") == seconds * 10**9 + micros * 1_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00.000000Z"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not match|invalid literal|day is out of range|unconverted"):
        nanoseconds(text)

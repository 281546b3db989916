from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.moments import moment
from policies.audit.sinks.nanoseconds import began, nanoseconds
from tests.policies.audit.sinks.made import made


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999))
def test_it_is_what_was_written(seconds: int, micros: int) -> None:
    assert nanoseconds(moment(seconds)) + micros * 1_000 == seconds * 10**9 + micros * 1_000
    assert nanoseconds(f"{moment(seconds)[:19]}.{micros:06d}Z") == seconds * 10**9 + micros * 1_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month must be|without a zone"):
        nanoseconds(text)


@pytest.mark.parametrize(
    ("started", "timestamp", "expected"),
    [
        ("1970-01-01T00:00:01.000002Z", "1970-01-01T00:00:09.000000Z", 1_000_002_000),
        ("", "1970-01-01T00:00:09.000000Z", 9_000_000_000),
        ("soon", "1970-01-01T00:00:09.000000Z", 9_000_000_000),
        ("soon", "1970-99-01T00:00:09.000000Z", 0),
    ],
)
def test_when_an_exchange_began(started: str, timestamp: str, expected: int) -> None:
    assert began(made(1, started=started, timestamp=timestamp).record) == expected

"""What comes again over a new connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.audit.sinks.resend import Resend


def test_the_last_batch_comes_again_however_old_it_is() -> None:
    resend = Resend(5, 100)
    resend.took(b"a", 0)
    resend.took(b"b", 1_000)
    assert resend.again(9_000) == b"b"


def test_what_was_followed_by_something_later_is_safe() -> None:
    resend = Resend(5, 100)
    for data, now in ((b"a", 0.0), (b"b", 2.0), (b"c", 5.5)):
        resend.took(data, now)
    assert resend.again(6) == b"bc"


def test_what_was_sent_again_has_its_time_anew() -> None:
    resend = Resend(5, 100)
    resend.took(b"a", 0)
    assert resend.again(100) == b"a"
    resend.took(b"b", 103)
    assert resend.again(104) == b"ab"


def test_nothing_is_kept_where_nothing_shall_come_again() -> None:
    resend = Resend(0, 100)
    resend.took(b"a", 0)
    assert (resend.again(0), resend.size) == (b"", 0)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=60), st.floats(0, 3)), min_size=1), st.integers(0, 100))
def test_it_is_bounded_in_order_and_never_without_the_last(batches: list[tuple[bytes, float]], most: int) -> None:
    resend, now, sent = Resend(5, most), 0.0, b""
    for data, pause in batches:
        now += pause
        resend.took(data, now)
        sent += data
        assert resend.size <= max(most, len(data))
        assert len(resend.again(now)) == resend.size
        assert sent.endswith(resend.again(now))
        assert resend.again(now).endswith(data)

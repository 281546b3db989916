"""What sinks raise."""

from __future__ import annotations

from policies.audit.following.sink import RejectedError, SinkError


def test_an_error_says_when_to_come_again_where_that_is_known() -> None:
    assert SinkError("down").retry_after is None
    assert SinkError("down", 3.0).retry_after == 3.0
    assert str(SinkError("down", 3.0)) == "down"


def test_a_refusal_names_the_records() -> None:
    error = RejectedError([3, 1], "too large")
    assert (error.indexes, error.reason, error.delivered, str(error)) == ((3, 1), "too large", 0, "too large")

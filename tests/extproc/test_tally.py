"""A tally goes from a process to another as it is; and a policy without counters has none."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from extproc.policy import Policy
from extproc.tally import Tally

NAMES = st.sampled_from(["tenant_id", "department", "user_id", "app_id", "model", "route", "session_id"])
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
TALLIES = st.builds(
    Tally,
    subject=st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
    measure=st.sampled_from(["requests", "tokens", "dollars"]),
    start=TIMES,
    end=TIMES,
    used=st.integers(0, 2**53),
    reserved=st.integers(0, 2**53),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    was_reset=st.booleans(),
)


@given(TALLIES)
def test_it_can_be_written_down_and_read_back(tally: Tally) -> None:
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally


def test_it_was_never_set_back_unless_it_says_so() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert Tally({}, "tokens", start, end, 5, 2, "everyone").was_reset is False


async def test_a_policy_that_keeps_no_counters_has_no_tallies() -> None:
    class Quiet(Policy):
        name = "quiet"

    assert [tally async for tally in Quiet().tallies()] == []

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from extproc.policy import Policy
from extproc.spending import DIMENSIONS, Question, Spent

QUESTION = Question(("tenant",), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


class Quiet(Policy):
    """Keeps no record."""


class Keeper(Policy):
    """Keeps one."""

    async def spending(self, question: Question) -> AsyncIterator[Spent]:
        yield Spent(dict.fromkeys(question.by, "x"), 1, 0, 0, {"input": 2}, 3, 0, 0)


def test_each_dimension_has_one_name() -> None:
    assert len(set(DIMENSIONS)) == len(DIMENSIONS)
    assert {"tenant", "department", "cost_centre", "user", "app", "agent", "session", "model", "day"} < set(DIMENSIONS)


async def test_who_keeps_no_record_spent_nothing() -> None:
    assert [one async for one in Quiet().spending(QUESTION)] == []
    assert not Quiet.overrides("spending")


async def test_who_keeps_one_is_asked() -> None:
    assert [one.by async for one in Keeper().spending(QUESTION)] == [{"tenant": "x"}]
    assert Keeper.overrides("spending")

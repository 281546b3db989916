from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from extproc.embedded.billing import BY, lines, recorded, spent
from extproc.embedded.demo_tokens import TENANTS, Caller, demo_guid
from extproc.spending import Question, SpendingError, Spent

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
ALICE = Caller("contoso", "alice")
HER_ID = demo_guid("user", f"{TENANTS['contoso']}/alice")


def row(user: str, dollars: int | None, requests: int = 1, open: int = 0, tenant: str = "contoso") -> Spent:
    return Spent(
        {"tenant": tenant, "user": user, "model": "gpt-4o" if user else ""},
        *(requests, 1, open),
        {"input": 1_000, "cached_input": 30, "output": 4, "reasoning": 2},
        *(dollars, 0, 0),
    )


def test_the_bill() -> None:
    rows = [row("", None, tenant=""), row("somebody", 1, tenant=TENANTS["fabrikam"]), row(HER_ID, 12_000_346, 10)]
    assert lines(rows, [ALICE]) == [
        ("tenant", "user", "model", "requests", "refused", "input", "output", "      cost"),
        ("contoso", "alice", "gpt-4o", "      10", "      1", "1,030", "     4", "$12.000346"),
        ("fabrikam", "somebody", "gpt-4o", "       1", "      1", "1,030", "     4", " $0.000001"),
        ("-", "-", "-", "       1", "      1", "1,030", "     4", " $0.000000"),
        ("total", "", "", "      12", "      3", "3,090", "    12", "$12.000347"),
    ]


def test_it_fits_into_a_window() -> None:
    columns = zip(*lines([row(HER_ID, 12_000_346, 10)], [ALICE]), strict=True)
    assert sum(max(map(len, column)) + 2 for column in columns) <= 80


async def test_it_is_waited_for() -> None:
    answers: Iterator[SpendingError | list[Spent]] = iter(
        [SpendingError("not there yet"), [], [row("a", 1, 2, open=1)], [row("a", 5, 2)]]
    )
    asked: list[Question] = []

    async def ask(question: Question) -> AsyncIterator[Spent]:
        asked.append(question)
        answer = next(answers)
        if isinstance(answer, SpendingError):
            raise answer
        for one in answer:
            yield one

    found = await spent(ask, START, END, 2, patience=30)
    assert [one.dollars for one in found] == [5]
    assert asked == [Question(BY, START, END)] * 4


async def test_what_there_is_after_a_while() -> None:
    async def ask(question: Question) -> AsyncIterator[Spent]:
        yield row("a", 1, 2, open=1)

    found = await spent(ask, START, END, 2, patience=0.2)
    assert recorded(found) == 1

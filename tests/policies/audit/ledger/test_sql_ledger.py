"""The sink on real databases: batches in any order, twice, refused in part, and through the death of the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from extproc.tasks import spawn
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.ledger.rows import Row
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_ledger import Ledger
from policies.audit.record import Closed
from tests.policies.audit.ledger.histories import closed, closing, decision, histories, stray, table
from tests.policies.audit.ledger.postgres import Postgres


@contextlib.asynccontextmanager
async def started(settings: LedgerSettings) -> AsyncIterator[Ledger]:
    ledger = Ledger(settings)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


def content(settings: LedgerSettings) -> tuple[list[Row], list[Row]]:
    engine = connect(settings)
    try:
        return table(engine)
    finally:
        engine.dispose()


async def delivered(settings: LedgerSettings, *batches: Sequence[Closed]) -> tuple[list[Row], list[Row]]:
    """The tables after these batches."""
    async with started(settings) as ledger:
        for batch in batches:
            await ledger.deliver(batch)
    return content(settings)


async def test_an_exchange_is_one_row(settings: LedgerSettings) -> None:
    usage, events = await delivered(settings, [decision(), closing()])
    (row,) = usage
    assert events == []
    assert (row["exchange_id"], row["tenant"], row["user_id"], row["decision"]) == ("x1", "contoso", "alice", "allow")
    assert (row["session_id"], row["reserved_tokens"], row["reserved_micro"]) == ("s1", 60, 900)
    assert (row["closed"], row["status"], row["basis"], row["cost_micro"]) == (True, 200, "metered", 123)
    assert (row["input"], row["output"], row["cached_input"], row["total"], row["weighted"]) == (10, 5, 2, 17, 20)
    assert row["at"] == row["decided_at"]
    assert (row["closed_at"] - row["decided_at"]).total_seconds() == 1
    assert (row["decision_journal"], row["decision_sequence"]) == ("gw.0", 1)
    assert (row["closing_journal"], row["closing_sequence"]) == ("gw.0", 2)


@pytest.mark.parametrize("late", [0, 1])
async def test_the_halves_come_in_any_order_and_twice(settings: LedgerSettings, late: int) -> None:
    halves = [decision(), closing()]
    once = await delivered(settings, halves)
    again = await delivered(settings, [halves[1 - late]], [halves[late]], halves)
    assert again == once


async def test_no_closing_no_cost(settings: LedgerSettings) -> None:
    ((row,), _) = await delivered(settings, [decision()])
    assert (row["closed"], row["closed_at"], row["cost_micro"], row["total"]) == (False, None, None, 0)


@pytest.mark.parametrize(
    ("first", "second", "basis"),
    [
        ({"basis": "estimate"}, {"basis": "metered"}, "metered"),
        ({"basis": "metered"}, {"basis": "estimate"}, "metered"),
        ({"basis": "estimate", "recovered": "closing"}, {"basis": "chunks"}, "chunks"),
        ({"basis": "estimate"}, {"basis": "metered", "recovered": "closing"}, "estimate"),
    ],
)
async def test_which_closing_stands(
    settings: LedgerSettings, first: dict[str, str], second: dict[str, str], basis: str
) -> None:
    one, other = closing(sequence=2, **first), closing(sequence=3, **second)
    ((row,), _) = await delivered(settings, [decision(), one], [other])
    assert row["basis"] == basis
    ((row,), _) = await delivered(settings, [one, other])
    assert row["basis"] == basis


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_verdict_that_never_arrived(settings: LedgerSettings, order: tuple[int, int]) -> None:
    records = [decision("x1"), stray("s1", "req-x1")]
    usage, _ = await delivered(settings, *([records[index]] for index in order))
    whole = next(row for row in usage if row["exchange_id"] == "x1")
    part = next(row for row in usage if row["exchange_id"] == "s1")
    assert (whole["decision"], whole["closed"], whole["ending"], whole["user_id"]) == (
        *("allow", True, "client_gone", "alice"),
    )
    assert part["part_of"] == "x1"
    assert whole["part_of"] is None


async def test_an_own_closing_sends_the_stray_away(settings: LedgerSettings) -> None:
    usage, _ = await delivered(settings, [decision("x1"), stray("s1", "req-x1")], [closing("x1")])
    by_id = {row["exchange_id"]: row for row in usage}
    assert (by_id["x1"]["ending"], by_id["s1"]["part_of"]) == ("answered", None)


@given(history=histories())
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_order_gives_the_same_tables(
    settings: LedgerSettings, history: tuple[list[Closed], list[list[Closed]]]
) -> None:
    ordered, batches = history

    async def both() -> None:
        engine = connect(settings)
        try:
            found = []
            async with started(settings) as ledger:
                for deliveries in ([[one] for one in ordered], batches):
                    with engine.begin() as connection:
                        connection.exec_driver_sql("DELETE FROM usage")
                        connection.exec_driver_sql("DELETE FROM events")
                    for batch in deliveries:
                        await ledger.deliver(batch)
                    found.append(table(engine))
            assert found[0] == found[1]
            assert found[0] != ([], [])
        finally:
            engine.dispose()

    with contextlib.suppress(SinkError):
        asyncio.run(_migrated(settings))
    asyncio.run(both())


async def _migrated(settings: LedgerSettings) -> None:
    async with started(settings):
        pass


async def test_events_have_a_table_of_their_own(settings: LedgerSettings) -> None:
    changed = closed(kind="event", event="limit.changed", tenant_id="t-1", before="1", after="2", by="root")
    usage, events = await delivered(settings, [changed, changed], [changed])
    assert usage == []
    ((row),) = events
    assert (row["event"], row["before"], row["after"], row["by_whom"]) == ("limit.changed", "1", "2", "root")


async def test_records_that_cannot_be_stored_are_refused_alone(settings: LedgerSettings) -> None:
    batch = [
        decision("x1"),
        decision("x2", exchange_id=""),
        closing("x3", cost="a lot"),
        closing("x4", latency_us=2**63),
        closed(kind="riddle", exchange_id="x5"),
        closing("x1"),
    ]
    with pytest.raises(RejectedError) as refused:
        await delivered(settings, batch)
    assert (refused.value.indexes, refused.value.delivered) == ((1, 2, 3, 4), 6)
    assert "it names no exchange; its cost is no amount in dollars" in refused.value.reason
    usage, _ = content(settings)
    assert [(row["exchange_id"], row["closed"]) for row in usage] == [("x1", True)]


async def test_what_the_database_refuses_is_found_by_halving(settings: LedgerSettings) -> None:
    async with started(settings) as ledger:
        engine = connect(settings)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE UNIQUE INDEX one_each ON usage (trace_id) WHERE trace_id <> ''")
        engine.dispose()
        batch = [decision(f"x{number}", trace_id="twice" if number in (2, 5) else "") for number in range(8)]
        with pytest.raises(RejectedError) as refused:
            await ledger.deliver(batch)
    assert refused.value.indexes == (5,)
    usage, _ = content(settings)
    assert [row["exchange_id"] for row in usage] == [f"x{number}" for number in range(8) if number != 5]


async def test_hostile_texts_are_stored_clean(settings: LedgerSettings) -> None:
    ((row,), _) = await delivered(settings, [decision(model="a\0b", user_id="'; DROP TABLE usage; --", why="w" * 9_000)])
    assert (row["model"], row["user_id"], len(row["why"])) == ("a\ufffdb", "'; DROP TABLE usage; --", 2_000)


async def test_nothing_is_delivered_before_the_start(settings: LedgerSettings) -> None:
    with pytest.raises(SinkError, match="has not been started"):
        await Ledger(settings).deliver([decision()])


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    ledger = Ledger(LedgerSettings(kind="ledger", url=f"postgresql://me@/ledger?host={tmp_path}"))
    with pytest.raises(SinkError, match="OperationalError"):
        await ledger.start()
    await ledger.stop()


async def test_two_write_the_same_exchanges_at_once(database: str) -> None:
    settings = LedgerSettings(kind="ledger", url=database, pool=4)
    numbers = range(300)
    decided = [decision(f"x{number:03}") for number in numbers]
    ends = [closing(f"x{n:03}") if n % 3 else stray(f"s{n:03}", f"req-x{n:03}") for n in reversed(numbers)]
    async with started(settings) as one, started(settings) as other:

        async def bring(ledger: Ledger, records: list[Closed]) -> None:
            for first in range(0, len(records), 20):
                await ledger.deliver(records[first : first + 20])

        await asyncio.gather(bring(one, decided), bring(other, ends), bring(one, ends), bring(other, decided))
    usage, _ = content(settings)
    whole = [row for row in usage if row["part_of"] is None]
    assert [row["exchange_id"] for row in whole] == [f"x{number:03}" for number in numbers]
    assert all(row["closed"] and row["decided_at"] for row in whole)


async def test_killed_in_the_middle_of_a_batch(postgres: Postgres, database: str) -> None:
    settings = LedgerSettings(kind="ledger", url=database)
    before = [record for number in range(50) for record in (decision(f"x{number:03}"), closing(f"x{number:03}"))]
    batch = [closing(f"x{number:03}", sequence=3, tokens=None, cost="9") for number in range(100)]
    async with started(settings) as ledger:
        await ledger.deliver(before)
        stored = content(settings)
        # Another holds the row in the middle: the batch is half done, and waits.
        engine = connect(settings)
        with contextlib.suppress(Exception), engine.begin() as connection:
            connection.exec_driver_sql("SELECT 1 FROM usage WHERE exchange_id = 'x040' FOR UPDATE")
            going = spawn(
                ledger.deliver([*batch, decision("x040", timestamp="2026-11-20T09:00:00.000000Z")]), name="batch"
            )
            while not _waits(postgres):
                await asyncio.sleep(0.01)
            postgres.kill()
        engine.dispose()
        with pytest.raises(SinkError):
            await going
        postgres.start()
        assert content(settings) == stored
        await ledger.deliver(batch)
        await ledger.deliver(before)
    usage, _ = content(settings)
    assert len(usage) == 100
    assert sum(row["cost_micro"] for row in usage) == 50 * 123 + 50 * 9_000_000


def _waits(postgres: Postgres) -> bool:
    """Whether a statement waits for a row of another."""
    with postgres.connect() as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    return found is not None and bool(found[0])

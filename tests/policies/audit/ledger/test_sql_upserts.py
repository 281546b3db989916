from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from policies.audit.ledger.merging import merged
from policies.audit.ledger.rows import event_row, usage_row
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect, transaction
from policies.audit.ledger.sql_migrations import migrate
from policies.audit.ledger.sql_upserts import store
from policies.audit.record import Closed
from tests.policies.audit.ledger.histories import closed, closing, decision, stray, table


@pytest.fixture
def engine(settings: LedgerSettings) -> Iterator[Engine]:
    made = connect(settings)
    migrate(made)
    yield made
    made.dispose()


def put(engine: Engine, *records: Closed) -> None:
    with transaction(engine, writes=True) as connection:
        store(connection, merged(usage_row(one.record) for one in records), [])


def test_nothing_is_nothing(engine: Engine) -> None:
    with transaction(engine, writes=True) as connection:
        store(connection, [], [])
    assert table(engine) == ([], [])


def test_what_is_stored_is_what_is_merged(engine: Engine) -> None:
    records = [decision("a"), closing("a"), decision("b"), closing("c")]
    put(engine, *records[2:])
    put(engine, *records[:2])
    usage, _ = table(engine)
    expected = [row | {"part_of": None} for row in merged(usage_row(one.record) for one in records)]
    assert usage == expected


def test_many_rows_in_one_statement(engine: Engine) -> None:
    records = [decision(f"x{number:05}") for number in range(3_000)]
    put(engine, *records)
    put(engine, *records)
    usage, _ = table(engine)
    assert [row["exchange_id"] for row in usage] == [f"x{number:05}" for number in range(3_000)]


def test_more_requests_than_one_question_holds(engine: Engine) -> None:
    numbers = range(1_200)
    put(engine, *(stray(f"s{number}", f"req-x{number}") for number in numbers))
    put(engine, *(decision(f"x{number}") for number in numbers))
    usage, _ = table(engine)
    assert {row["exchange_id"]: row["part_of"] for row in usage if row["part_of"]} == {
        f"s{number}": f"x{number}" for number in numbers
    }
    assert all(row["closed"] for row in usage)


def test_an_event_twice_is_one(engine: Engine) -> None:
    rows = [event_row(closed(kind="event", sequence=number).record) for number in (1, 2, 1)]
    with transaction(engine, writes=True) as connection:
        store(connection, [], rows)
    _, events = table(engine)
    assert [row["sequence"] for row in events] == [1, 2]


def test_what_is_stored_again_is_not_written_again(database: str) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=database))
    migrate(engine)
    versions = "SELECT xmin::text FROM usage ORDER BY exchange_id"
    put(engine, decision("a"), closing("a"))
    with engine.connect() as connection:
        before = connection.exec_driver_sql(versions).all()
    put(engine, decision("a"))
    put(engine, closing("a"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql(versions).all() == before
    engine.dispose()


@pytest.mark.parametrize("first", [0, 1])
def test_a_stray_and_its_exchange_at_the_same_time(database: str, first: int) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=database))
    migrate(engine)
    records = [decision("x1"), stray("s1", "req-x1")]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database, autocommit=True) as looker:
        with transaction(engine, writes=True) as connection:
            store(connection, [usage_row(records[first].record)], [])
            other = pool.submit(put, engine, records[1 - first])
            # It waits until this one is committed, and has nothing to see before.
            while not other.done() and looker.execute(waiting).fetchone() == (0,):
                pass
        other.result()
    usage, _ = table(engine)
    assert [(row["exchange_id"], row["part_of"], row["closed"]) for row in usage] == [
        ("s1", "x1", True),
        ("x1", None, True),
    ]
    engine.dispose()


def test_strays_are_found_by_their_index(engine: Engine) -> None:
    put(engine, *(decision(f"x{number}") for number in range(500)), stray("s1", "req-x1"))
    asked: list[tuple[str, object]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_c: Connection, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        if statement.startswith("SELECT usage"):
            asked.append((statement, parameters))

    put(engine, decision("x2"))
    (statement, parameters), *_ = asked
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE usage")
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters))  # type: ignore[arg-type]
    assert "usage_strays" in plan, plan

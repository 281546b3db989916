from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Connection, event

from policies.audit.ledger.queries import By, Question
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_queries import find, usage
from tests.policies.audit.ledger.stocked import fill

NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


@pytest.fixture
def connection(settings: LedgerSettings) -> Iterator[Connection]:
    fill(settings)
    engine = connect(settings)
    with engine.connect() as opened:
        yield opened
    engine.dispose()


def costs(connection: Connection, *by: By, **filters: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    question = Question(by, *NOVEMBER, {By(name): values for name, values in filters.items()})
    return {row.key: str(row.cost) for row in usage(connection, question)}


def test_all_together(connection: Connection) -> None:
    (row,) = usage(connection, Question((), *NOVEMBER))
    assert (row.requests, row.refused, row.open, row.unpriced) == (8, 1, 1, 1)
    assert (row.input, row.output, row.cached_input, row.total, row.weighted) == (50, 25, 10, 85, 100)
    assert row.cost == Decimal("1.300002")


def test_what_costs_most_comes_first(connection: Connection) -> None:
    assert list(costs(connection, By.TENANT, By.USER).items()) == [
        (("contoso", "bob"), "1.000001"),
        (("contoso", "alice"), "0.300000"),
        (("t-2", "carol"), "0.000001"),
    ]


def test_days_and_months_are_of_utc_and_in_order(connection: Connection) -> None:
    assert list(costs(connection, By.DAY, tenant=("contoso",))) == [
        *(("2026-11-01",), ("2026-11-02",), ("2026-11-03",), ("2026-11-05",), ("2026-11-06",), ("2026-11-07",)),
    ]
    whole = Question((By.MONTH,), NOVEMBER[0], datetime(2027, 1, 1, tzinfo=UTC))
    assert [(row.key, row.requests) for row in usage(connection, whole)] == [(("2026-11",), 8), (("2026-12",), 1)]


@pytest.mark.parametrize("by", [By.DEPARTMENT, By.COST_CENTRE, By.APP, By.UPSTREAM, By.SESSION, By.DECISION, By.MODEL])
def test_every_other_dimension(connection: Connection, by: By) -> None:
    expected = {
        By.DEPARTMENT: {"R&D"},
        By.COST_CENTRE: {""},
        By.APP: {"chat"},
        By.UPSTREAM: {"openai", ""},
        By.SESSION: {"s1"},
        By.DECISION: {"allow", "reject"},
        By.MODEL: {"gpt-5", "claude", "local"},
    }
    assert {key for (key,) in costs(connection, by)} == expected[by]


def test_filters(connection: Connection) -> None:
    assert costs(connection, By.MODEL, user=("alice", "carol"), decision=("allow",)) == {("gpt-5",): "0.300001"}
    assert costs(connection, By.USER, model=("'; DROP TABLE usage; --",)) == {}
    assert costs(connection, By.USER, day=("2026-11-02",)) == {("bob",): "1.000001"}


def test_find_by_every_id(connection: Connection) -> None:
    for ids in ({"request_id": "req-no"}, {"exchange_id": "no"}):
        (entry,) = find(connection, **ids)
        assert (entry.policy, entry.reason) == ("limits", "rate_limit_exceeded")
        assert entry.why == "tokens_per_day of contoso/user=alice"
    (entry,) = find(connection, reservation_id="r-b1")
    assert (entry.exchange_id, entry.cost, entry.closed) == ("b1", Decimal("1.000001"), True)
    (entry,) = find(connection, exchange_id="open")
    assert (entry.closed, entry.cost, entry.reserved) == (False, None, Decimal("0.000070"))
    assert find(connection) == find(connection, request_id="x") == []


def test_find_the_exchange_that_a_stray_belongs_to(connection: Connection) -> None:
    for ids in ({"exchange_id": "stray"}, {"exchange_id": "lost"}, {"request_id": "req-lost"}):
        (entry,) = find(connection, **ids)
        assert (entry.exchange_id, entry.ending) == ("lost", "client_gone")


def plans(connection: Connection) -> list[str]:
    """From here on the plan of every question is noted, as it is asked."""
    found: list[str] = []
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.exec_driver_sql("SET enable_seqscan = off")
        # Of a dozen rows it is as good as any other.
        connection.exec_driver_sql("DROP INDEX usage_at")

    @event.listens_for(connection, "before_cursor_execute")
    def note(_c: Connection, cursor: object, statement: str, parameters: object, *_more: object) -> None:
        cursor.execute(("EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN ") + statement, parameters)  # type: ignore[attr-defined]
        found.append("\n".join(str(row) for row in cursor.fetchall()))  # type: ignore[attr-defined]

    return found


def test_questions_find_their_index(connection: Connection) -> None:
    found = plans(connection)
    find(connection, request_id="r", reservation_id="r", exchange_id="r")
    assert all(index in found[-1] for index in ("usage_request_id", "usage_reservation_id")), found[-1]
    usage(connection, Question((By.USER,), *NOVEMBER, {By.MODEL: ("gpt-5",)}))
    assert "usage_model_at" in found[-1], found[-1]

"""The tables as Python knows them are those that the migrations make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, insert, select

from policies.audit.ledger.rows import EVENT_COLUMNS, Row, event_row, usage_row
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_migrations import VERSION_TABLE, migrate
from policies.audit.ledger.sql_tables import EVENTS, METADATA, USAGE
from tests.policies.audit.ledger.histories import closed, closing


def test_the_migrations_make_these_tables(settings: LedgerSettings) -> None:
    engine = connect(settings)
    migrate(engine)
    options = {"compare_type": True, "version_table": VERSION_TABLE}
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    engine.dispose()
    # Indexes are told by the migrations alone.
    assert [one for one in found if one[0] != "remove_index"] == []


def test_times_keep_their_microseconds_and_are_utc(settings: LedgerSettings) -> None:
    at = datetime(2026, 11, 20, 1, 2, 3, 456_789, tzinfo=timezone(timedelta(hours=5)))
    rows: dict[Table, Row] = {
        USAGE: usage_row(closing().record) | {"at": at},
        EVENTS: event_row(closed(kind="event").record) | {"at": at},
    }
    engine = connect(settings)
    migrate(engine)
    for table, row in rows.items():
        with engine.begin() as connection:
            connection.execute(insert(table).values(row))
            found = connection.execute(select(table)).mappings().one()
        assert {name: found[name] for name in row} == row
        assert found["at"].tzinfo is UTC or found["at"].utcoffset() == timedelta(0)
    engine.dispose()
    assert tuple(EVENTS.c.keys()) == EVENT_COLUMNS

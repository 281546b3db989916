from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from policies.audit.ledger.migrations.sql_0001_usage_and_events import downgrade, revision
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_migrations import migrate

INDEXES = {
    "usage_at": ["at"],
    "usage_tenant_id_at": ["tenant_id", "at"],
    "usage_user_id_at": ["user_id", "at"],
    "usage_model_at": ["model", "at"],
    "usage_request_id": ["request_id"],
    "usage_reservation_id": ["reservation_id"],
    "usage_session_id": ["session_id"],
    "usage_open": ["at"],
    "usage_strays": ["request_id"],
    "usage_parts": ["part_of"],
}


def test_the_indexes(settings: LedgerSettings) -> None:
    engine = connect(settings)
    assert migrate(engine)[1] >= revision
    made = inspect(engine)
    assert {one["name"]: one["column_names"] for one in made.get_indexes("usage")} == INDEXES
    assert {one["name"] for one in made.get_indexes("events")} == {"events_at", "events_tenant_id_at"}
    assert made.get_pk_constraint("events")["constrained_columns"] == ["journal", "sequence"]
    engine.dispose()


def test_there_is_no_way_back() -> None:
    with pytest.raises(NotImplementedError):
        downgrade()


def test_keys_are_compared_by_their_bytes(database: str) -> None:
    engine = connect(LedgerSettings(kind="ledger", url=database))
    migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = 'usage' AND collation_name = 'C' ORDER BY 1"
            )
        )
        assert list(found.scalars()) == ["closing_key", "decision_key", "exchange_id"]
    engine.dispose()

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from policies.audit.following.sink import SinkError
from policies.audit.ledger.queries import Question
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_engine import connect
from policies.audit.ledger.sql_reading import Reading, bring_up_to_date
from tests.policies.audit.ledger.stocked import fill

NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def test_what_can_be_asked(settings: LedgerSettings) -> None:
    fill(settings)
    with Reading(settings) as reading:
        (row,) = reading.usage(Question((), *NOVEMBER))
        assert row.cost == Decimal("1.300002")
        for identifier in ("a1", "req-a1", "r-a1"):
            assert [entry.exchange_id for entry in reading.find(identifier)] == ["a1"]


def test_who_reads_makes_nothing(tmp_path: Path) -> None:
    settings = LedgerSettings(kind="ledger", url=f"sqlite:///{tmp_path}/l.db")
    with pytest.raises(SinkError, match="not there; it is made when the journal is followed"), Reading(settings):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_tables(settings: LedgerSettings) -> None:
    engine = connect(settings)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE other (n integer)"))
    engine.dispose()
    with pytest.raises(SinkError, match="sluicegate ledger migrate"), Reading(settings):
        pass
    assert bring_up_to_date(settings) == (None, "0002")
    with Reading(settings) as reading:
        assert reading.find("x") == []

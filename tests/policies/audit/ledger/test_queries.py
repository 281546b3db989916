from __future__ import annotations

from decimal import Decimal

from policies.audit.ledger.queries import Entry, entry
from policies.audit.ledger.rows import COLUMNS, usage_row
from tests.policies.audit.ledger.histories import closing, decision


def test_an_entry_is_a_row_with_amounts_in_dollars() -> None:
    found = entry(usage_row(closing().record))
    assert (found.exchange_id, found.cost, found.reserved) == ("x1", Decimal("0.000123"), None)
    found = entry(usage_row(decision().record))
    assert (found.cost, found.reserved) == (None, Decimal("0.000900"))


def test_an_entry_has_every_column_but_keys() -> None:
    told = {*Entry.__struct_fields__} - {"cost", "reserved"}
    assert {*COLUMNS} - told == {"decision_key", "closing_key", "cost_micro", "reserved_micro"}

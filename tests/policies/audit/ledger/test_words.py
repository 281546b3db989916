from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from msgspec.structs import replace

from policies.audit.ledger.queries import By, Usage, entry
from policies.audit.ledger.rows import usage_row as row_of
from policies.audit.ledger.words import (
    dollars,
    entry_document,
    entry_lines,
    headline,
    usage_csv,
    usage_document,
    usage_row,
)
from policies.audit.record import Closed
from tests.policies.audit.ledger.histories import closing, decision

ONE = Usage(("contoso", "=1+1"), 1_000, 2, 3, 4, 5_000, 6, 7, 8, 0, 0, 0, 9, 10, 11, Decimal("1234.500001"))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0.00"), ("0.000001", "$0.000001"), ("12.5", "$12.50"), ("1234567.1", "$1,234,567.10"), (None, "unknown")],
)
def test_dollars(amount: str | None, text: str) -> None:
    assert dollars(None if amount is None else Decimal(amount)) == text


def test_a_line_of_the_table() -> None:
    assert usage_row(ONE) == (*("contoso", "=1+1", "1,000", "2", "3", "5,000", "7", "6", "9", "$1,234.500001 and more"),)


def test_for_programs_money_is_text() -> None:
    found = usage_document(ONE, (By.TENANT, By.USER))
    assert (found["tenant"], found["user"], found["cost"], found["requests"]) == (
        *("contoso", "=1+1", "1234.500001", 1_000),
    )
    assert json.loads(json.dumps(found)) == found


def test_for_spreadsheets_nothing_is_a_formula() -> None:
    header, line = csv.reader(usage_csv([ONE], (By.TENANT, By.USER)).splitlines())
    assert dict(zip(header, line, strict=True))["user"] == "'=1+1"
    assert dict(zip(header, line, strict=True))["cost"] == "1234.500001"


@pytest.mark.parametrize(
    "begin", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "\ufeff=", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_whatever_a_formula_begins_with(begin: str) -> None:
    row = replace(ONE, key=("contoso", f"{begin}1+1"))
    _, line = csv.reader(io.StringIO(usage_csv([row], (By.TENANT, By.USER)), newline=""))
    assert line[1] == f"'{begin}1+1"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (closing(), "alice of contoso asked for gpt-5: allowed; answered, $0.000123"),
        (closing(cost=""), "alice of contoso asked for gpt-5: allowed; answered, unknown"),
        (closing(cost="", tokens=None), "alice of contoso asked for gpt-5: allowed; answered"),
        (decision(), "alice of contoso asked for gpt-5: allowed; its end is not known"),
        (
            decision(decision="reject", policy="access", reason="model_not_allowed", why="no role"),
            "alice of contoso asked for gpt-5: refused by access model_not_allowed: no role",
        ),
        (
            decision(
                decision="reject", policy="entra", reason="no_token", user_id="", app_id="", tenant="", tenant_id=""
            ),
            "somebody of no known tenant asked for gpt-5: refused by entra no_token",
        ),
    ],
)
def test_headlines(record: Closed, words: str) -> None:
    assert headline(entry(row_of(record.record))) == words


def test_all_that_is_known() -> None:
    lines = dict(entry_lines(entry(row_of(closing(cost="").record))))
    assert (lines["closed_at"], lines["status"], lines["cost"]) == ("2026-11-20T10:00:01.000000Z", "200", "unknown")
    assert (lines["closed"], lines["latency_us"]) == ("yes", "5,000")
    assert "decided_at" not in lines
    assert "why" not in lines


def test_an_exchange_for_programs() -> None:
    found = entry_document(entry(row_of(closing().record)))
    assert (found["cost"], found["reserved"], found["closed"]) == ("0.000123", None, True)
    assert json.loads(json.dumps(found)) == found

from __future__ import annotations

import csv
import io

from policies.cost.reporting.comparing import Row
from policies.cost.reporting.invoices import Billed, Invoice
from policies.cost.reporting.reconciliations import aside, document, lines, sheet

ROWS = [
    Row("2026-11-01", "gpt-5", 1_000_000, 1_500_000, 3, {"input": 5}, {"input": 9}, True, ("tier: x", "open: y")),
    Row("2026-11-02", "=evil", 2_500, 0, 1, {}, {}, True, ()),
    Row("2026-11-02", "local", None, 7, 1_000, {}, {}, False, ("unknown model: z",)),
]
INVOICE = Invoice(
    "azure",
    "details",
    {("2026-11-01", "gpt-5"): Billed(15 * 10**23)},
    {"other services": 3 * 10**24, "charges of another kind (Refund)": -5 * 10**17},
)


def test_a_table() -> None:
    assert lines(ROWS) == [
        ("2026-11-01", "gpt-5", "3", "$1.000000", "$1.500000", "+$0.500000", "tier: x; open: y"),
        ("2026-11-02", "=evil", "1", "$0.002500", "$0.000000", "-$0.002500", "not known"),
        ("2026-11-02", "local", "1,000", "unknown", "$0.000007", "+$0.000007", "unknown model: z"),
        ("total", "", "1,004", "> $1.002500", "$1.500007", "+$0.497507", ""),
    ]


def test_a_record_of_which_a_part_has_no_price() -> None:
    rows = [
        Row("2026-11-01", "gpt-5", 1_500_000, 1_500_000, 3, {}, {}),
        Row("2026-11-02", "gpt-5", 1_000_000, 1_500_000, 3, {}, {}, unpriced=2),
    ]
    assert [line[3] for line in lines(rows)] == ["$1.50", "> $1.00", "> $2.50"]
    assert [line[3] for line in lines(rows[:1])] == ["$1.50", "$1.50"]
    nothing = Row("2026-11-03", "local", None, 7, 1, {}, {}, unpriced=1)
    assert [line[3] for line in lines([nothing])] == ["unknown", "unknown"]
    assert lines([])[0][3] == "0"


def test_a_table_of_tokens() -> None:
    rows = [Row("2026-11-01", "gpt-5", 9, None, 3, {"input": 5, "reasoning": 4}, {"input": 2_000}, True, ("w",), 1)]
    assert lines(rows) == [
        ("2026-11-01", "gpt-5", "3", "5", "2,000", "+1,995", "w"),
        ("total", "", "3", "5", "2,000", "+1,995", ""),
    ]


def test_for_programs() -> None:
    told = document(INVOICE, ROWS)
    assert (told["invoice"], told["first_day"], told["last_day"], told["over"]) == (
        "details",
        "2026-11-01",
        "2026-11-01",
        2,
    )
    assert told["left_aside"] == {"other services": "3.000000", "charges of another kind (Refund)": "0.000000"}
    assert told["rows"][0] == {
        "day": "2026-11-01",
        "model": "gpt-5",
        "requests": 3,
        "record": "1.000000",
        "invoice": "1.500000",
        "difference": "0.500000",
        "tokens_on_record": {"input": 5},
        "tokens_invoiced": {"input": 9},
        "over": True,
        "why": ["tier: x", "open: y"],
    }
    assert [one["record"] for one in told["rows"]] == ["1.000000", "0.002500", None]


def test_for_spreadsheets() -> None:
    read = list(csv.DictReader(io.StringIO(sheet(ROWS))))
    assert [one["model"] for one in read] == ["gpt-5", "'=evil", "local"]
    assert [one["difference"] for one in read] == ["0.500000", "-0.002500", "0.000007"]
    assert [one["record"] for one in read] == ["1.000000", "0.002500", ""]
    assert [one["over"] for one in read] == ["yes", "yes", "no"]
    assert read[0]["why"] == "tier: x; open: y"


def test_what_was_left_out() -> None:
    assert aside(INVOICE) == ["left aside: charges of another kind (Refund): $0.00", "left aside: other services: $3.00"]

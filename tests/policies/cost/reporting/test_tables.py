from __future__ import annotations

from hypothesis import given

from extproc.spending import Question, Spent
from policies.cost.reporting.bills import bill
from policies.cost.reporting.tables import aligned, columns, cost, lines
from tests.policies.cost.reporting.spendings import END, START, row, spent


def test_a_table() -> None:
    rows = [
        row({"tenant": "contoso", "model": "gpt-5"}, 12_500_000, requests=1_234, refused=2, input=10, output=5),
        row({"tenant": "", "model": "gpt-5"}, 1, estimated=1),
        row({"tenant": "x", "model": "local"}, None, unpriced=7),
    ]
    found = bill(Question(("tenant", "model"), START, END), rows)
    assert columns(found) == ("tenant", "model", "requests", "refused", "input", "output", "estimated", "cost")
    assert lines(found) == [
        ("contoso", "gpt-5", "1,234", "2", "10", "5", "0", "$12.500000"),
        ("-", "gpt-5", "1", "0", "0", "0", "1", "$0.000001"),
        ("x", "local", "1", "0", "0", "0", "0", "unknown"),
        ("total", "", "1,236", "2", "10", "5", "1", "> $12.500001"),
    ]


def test_in_all_there_is_one_line() -> None:
    found = bill(Question((), START, END), [row({}, 2_000_000, cached_input=3)])
    assert columns(found) == ("requests", "refused", "input", "output", "cached input", "cost")
    assert lines(found) == [("1", "0", "0", "0", "3", "$2.00")]


def test_costs() -> None:
    assert cost(row({}, None, unpriced=1)) == "unknown"
    assert cost(row({}, 5, unpriced=1)) == "> $0.000005"
    assert cost(row({}, 0)) == "$0.00"


@given(spent())
def test_numbers_end_under_each_other(rows: list[Spent]) -> None:
    found = bill(Question(("tenant", "model", "day"), START, END), rows)
    heading, body = aligned(columns(found), lines(found), 3)
    for column in list(zip(heading, *body, strict=True))[3:]:
        assert len({len(cell) for cell in column}) == 1
        assert not any(cell.endswith(" ") for cell in column)
    assert [line[:3] for line in body] == [line[:3] for line in lines(found)]

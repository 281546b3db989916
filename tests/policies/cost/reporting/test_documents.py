from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given

from extproc.spending import Question, Spent
from policies.cost.reporting.bills import bill
from policies.cost.reporting.documents import document, sheet
from policies.cost.reporting.money import exact
from tests.policies.cost.reporting.spendings import END, START, row, spent

BY = ("tenant", "model", "day")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_for_programs() -> None:
    found = bill(
        Question(("tenant",), START, END), [row({"tenant": "a"}, 3, input=1), row({"tenant": "b"}, None, unpriced=1)]
    )
    told = document(found)
    assert told["from"] == "2026-11-01T00:00:00+00:00"
    assert told["before"] == "2026-12-01T00:00:00+00:00"
    assert told["by"] == ["tenant"]
    assert [(one["tenant"], one["cost"], one["input"]) for one in told["rows"]] == [("a", "0.000003", 1), ("b", None, 0)]
    assert (told["total"]["cost"], told["total"]["unpriced"], told["total"]["requests"]) == ("0.000003", 1, 2)


@given(spent())
def test_all_formats_have_the_same_numbers(rows: list[Spent]) -> None:
    found = bill(Question(BY, START, END), rows)
    programs, sheets = json.loads(json.dumps(document(found)))["rows"], read(sheet(found))
    assert len(programs) == len(sheets) == len(rows)
    for one, program, cells in zip(rows, programs, sheets, strict=True):
        assert program["cost"] == (None if one.dollars is None else exact(one.dollars))
        assert cells["cost"] == (program["cost"] or "")
        for name in ("requests", "refused", "open", "unpriced", "estimated", *one.tokens):
            assert cells[name] == str(program[name])
        assert [program[name] for name in BY] == [one.by[name] for name in BY]
        assert [cells[name].removeprefix("'") for name in BY] == [one.by[name] for name in BY]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("  +1", "'  +1"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("＝1", "'＝1"),
        ("\t=1", "'\t=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("contoso", "contoso"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, safe: str) -> None:
    found = bill(Question(("tenant",), START, END), [row({"tenant": text}, 1)])
    assert read(sheet(found))[0]["tenant"] == safe

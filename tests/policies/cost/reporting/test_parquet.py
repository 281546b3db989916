from __future__ import annotations

import builtins
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import decimal128, int64, parquet, string  # type: ignore[import-untyped,unused-ignore]

from extproc.spending import Question
from policies.cost.reporting.bills import BillError, bill
from policies.cost.reporting.parquet import write
from tests.policies.cost.reporting.spendings import END, START, row

FOUND = bill(
    Question(("tenant", "model"), START, END),
    [
        row({"tenant": "=a", "model": "m"}, 9_007_199_254_740_993, requests=3, input=2**40),
        row({"tenant": "b", "model": ""}, None, unpriced=1),
    ],
)


def test_it_is_read_back_exactly(tmp_path: Path) -> None:
    write(FOUND, tmp_path / "bill.parquet")
    table = parquet.read_table(tmp_path / "bill.parquet")
    assert table.schema.field("cost").type == decimal128(38, 6)
    assert table.schema.field("requests").type == int64()
    assert table.schema.field("tenant").type == string()
    assert table.schema.metadata[b"from"] == b"2026-11-01T00:00:00+00:00"
    rows = table.to_pylist()
    # More than a float holds.
    assert [one["cost"] for one in rows] == [Decimal("9007199254.740993"), None]
    assert [(one["tenant"], one["model"], one["requests"], one["input"]) for one in rows] == [
        ("=a", "m", 3, 2**40),
        ("b", "", 1, 0),
    ]


def test_nothing_is_a_file_as_well(tmp_path: Path) -> None:
    write(bill(Question(("tenant",), START, END), []), tmp_path / "bill.parquet")
    assert parquet.read_table(tmp_path / "bill.parquet").num_rows == 0


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(BillError, match=r"pip install 'sluicegate\[parquet\]'"):
        write(FOUND, tmp_path / "bill.parquet")
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.cost.reporting.invoices import InvoiceError
from policies.cost.reporting.reading import read
from tests.policies.cost.reporting.exports import COSTS, DETAILS, ENTERPRISE, FOCUS, USAGE, cost, meter, sheet


@pytest.mark.parametrize(
    ("columns", "form"),
    [
        (COSTS, "costs of OpenAI"),
        (USAGE, "usage of OpenAI"),
        (DETAILS, "cost and usage details of Azure"),
        (ENTERPRISE, "cost and usage details of Azure"),
        (FOCUS, "FOCUS of Azure"),
        (tuple(reversed(DETAILS)), "cost and usage details of Azure"),
        (tuple(name.upper() for name in COSTS), "costs of OpenAI"),
    ],
)
def test_which_export_it_is(tmp_path: Path, columns: tuple[str, ...], form: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(sheet(columns))
    assert read(path).form == form


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(sheet([name for name in DETAILS if name not in ("meterName", "quantity")]))
    with pytest.raises(
        InvoiceError, match=r"for cost and usage details of Azure there is no column metername, quantity; its columns are"
    ):
        read(path)


def test_what_is_no_export(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("name,\x1b[2Jage\nann,7\n")
    with pytest.raises(InvoiceError, match=r"no export that is known here: its columns are name, \\x1b\[2jage"):
        read(path)


def test_names_are_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(sheet(COSTS, cost("2026-11-01", "my-deployment-2026-01-01, input", "1")))
    assert list(read(path, alias={"my-deployment": "gpt-5"}).billed) == [("2026-11-01", "gpt-5")]


_CELL = st.text(max_size=12) | st.sampled_from(["1", "2026-11-01", "11/01/2026", "1793491200", "usd", "EUR", "1e9", "=1"])


@settings(max_examples=150)
@given(st.sampled_from([COSTS, USAGE, DETAILS, ENTERPRISE, FOCUS]), st.data())
def test_any_cells_are_an_invoice_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, columns: tuple[str, ...], data: st.DataObject
) -> None:
    good = {**cost("2026-11-01", "m, input", "1"), **meter("11/01/2026", "m Inp Tokens", "1")}
    whole = {name: good[name] for name in columns if name in good}
    wild = data.draw(st.dictionaries(st.sampled_from(columns), _CELL, max_size=6))
    path = tmp_path_factory.getbasetemp() / "wild.csv"
    path.write_text(sheet(columns, {**whole, **wild}), "utf-8")
    with contextlib.suppress(InvoiceError):
        # Whatever else it raises fails the test.
        assert all(len(day) == 10 for day, _ in read(path).billed)

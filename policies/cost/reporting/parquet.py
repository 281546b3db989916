"""A bill as Parquet, with the cost as a decimal of six places: no reader rounds it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from policies.cost.reporting.bills import Bill, BillError


def write(bill: Bill, path: Path) -> None:
    """Write the rows of a bill; a cost that is not known is null. The period is in the metadata of the file.

    Raises:
        BillError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
        from pyarrow import parquet  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise BillError("Parquet needs pyarrow: pip install 'sluicegate[parquet]'") from None
    counts = ("requests", "refused", "open", "unpriced", "estimated")
    table: dict[str, pa.Array] = {}
    for name in bill.by:
        table[name] = pa.array([row.by[name] for row in bill.rows], pa.string())
    for name in counts:
        table[name] = pa.array([getattr(row, name) for row in bill.rows], pa.int64())
    for name in bill.total.tokens:
        table[name] = pa.array([row.tokens.get(name, 0) for row in bill.rows], pa.int64())
    costs = [None if row.dollars is None else Decimal(row.dollars).scaleb(-6) for row in bill.rows]
    table["cost"] = pa.array(costs, pa.decimal128(38, 6))
    about = {"from": bill.start.isoformat(), "before": bill.end.isoformat()}
    with path.open("wb") as file:
        parquet.write_table(pa.table(table).replace_schema_metadata(about), file)

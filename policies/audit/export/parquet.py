"""Records as an Apache Parquet file, a row each, with typed columns. Needs `sluicegate[parquet]`: without it, this
module cannot be imported.

Columns are named as the record's members, with `_` for a dot; `tokens` and `reserved` are a column for each count
(`tokens_input`). Times are UTC in microseconds, `cost` is a decimal with six places, lists are lists. `params` is JSON.
A member without a value is null. Rows are written in groups, and no more than one group is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as arrow  # type: ignore[import-untyped,unused-ignore]
from msgspec.structs import FieldInfo, asdict, fields
from pyarrow import parquet  # type: ignore[import-untyped,unused-ignore]

from policies.audit.record import Closed, Record, Reserved, Tokens

GROUP_ROWS: Final = 10_000
GROUP_BYTES: Final = 16 << 20
"""A row group is written when it has so many rows, or its records so many bytes."""
_COST: Final = (18, 6)
_Read = Callable[[Closed], Any]


def export(records: Iterable[Closed], out: BinaryIO) -> None:
    """Write them to `out`, which stays open and need not be able to seek. Without records it is a file without rows."""
    columns = _columns()
    schema = arrow.schema([arrow.field(name, kind, nullable) for name, kind, nullable, _ in columns])

    def write(rows: list[Closed]) -> None:
        arrays = [arrow.array([read(row) for row in rows], kind) for _, kind, _, read in columns]
        writer.write_table(arrow.Table.from_arrays(arrays, schema=schema), row_group_size=len(rows))

    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        rows: list[Closed] = []
        size = 0
        for closed in records:
            rows.append(closed)
            size += len(closed.line)
            if len(rows) >= GROUP_ROWS or size >= GROUP_BYTES:
                write(rows)
                rows, size = [], 0
        if rows:
            write(rows)


def _columns() -> list[tuple[str, Any, bool, _Read]]:
    """Name, type, whether it may be null, and how it is read from a record."""
    found: list[tuple[str, Any, bool, _Read]] = []
    for field in fields(Record):
        if field.name in ("tokens", "reserved"):
            counts = Tokens if field.name == "tokens" else Reserved
            found += [
                (f"{field.name}_{each.name}", arrow.int64(), True, _count(field.name, each.name))
                for each in fields(counts)
            ]
        else:
            kind, read = _typed(field)
            found.append((field.encode_name.replace(".", "_"), kind, not field.required, read))
    found.append(("hash", arrow.string(), False, lambda closed: closed.hash))
    return found


def _typed(field: FieldInfo) -> tuple[Any, _Read]:
    name = field.name
    if name in ("timestamp", "started"):
        return arrow.timestamp("us", tz="UTC"), lambda closed: _moment(getattr(closed.record, name))
    if name == "cost":
        return arrow.decimal128(*_COST), lambda closed: _dollars(closed.record.cost)
    if name == "params":
        return arrow.string(), lambda closed: _json(closed.record.params)
    if name == "decisions":
        said = [("code", arrow.string()), ("enforced", arrow.bool_()), ("outcome", arrow.string())]
        said += [("policy", arrow.string()), ("why", arrow.string())]
        return arrow.list_(arrow.struct(said)), _decisions
    if name == "timings":
        took = [("microseconds", arrow.int64()), ("policy", arrow.string())]
        return arrow.list_(arrow.struct(took)), lambda closed: [asdict(one) for one in closed.record.timings] or None
    match field.type:
        case t if t is bool:
            return arrow.bool_(), lambda closed: getattr(closed.record, name)
        case t if t is int:
            return arrow.int64(), lambda closed: getattr(closed.record, name) or (0 if field.required else None)
        case t if t == tuple[str, ...]:
            return arrow.list_(arrow.string()), lambda closed: list(getattr(closed.record, name)) or None
        case _ if field.required:
            return arrow.string(), lambda closed: getattr(closed.record, name)
        case _:
            return arrow.string(), lambda closed: getattr(closed.record, name) or None


def _count(member: str, name: str) -> _Read:
    def read(closed: Closed) -> int | None:
        counts = getattr(closed.record, member)
        return getattr(counts, name) if counts is not None else None

    return read


def _moment(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None


def _dollars(value: str) -> Decimal | None:
    """With six places; None where it is no decimal that fits."""
    try:
        exact = Decimal(value).quantize(Decimal("0.000001"))
    except InvalidOperation:
        return None
    return exact if exact.is_finite() and abs(exact) < Decimal(10) ** (_COST[0] - _COST[1]) else None


def _json(value: Any) -> str | None:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if value else None


def _decisions(closed: Closed) -> list[dict[str, Any]] | None:
    names = ("code", "enforced", "outcome", "policy", "why")
    return [{name: getattr(said, name) for name in names} for said in closed.record.decisions] or None

"""Parquet, as pyarrow reads it back."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.record import Closed, Record
from tests.policies.audit.sinks.made import HARD, big, full, made, records

pyarrow: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'sluicegate[parquet]'")
parquet: Any = pytest.importorskip("pyarrow.parquet")

from policies.audit.export.parquet import GROUP_BYTES, GROUP_ROWS, export  # noqa: E402  (it cannot be without it)


def rows(closed: list[Closed]) -> list[dict[str, Any]]:
    out = BytesIO()
    export(iter(closed), out)
    found: list[dict[str, Any]] = parquet.read_table(BytesIO(out.getvalue())).to_pylist()
    return found


def test_a_full_record() -> None:
    [row] = rows([full(3, started="2026-11-21T13:38:22.500000Z")])
    expected = {
        "sequence": 3,
        "timestamp": datetime(2026, 11, 21, 13, 38, 23, 1, UTC),
        "started": datetime(2026, 11, 21, 13, 38, 22, 500_000, UTC),
        "cost": Decimal("0.001234"),
        "roles": ["Admin", "User"],
        "params": '{"max_tokens":7,"temperature":"0.5"}',
        "decisions": [{"code": "limit", "enforced": True, "outcome": "reject", "policy": "limits", "why": "too many"}],
        "timings": [{"microseconds": 12, "policy": "entra"}, {"microseconds": 0, "policy": "access"}],
        "http_response_status_code": 429,
        "url_path": "<path>",
        "stream": True,
        "tokens_cache_write": 1,
        "tokens_cached_input": 2,
        "tokens_weighted": 12,
        "reserved_dollars": 1,
        "reserved_tokens": 4,
        "user_id": "<user_id>",
        "hash": full(3, started="2026-11-21T13:38:22.500000Z").hash,
    }
    assert {name: row[name] for name in expected} == expected
    assert None not in row.values()


def test_types() -> None:
    out = BytesIO()
    export(iter([]), out)
    found = parquet.read_table(BytesIO(out.getvalue()))
    assert found.num_rows == 0
    types = {field.name: str(field.type) for field in found.schema}
    assert types["timestamp"] == "timestamp[us, tz=UTC]"
    assert types["cost"] == "decimal128(18, 6)"
    assert types["tokens_input"] == types["latency_us"] == "int64"
    assert types["roles"] == "list<element: string>"
    assert types["redacted"] == "bool"
    names = {name.replace(".", "_") for name in Record.__struct_encode_fields__} - {"tokens", "reserved"}
    assert names < set(types)


def test_what_has_no_value_is_null() -> None:
    [row] = rows([made(1)])
    filled = {
        "event",
        "hash",
        "journal",
        "kind",
        "level",
        "previous",
        "redacted",
        "schema",
        "sequence",
        "stream",
        "timestamp",
    }
    assert {name for name, value in row.items() if value is not None} == filled


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("12.5", Decimal("12.500000")),
        ("999999999999.999999", Decimal("999999999999.999999")),
        ("1000000000000", None),
        ("1e9000", None),
        ("NaN", None),
        ("", None),
    ],
)
def test_costs(cost: str, expected: Decimal | None) -> None:
    assert rows([made(cost=cost)])[0]["cost"] == expected


def test_hard_texts_stay_what_they_are() -> None:
    assert [row["why"] for row in rows([made(why=text) for text in HARD])] == list(HARD)


def test_rows_are_written_in_groups() -> None:
    count = GROUP_ROWS * 2 + 1
    out = BytesIO()
    record = made(1)
    export((record for _ in range(count)), out)
    found = parquet.ParquetFile(BytesIO(out.getvalue()))
    assert [found.metadata.row_group(each).num_rows for each in range(found.num_row_groups)] == [
        GROUP_ROWS,
        GROUP_ROWS,
        1,
    ]
    out = BytesIO()
    large = big(GROUP_BYTES // 4)
    export((large for _ in range(9)), out)
    assert [parquet.ParquetFile(BytesIO(out.getvalue())).metadata.row_group(each).num_rows for each in range(3)] == [
        4,
        4,
        1,
    ]


class Pipe(RawIOBase):
    """What cannot be read, or gone back in."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content += data
        return len(data)


def test_it_writes_where_one_cannot_seek_and_leaves_it_open() -> None:
    pipe = Pipe()
    export(iter([made(1), made(2)]), cast(BinaryIO, pipe))
    assert not pipe.closed
    assert parquet.read_table(BytesIO(bytes(pipe.content))).num_rows == 2


def test_memory_does_not_grow_with_the_records(tmp_path: Path) -> None:
    one = full(1)

    def many(count: int) -> Iterator[Closed]:
        for sequence in range(1, count + 1):
            record = msgspec.structs.replace(one.record, sequence=sequence, user_id=f"user-{sequence}")
            yield Closed(record, one.hash, bytes(bytearray(one.line)))

    def peak(count: int) -> int:
        before = pyarrow.total_allocated_bytes()
        tracemalloc.start()
        with (tmp_path / f"{count}.parquet").open("wb") as out:
            export(many(count), out)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pyarrow.total_allocated_bytes() - before < 4 << 20
        return used

    assert peak(GROUP_ROWS * 3) < 1.3 * peak(GROUP_ROWS)


def test_without_pyarrow_it_cannot_be_imported_and_says_why() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "try: from policies.audit.export import parquet\n"
        "except ModuleNotFoundError as error: print(error.name)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "pyarrow"


@settings(max_examples=40)
@given(st.lists(records, max_size=5))
def test_whatever_they_are_they_come_back(batch: list[Closed]) -> None:
    found = rows(batch)
    assert [(row["sequence"], row["hash"]) for row in found] == [(each.record.sequence, each.hash) for each in batch]
    assert [row["why"] or "" for row in found] == [each.record.why for each in batch]
    assert [tuple(row["roles"] or ()) for row in found] == [each.record.roles for each in batch]

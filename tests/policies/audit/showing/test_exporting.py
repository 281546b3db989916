"""Where an export goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from policies.audit.record import Closed
from policies.audit.showing import exporting
from policies.audit.showing.filters import FilterError
from tests.policies.audit.showing.journaled import closed, decision

RECORDS = [closed(decision(1)), closed(decision(2, user_id="e\x9b"))]


def lines(records: Iterable[Closed], out: BinaryIO) -> None:
    for one in records:
        out.write(one.line + b"\n")


def interrupted() -> Iterator[Closed]:
    yield RECORDS[0]
    raise KeyboardInterrupt


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        exporting.to_file(out, lines, interrupted())
    assert os.listdir(tmp_path) == []
    exporting.to_file(out, lines, RECORDS)
    whole = out.read_bytes()
    assert len(whole.splitlines()) == 2
    assert out.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyboardInterrupt):
        exporting.to_file(out, lines, interrupted())
    assert out.read_bytes() == whole
    with pytest.raises(FileNotFoundError):
        exporting.to_file(tmp_path / "nowhere" / "out", lines, RECORDS)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(written))
    exporting.to_terminal("jsonl", lines, RECORDS)
    assert b"e\\u009b" in written.getvalue()
    assert "\x9b".encode() not in written.getvalue()
    with pytest.raises(FilterError, match="parquet is not for a terminal: name a file with -o"):
        exporting.to_terminal("parquet", lines, RECORDS)


def test_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    exporting.to_terminal("jsonl", lines, RECORDS)
    assert capfdbinary.readouterr().out == b"".join(one.line + b"\n" for one in RECORDS)


def test_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FilterError, match="--format xml: expected one of"):
        exporting.writer("xml")
    monkeypatch.setitem(sys.modules, "policies.audit.export.parquet", None)
    with pytest.raises(FilterError, match=r"pip install 'sluicegate\[parquet\]'"):
        exporting.writer("parquet")


@pytest.mark.parametrize("form", ["ecs", "cef", "jsonl"])
def test_each_format_writes_something(form: str) -> None:
    pytest.importorskip(f"policies.audit.export.{form}")
    out = io.BytesIO()
    exporting.writer(form)(iter(RECORDS), out)
    assert len(out.getvalue().splitlines()) == 2

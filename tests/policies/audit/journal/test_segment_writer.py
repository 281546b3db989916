"""Lines go into the file whole, wherever a write stops; segments end sealed."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from policies.audit.canonical import read
from policies.audit.journal.heads import read_head
from policies.audit.journal.recovery import Tail, recover
from policies.audit.journal.segment_writer import Batch, SegmentWriter
from policies.audit.journal.segments import segments
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import chain, stored

LINES = chain(30)
SEEN = {("request.allowed", "acme", ""): "2026-11-21T13:38:23.000000Z"}


def batch(first: int, last: int) -> Batch:
    return Batch(LINES[first - 1 : last], first, last, read(LINES[last - 1]).hash, dict(SEEN))


def writer(folder: Path, tail: Tail | None = None, most: int = 1 << 20, age: float = 3_600) -> SegmentWriter:
    folder.mkdir(exist_ok=True)
    return SegmentWriter(folder, tail or Tail(), most, age, None, time.time)


@given(stops=st.lists(st.integers(0, 4_000), max_size=6))
@hypothesis(deadline=None, max_examples=60)
def test_wherever_a_write_stops(stops: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        put, left, files = os.pwrite, list(stops), writer(Path(name) / "gate.0")
        state = {"stop": False}

        def pwrite(descriptor: int, data: bytes, position: int) -> int:
            if state["stop"]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            state["stop"] = bool(left)
            return put(descriptor, data[: left.pop(0)] if left else data, position)

        patch.setattr(os, "pwrite", pwrite)
        given = batch(1, 20)
        while True:
            try:
                files.write(given)
                break
            except OSError:
                state["stop"] = False
                text = segments(Path(name) / "gate.0")[0].path.read_bytes()
                assert text == b"".join(line + b"\n" for line in LINES[: files.sequence])
                assert given.lines == LINES[files.sequence : 20]
        assert stored(Path(name) / "gate.0") == LINES[:20]
        assert (files.sequence, files.hash) == (20, read(LINES[19]).hash)
        assert files.bytes == sum(len(line) + 1 for line in LINES[:20])
        files.close()


def test_segments_end_sealed_and_indexed(tmp_path: Path) -> None:
    files = writer(tmp_path / "gate.0", most=1_000)
    for first in range(1, 31, 5):
        files.write(batch(first, first + 4))
    files.sync()
    files.tell()
    files.close()
    parts = segments(tmp_path / "gate.0")
    assert [part.first for part in parts] == [1, 6, 11, 16, 21, 26]
    assert [getattr(read_head(part.seal), "sequence", None) for part in parts] == [5, 10, 15, 20, 25, None]
    assert b'"acme"' in parts[0].index.read_bytes()
    assert verify(tmp_path, public_key=None).intact


def test_it_goes_on_with_a_segment_and_leaves_its_index_to_others(tmp_path: Path) -> None:
    files = writer(tmp_path / "gate.0")
    files.write(batch(1, 10))
    files.close()
    files = writer(tmp_path / "gate.0", recover(tmp_path / "gate.0"))
    files.write(batch(11, 20))
    files.end_segment()
    files.write(batch(21, 30))
    files.end_segment()
    parts = segments(tmp_path / "gate.0")
    assert [part.first for part in parts] == [1, 21]
    assert [part.index.exists() for part in parts] == [False, True]
    assert stored(tmp_path / "gate.0") == LINES
    # It may be asked for once more.
    files.end_segment()
    assert segments(tmp_path / "gate.0") == parts


def test_an_old_segment_ends(tmp_path: Path) -> None:
    files = writer(tmp_path / "gate.0", age=0.01)
    files.aged()
    files.write(batch(1, 10))
    time.sleep(0.02)
    files.aged()
    assert read_head(segments(tmp_path / "gate.0")[0].seal) is not None


def test_a_seal_that_cannot_be_written(tmp_path: Path) -> None:
    files = writer(tmp_path / "gate.0", most=1_000)
    files.write(batch(1, 10))
    blocked = segments(tmp_path / "gate.0")[0].seal.with_name(".00000000000000000001.seal.json.new")
    blocked.mkdir()
    given = batch(11, 20)
    with pytest.raises(OSError, match="Is a directory"):
        files.write(given)
    assert len(given.lines) == 10
    blocked.rmdir()
    files.write(given)
    files.sync()
    files.tell()
    files.close()
    assert stored(tmp_path / "gate.0") == LINES[:20]
    assert verify(tmp_path, public_key=None).intact

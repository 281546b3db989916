"""The small files beside segments: read, replaced whole, and refused where they are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.journal.heads import (
    Head,
    NoteError,
    Removal,
    Removed,
    head,
    latest,
    read_head,
    read_removed,
    write,
)
from policies.audit.moments import moment

HEAD = Head(7, "a" * 64, "2026-11-21T13:38:23.000000Z")


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    assert read_head(path) is None
    for one in (HEAD, Head(8, "b" * 64, "", "signature", "key")):
        write(path, one)
        assert read_head(path) == one

    assert [each.name for each in tmp_path.iterdir()] == ["head.json"]


def test_removals_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "removed.json"
    assert read_removed(path) == Removed(())
    removed = Removed((Removal(1, 5, "a" * 64, "", "why"), Removal(9, 9, "b" * 64, "", "why")))
    write(path, removed)
    assert read_removed(path) == removed
    covered = [sequence for sequence in range(12) if removed.over(sequence) is not None]
    assert covered == [1, 2, 3, 4, 5, 9]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sequence": "7"}', b"\xff", b'{"removed": [{}]}', b"[" * 5_000])
def test_what_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(NoteError, match=r"note\.json"):
        read_head(path)
    with pytest.raises(NoteError, match=r"note\.json"):
        read_removed(path)


def test_it_stays_where_it_cannot_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / "head.json", HEAD)
    (tmp_path / ".head.json.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write(tmp_path / "head.json", Head(8, "b" * 64, ""))
    assert read_head(tmp_path / "head.json") == HEAD


def test_the_latest() -> None:
    later = Head(9, "b" * 64, "")
    assert latest([HEAD, None, later]) is later
    assert latest([None]) is None


def test_moments() -> None:
    assert moment(0) == "1970-01-01T00:00:00.000000Z"
    assert moment(1_795_268_303.25) == "2026-11-21T13:38:23.250000Z"
    assert head("gate.0", 7, "a" * 64, 0, None) == Head(7, "a" * 64, moment(0))

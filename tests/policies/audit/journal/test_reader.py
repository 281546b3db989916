"""A follower gets every record once and in order, also while the journal is written, rotated, compressed and removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.audit.canonical import read
from policies.audit.journal import BrokenJournalError, JournalReader, Position
from policies.audit.journal.chain import What
from policies.audit.journal.heads import Removal, Removed, write
from policies.audit.journal.retention import RetentionRules, compress, retain
from policies.audit.journal.segments import plain, segments
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import chain, put, records, stored, written

LINES = chain(30)


def laid(folder: Path, *parts: tuple[int, int]) -> Path:
    """A journal whose segments hold records from one to another."""
    journal = folder / "gate.0"
    for first, last in parts:
        put(plain(journal, first), LINES[first - 1 : last])
    return journal


@pytest.mark.parametrize("most", [1, 3, 10, 1_000])
def test_all_records_are_read(tmp_path: Path, most: int) -> None:
    journal = laid(tmp_path, (1, 10), (11, 20), (21, 30))
    compress(segments(journal)[1])
    reader, position, found = JournalReader(journal), Position(), []
    while True:
        more, position = reader.read(position, most)
        if not more:
            break
        assert len(more) <= most
        found += more
        # Another reader goes on from where this one is.
        assert JournalReader(journal).read(position, 1)[0] == JournalReader(journal).read(position, 2)[0][:1]
    assert found == [read(line) for line in LINES]
    assert (position.sequence, position.segment) == (31, "00000000000000000021")


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    assert JournalReader(tmp_path / "gate.0").read(Position(), 10) == ([], Position())
    (tmp_path / "gate.0").mkdir()
    assert JournalReader(tmp_path / "gate.0").read(Position(), 10) == ([], Position())


def test_the_live_end(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 3))
    reader = JournalReader(journal)
    found, position = reader.read(Position(), 10)
    assert len(found) == 3
    with plain(journal, 1).open("ab", buffering=0) as file:
        file.write(LINES[3][:40])
        assert reader.read(position, 10) == ([], position)
        file.write(LINES[3][40:])
        assert reader.read(position, 10) == ([], position)
        file.write(b"\n")
        found, position = reader.read(position, 10)
        assert [one.record.sequence for one in found] == [4]
    put(plain(journal, 5), [])
    assert reader.read(position, 10)[0] == []
    put(plain(journal, 5), LINES[4:6])
    found, position = reader.read(position, 10)
    assert [one.record.sequence for one in found] == [5, 6]


def test_it_is_compressed_while_it_is_read(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 20), (21, 30))
    reader = JournalReader(journal)
    first, position = reader.read(Position(), 7)
    compress(segments(journal)[0])
    more, _ = reader.read(position, 100)
    assert [one.line for one in first + more] == LINES
    assert [one.line for one in JournalReader(journal).read(position, 100)[0]] == LINES[7:]


def test_a_position_that_names_no_segment(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 10), (11, 20))
    for sequence in (1, 5, 10, 11, 20):
        found, _ = JournalReader(journal).read(Position(sequence), 100)
        assert [one.record.sequence for one in found] == list(range(sequence, 21))
    assert JournalReader(journal).read(Position(21), 100)[0] == []


def test_what_was_removed_is_passed_over(tmp_path: Path) -> None:
    journal = laid(tmp_path, (11, 15), (21, 30))
    gone = Removed((Removal(1, 10, "0" * 64, "", ""), Removal(16, 20, "0" * 64, "", "")))
    write(journal / "removed.json", gone)
    wanted = [*range(11, 16), *range(21, 31)]
    for position in (Position(), Position(3), Position(7, "00000000000000000001", 999)):
        assert [one.record.sequence for one in JournalReader(journal).read(position, 100)[0]] == wanted
    assert [one.record.sequence for one in JournalReader(journal).read(Position(18), 100)[0]] == wanted[5:]


BROKEN: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "edited": (lambda made: [*made[:4], made[4].replace(b"acme", b"evil"), *made[5:]], 5),
    "removed": (lambda made: made[:4] + made[5:], 5),
    "of another journal": (lambda made: [*made[:4], *chain(9, "gate.9")[4:5], *made[5:]], 5),
    "of another chain": (lambda made: [*made[:4], *chain(9, previous="a" * 64)[4:]], 5),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_journal_that_is_not_whole(tmp_path: Path, what: str) -> None:
    how, sequence = BROKEN[what]
    journal = laid(tmp_path)
    put(plain(journal, 1), how(LINES))
    reader = JournalReader(journal)
    # What is whole comes first.
    found, position = reader.read(Position(), 100)
    assert [one.record.sequence for one in found] == [1, 2, 3, 4]
    for _ in range(2):
        with pytest.raises(BrokenJournalError) as caught:
            reader.read(position, 100)
        assert caught.value.sequence == sequence


def test_a_segment_is_missing(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 10), (21, 30))
    found, position = JournalReader(journal).read(Position(), 100)
    assert len(found) == 10
    with pytest.raises(BrokenJournalError, match="record 11: it is missing"):
        JournalReader(journal).read(position, 100)
    plain(journal, 1).unlink()
    with pytest.raises(BrokenJournalError, match="record 1: it is missing"):
        JournalReader(journal).read(Position(), 100)


def test_a_segment_that_is_shorter_than_it_was(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 10))
    reader = JournalReader(journal)
    _, position = reader.read(Position(), 100)
    put(plain(journal, 1), LINES[:5])
    with pytest.raises(BrokenJournalError, match="ends before"):
        reader.read(position, 100)


@pytest.mark.parametrize("position", [Position(22), Position(500), Position(500, f"{450:020d}", 777)])
def test_a_journal_that_ends_before_what_was_read_of_it(tmp_path: Path, position: Position) -> None:
    """An older copy was put in its place, or it began anew: to wait would pass over all that is written until then."""
    journal = laid(tmp_path, (1, 10), (11, 20))
    with pytest.raises(BrokenJournalError, match="ends with record 20, and more was read of it"):
        JournalReader(journal).read(position, 10)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 10))
    os.mkfifo(plain(journal, 11))
    _, position = JournalReader(journal).read(Position(), 10)
    with pytest.raises(OSError, match="no file"):
        JournalReader(journal).read(position, 10)
    assert [one.what for one in verify(tmp_path, public_key=None).findings if one.segment == plain(journal, 11).name] == [
        What.UNREADABLE
    ]


def test_a_segment_that_cannot_be_unpacked(tmp_path: Path) -> None:
    journal = laid(tmp_path, (1, 10))
    compress(segments(journal)[0])
    packed = segments(journal)[0].path
    packed.write_bytes(packed.read_bytes()[:200])
    with pytest.raises(BrokenJournalError, match="unpacked"):
        JournalReader(journal).read(Position(), 100)


def test_all_of_it_was_removed_and_it_goes_on(tmp_path: Path) -> None:
    journal = written(tmp_path, 40, segment_bytes=2_000)
    reader = JournalReader(journal)
    found, position = reader.read(Position(), 1_000)
    retain(tmp_path, RetentionRules(days=1), time.time() + 200_000, [])
    assert segments(journal) == []
    assert reader.read(position, 10)[0] == []
    written(tmp_path, 3)
    more, _ = reader.read(position, 10)
    assert [one.record.sequence for one in more] == [43, 44, 45, 46, 47]
    assert len(found) == 42
    assert [one.line for one in records(journal)] == stored(journal)

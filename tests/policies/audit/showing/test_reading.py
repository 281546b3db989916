"""All journals as one stream."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.journal.reader import Position
from policies.audit.record import Closed, Record
from policies.audit.showing.reading import Source, beginning, everything, folders, followed, merged
from policies.audit.showing.times import stamp
from tests.policies.audit.showing.journaled import START, closed, record, write


def ids(records: Iterator[Closed]) -> list[tuple[str, int]]:
    return [(one.record.journal, one.record.sequence) for one in records]


def at(seconds: float) -> str:
    return record(seconds).timestamp


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=4))
def test_in_the_order_of_time_and_within_a_journal_of_sequence(journals: list[list[int]]) -> None:
    streams = [
        [closed(record(seconds, journal=f"gw.{number}", sequence=index)) for index, seconds in enumerate(times)]
        for number, times in enumerate(journals)
    ]
    found = list(merged(streams))
    assert len(found) == sum(map(len, streams))
    for number, stream in enumerate(streams):
        assert [one for one in found if one.record.journal == f"gw.{number}"] == stream
    if all(times == sorted(times) for times in journals):
        assert [one.record.timestamp for one in found] == sorted(one.record.timestamp for one in found)


def test_journals_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.0", [record(0), record(2), record(4)], per_segment=2)
    write(tmp_path, "b.0", [record(1), record(3)])
    (tmp_path / "status.json").write_text("{}")
    records, sources = everything(tmp_path)
    assert ids(records) == [("a.0", 1), ("b.0", 1), ("a.0", 2), ("b.0", 2), ("a.0", 3)]
    assert [source.broken for source in sources] == [None, None]
    assert folders(tmp_path / "a.0") == [tmp_path / "a.0"]
    assert folders(tmp_path / "elsewhere") == []


def test_a_broken_journal_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, "a.0", [record(seconds) for seconds in range(5)])
    write(tmp_path, "b.0", [record(seconds) for seconds in range(5)])
    segment = tmp_path / "a.0" / f"{1:020d}.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"request.allowed", b"request.refused")
    segment.write_bytes(b"".join(lines))
    records, sources = everything(tmp_path)
    found = ids(records)
    assert [one for one in found if one[0] == "a.0"] == [("a.0", 1), ("a.0", 2), ("a.0", 3)]
    assert len([one for one in found if one[0] == "b.0"]) == 5
    broken = sources[0].broken
    assert broken is not None
    assert "record 4" in broken.why
    assert sources[1].broken is None


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A journal of ten days, a record every six hours, a segment a day; the first are compressed."""
    write(tmp_path, "a.0", [record(hours * 3_600) for hours in range(0, 240, 6)], per_segment=4)
    journal = tmp_path / "a.0"
    for segment in sorted(journal.iterdir())[:5]:
        segment.with_name(f"{segment.name}.gz").write_bytes(gzip.compress(segment.read_bytes()))
        segment.unlink()
    return journal


@pytest.mark.parametrize(
    ("day", "sequence"),
    [
        (-1, 0),
        (0, 0),
        # The segment that begins just then may follow one whose clock was ahead.
        (1, 1),
        (1.5, 5),
        (4.5, 17),
        (100, 37),
    ],
)
def test_reading_begins_where_the_time_may_be(days: Path, day: float, sequence: int) -> None:
    assert beginning(days, at(day * 86_400)) == Position(sequence=sequence)


@settings(max_examples=60)
@given(st.integers(0, 240), st.integers(0, 240))
def test_no_record_of_a_period_is_missed(tmp_path_factory: pytest.TempPathFactory, first: int, length: int) -> None:
    folder = tmp_path_factory.mktemp("journals")
    written = write(folder, "a.0", [record(hours * 3_600) for hours in range(0, 240, 6)], per_segment=4)
    earliest, before = at(first * 3_600), at((first + length) * 3_600)
    records, _ = everything(folder, earliest, before)
    found = set(ids(records))
    meant = {(one.record.journal, one.record.sequence) for one in written if earliest <= one.record.timestamp < before}
    assert meant <= found


def test_a_time_beyond_the_calendar(days: Path) -> None:
    assert beginning(days, "0001-01-01T00:00:00.000000Z") == Position()
    records, _ = everything(days, before="9999-12-31T23:59:59.999999Z")
    assert len(list(records)) == 40


def test_what_comes_is_followed_also_in_new_journals(tmp_path: Path) -> None:
    write(tmp_path, "a.0", [record(0)])
    records, sources = everything(tmp_path)
    assert ids(records) == [("a.0", 1)]
    other = write(tmp_path / "other", "a.0", [record(0), record(5), record(6)])

    def more() -> Iterator[bool]:
        yield True
        segment = tmp_path / "a.0" / f"{1:020d}.jsonl"
        with segment.open("ab") as file:
            # The last one is under way still.
            file.write(other[1].line + b"\n" + other[2].line[:50])
        yield True
        write(tmp_path, "b.0", [record(7)])
        with segment.open("ab") as file:
            file.write(other[2].line[50:] + b"\n")
        yield True
        yield False

    rounds = more()
    found = list(followed(tmp_path, sources, lambda: next(rounds)))
    assert [one and (one.record.journal, one.record.sequence) for one in found] == [
        None,
        ("a.0", 2),
        None,
        ("a.0", 3),
        ("b.0", 1),
        None,
    ]


class Endless:
    """A journal that is as long as it is asked to be."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._open = True

    def read(self, position: Position, most: int) -> tuple[list[Closed], Position]:
        end = min(self._length, position.sequence + most)
        moment = stamp(START)
        batch = [
            Closed(_plain(sequence, moment), "0" * 64, bytes(bytearray(1_000)))
            for sequence in range(position.sequence, end)
        ]
        return batch, Position(sequence=end)

    def close(self) -> None:
        self._open = False


def _plain(sequence: int, moment: str) -> Record:
    return record(sequence=sequence, timestamp=moment)


def test_memory_does_not_grow_with_the_journal() -> None:
    def peak(length: int) -> int:
        sources = [Source(f"gw.{number}", Endless(length), Position()) for number in range(2)]
        tracemalloc.start()
        try:
            assert sum(1 for _ in merged(source.records() for source in sources)) == 2 * length
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(8_000) < 1.5 * peak(1_000)

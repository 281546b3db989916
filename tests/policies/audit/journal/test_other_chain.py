"""The end of a journal was lost and written anew: who had read it notices, and misses nothing of what is there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.canonical import read
from policies.audit.journal import BrokenJournalError, JournalReader, Position
from policies.audit.journal.reader import OtherChainError
from policies.audit.journal.segments import plain, segments
from tests.policies.audit.journal.written import chain, put

LINES = chain(30)


def laid(journal: Path, lines: list[bytes], ends: list[int]) -> None:
    """These lines in segments with these last records."""
    for segment in segments(journal) if journal.is_dir() else []:
        segment.path.unlink()
    first = 1
    for last in [*(end for end in sorted(set(ends)) if end < len(lines)), len(lines)]:
        put(plain(journal, first), lines[first - 1 : last])
        first = last + 1


def anew(kept: int, count: int, **more: Any) -> list[bytes]:
    """The first lines, and others in the place of the rest."""
    before = read(LINES[kept - 1]).hash if kept else "0" * 64
    return [*LINES[:kept], *chain(count, first=kept + 1, previous=before, **more)]


def position_after(journal: Path, count: int) -> Position:
    found, position = JournalReader(journal).read(Position(), count)
    assert len(found) == count
    return position


@pytest.mark.parametrize(
    ("ends", "kept", "count", "common"),
    [
        # In one segment.
        ([], 10, 20, 1),
        ([], 10, 5, 1),
        ([], 0, 30, 1),
        # From the segment on in which it was read last.
        ([8, 16], 18, 12, 17),
        ([8, 16], 18, 1, 17),
        # It had begun after what was lost.
        ([8, 16], 14, 16, 1),
        ([8, 16], 14, 3, 1),
        ([8, 16], 16, 2, 17),
        ([8, 20], 20, 4, 21),
    ],
)
def test_what_was_read_last_is_not_there_any_more(
    tmp_path: Path, ends: list[int], kept: int, count: int, common: int
) -> None:
    journal = tmp_path / "gate.0"
    laid(journal, LINES, ends)
    position = position_after(journal, 22)
    lines = anew(kept, count, why="written anew")
    laid(journal, lines, [end for end in ends if end <= kept])
    with pytest.raises(OtherChainError, match="what was read before it is not there any more") as caught:
        JournalReader(journal).read(position, 100)
    assert (caught.value.common.sequence or 1) == common
    found, _ = JournalReader(journal).read(caught.value.common, 100)
    assert [one.line for one in found] == lines[common - 1 :]


def test_lines_of_the_same_length_are_told_apart(tmp_path: Path) -> None:
    journal = tmp_path / "gate.0"
    laid(journal, LINES, [])
    position = position_after(journal, 22)
    laid(journal, anew(10, 20, request_id=""), [])
    size = plain(journal, 1).stat().st_size
    laid(journal, anew(10, 20, tenant="acne"), [])
    assert plain(journal, 1).stat().st_size == size
    with pytest.raises(OtherChainError):
        JournalReader(journal).read(position, 100)


@pytest.mark.parametrize("line", [22, 23])
def test_a_record_that_was_edited_is_another_matter(tmp_path: Path, line: int) -> None:
    """Behind what was read, and before: the chain is the one that was read."""
    journal = tmp_path / "gate.0"
    laid(journal, LINES, [])
    position = position_after(journal, 22)
    edited = [*LINES]
    edited[line - 1] = edited[line - 1].replace(b"acme", b"somebody")
    laid(journal, edited, [])
    with pytest.raises(BrokenJournalError) as caught:
        JournalReader(journal).read(position, 100)
    assert not isinstance(caught.value, OtherChainError)


def test_who_does_not_know_what_was_read_last_says_what_is_wrong(tmp_path: Path) -> None:
    journal = tmp_path / "gate.0"
    laid(journal, LINES[:20], [])
    with pytest.raises(BrokenJournalError, match="ends with record 20, and more was read of it") as caught:
        JournalReader(journal).read(Position(25), 100)
    assert not isinstance(caught.value, OtherChainError)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 29), max_size=4),
    st.lists(st.integers(1, 40), max_size=4),
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(0, 25),
    st.integers(1, 7),
)
def test_nothing_is_missed_wherever_it_was_lost(
    ends: list[int], later: list[int], seen: int, kept: int, count: int, most: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal = Path(name) / "gate.0"
        laid(journal, LINES, ends)
        position = position_after(journal, seen)
        lines = anew(kept, count, why="anew")
        if not lines:
            return
        laid(journal, lines, [*(end for end in ends if end <= kept), *(end for end in later if end > kept)])
        delivered = LINES[:seen]
        reader = JournalReader(journal)
        for _ in range(100):
            try:
                found, position = reader.read(position, most)
            except OtherChainError as error:
                position = error.common
                continue
            if not found:
                break
            delivered += [one.line for one in found]
        assert set(lines) <= set(delivered)
        assert position.sequence == len(lines) + 1

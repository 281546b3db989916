"""The file of dead letters."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.following.dead_letters import DeadLetters, DeadLettersFullError, Letter


def letter(sequence: int, text: str = "{}") -> Letter:
    return Letter(journal="gw.0", line=text, reason="no", sequence=sequence, time=1.5)


def sequences(letters: DeadLetters) -> list[int]:
    return [found.sequence for found, _ in letters.read(0, 10**6, 10**9) if found is not None]


def test_they_are_kept_in_order_and_for_the_owner_alone(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "siem", 10**6)
    assert (letters.size(), letters.count(), letters.read(0, 10, 10**6)) == (0, 0, [])
    letters.append([letter(1), letter(2)])
    letters.append([letter(3, '{"a":"ü\\n"}')])
    again = DeadLetters(tmp_path, "siem", 10**6)
    assert [found for found, _ in again.read(0, 10, 10**6)] == [letter(1), letter(2), letter(3, '{"a":"ü\\n"}')]
    assert again.count() == letters.count() == 3
    assert again.size() == letters.path.stat().st_size
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600


def test_when_it_is_full_nothing_is_lost_and_nothing_added(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "siem", 500)
    letters.append([letter(1)])
    with pytest.raises(DeadLettersFullError, match="by a replay, or move it away"):
        letters.append([letter(2), letter(3, "x" * 500)])
    assert sequences(letters) == [1]
    letters.append([letter(4)])
    assert sequences(letters) == [1, 4]


def test_a_torn_one_goes_with_the_next(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "siem", 10**6)
    letters.append([letter(1), letter(2, "y" * 200_000)])
    os.truncate(letters.path, letters.size() - 10)
    assert sequences(letters) == [1]
    letters.append([letter(3)])
    assert sequences(letters) == [1, 3]
    os.truncate(letters.path, 5)
    letters.append([letter(4)])
    assert sequences(letters) == [4]


def test_an_unreadable_one_is_told_as_such(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "siem", 10**6)
    letters.path.write_bytes(b'{"edited": 1}\n\xff\n')
    letters.append([letter(3)])
    found = letters.read(0, 10, 10**6)
    assert [one for one, _ in found] == [None, None, letter(3)]
    assert found[0][1] == (0, 14)


@pytest.mark.parametrize(("records", "most", "count"), [(2, 10**6, 2), (10, 1, 1), (10, 100, 2), (10, 10**6, 5)])
def test_reading_is_bounded(tmp_path: Path, records: int, most: int, count: int) -> None:
    letters = DeadLetters(tmp_path, "siem", 10**6)
    letters.append([letter(n) for n in range(5)])
    assert len(letters.read(0, records, most)) == count


@given(st.data())
def test_what_is_removed_is_gone_and_all_else_stays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    letters = DeadLetters(tmp_path_factory.mktemp("dead"), "siem", 10**6)
    texts = data.draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=12))
    letters.append([letter(n, text) for n, text in enumerate(texts)])
    found = letters.read(0, 100, 10**6)
    end = data.draw(st.integers(1, len(found)))
    kept = data.draw(st.sets(st.integers(0, end - 1)))
    letters.append([letter(99)])
    letters.remove(found[end - 1][1][1], [found[n][1] for n in sorted(kept)])
    assert sequences(letters) == [*sorted(kept), *range(end, len(texts)), 99]
    assert letters.count() == len(sequences(letters))

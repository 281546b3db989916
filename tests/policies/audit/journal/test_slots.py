"""Each process has a journal of its own: the first that is free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policies.audit.journal import slots
from policies.audit.journal.segments import plain
from policies.audit.journal.settings import JournalError
from policies.audit.journal.slots import hold, left_behind, take
from tests.policies.audit.journal.written import chain, put, settings, write


def test_the_first_that_is_free(tmp_path: Path) -> None:
    taken = [take(tmp_path, "gate") for _ in range(3)]
    assert [slot.journal for slot in taken] == ["gate.0", "gate.1", "gate.2"]
    assert take(tmp_path, "other").journal == "other.0"
    assert hold(tmp_path / "gate.1") is None
    os.close(taken[1].lock)
    again = take(tmp_path, "gate")
    assert again.journal == "gate.1"
    for slot in (taken[0], taken[2], again):
        os.close(slot.lock)


def test_it_goes_on_where_the_chain_ends(tmp_path: Path) -> None:
    put(plain(tmp_path / "gate.0", 1), chain(7))
    slot = take(tmp_path, "gate")
    assert slot.tail.sequence == 7
    os.close(slot.lock)


def test_one_that_is_left_alone_is_let_go(tmp_path: Path) -> None:
    put(plain(tmp_path / "gate.0", 1), [*chain(7), b"{}"])
    slot = take(tmp_path, "gate")
    assert (slot.journal, slot.tail.sequence) == ("gate.1", 0)
    lock = hold(tmp_path / "gate.0")
    assert lock is not None
    os.close(lock)
    os.close(slot.lock)


def test_there_is_an_end_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_MOST", 2)
    held = [take(tmp_path, "gate").lock for _ in range(2)]
    with pytest.raises(JournalError, match="all journals of gate are taken"):
        take(tmp_path, "gate")
    for lock in held:
        os.close(lock)


# What was left


async def closed(folder: Path, journals: int) -> None:
    """So many journals that were closed in order."""
    held = []
    for number in range(journals):
        await write(settings(folder), 3)
        lock = hold(folder / f"gate.{number}")
        assert lock is not None
        held.append(lock)
    for lock in held:
        os.close(lock)


async def test_one_that_was_left_goes_before_the_first(tmp_path: Path) -> None:
    """After workers were replaced the first journals are free: who is killed then has one behind them."""
    await closed(tmp_path, 3)
    put(plain(tmp_path / "gate.3", 1), chain(7, "gate.3"))
    put(plain(tmp_path / "other.0", 1), chain(7, "other.0"))
    taken = [take(tmp_path, "gate") for _ in range(3)]
    assert [(slot.journal, slot.tail.left) for slot in taken] == [
        ("gate.3", True),
        ("gate.0", False),
        ("gate.1", False),
    ]
    for slot in taken:
        os.close(slot.lock)


async def test_nothing_is_left_by_who_writes_on(tmp_path: Path) -> None:
    put(plain(tmp_path / "gate.0", 1), chain(7))
    slot = take(tmp_path, "gate")
    assert left_behind(tmp_path, "gate", 100) == []
    other = take(tmp_path, "gate")
    assert other.journal == "gate.1"
    os.close(slot.lock)
    os.close(other.lock)


async def test_what_was_left_and_not_taken_can_be_read(tmp_path: Path) -> None:
    await closed(tmp_path, 1)
    put(plain(tmp_path / "gate.1", 1), chain(7, "gate.1"))
    put(plain(tmp_path / "gate.2", 1), [*chain(5, "gate.2"), b"{}"])
    put(plain(tmp_path / "gate.3", 1), chain(4, "gate.3"))
    put(plain(tmp_path / "other.0", 1), chain(4, "other.0"))
    found = [(one.record.journal, one.record.sequence) for one in left_behind(tmp_path, "gate", 3)]
    # What must not be continued is left alone here as well.
    assert found == [*(("gate.1", number) for number in (5, 6, 7)), *(("gate.3", number) for number in (2, 3, 4))]
    # They are free again.
    slot = take(tmp_path, "gate")
    assert slot.journal == "gate.1"
    os.close(slot.lock)


def test_who_hangs_while_it_chooses_keeps_nobody_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_PATIENCE", 0.1)
    with slots._alone(tmp_path):
        slot = take(tmp_path, "gate")
    assert slot.journal == "gate.0"
    os.close(slot.lock)

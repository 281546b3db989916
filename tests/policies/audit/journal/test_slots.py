"""Each process has a journal of its own: the first that is free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policies.audit.journal import slots
from policies.audit.journal.segments import plain
from policies.audit.journal.settings import JournalError
from policies.audit.journal.slots import hold, take
from tests.policies.audit.journal.written import chain, put


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

"""A journal is followed as far as it is on the disk: as its writer says, or as is seen to where no writer says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policies.audit.journal import JournalReader, Position
from policies.audit.journal.heads import head, write
from policies.audit.journal.retention import compress
from policies.audit.journal.segments import HEAD, Segment, plain, segments
from policies.audit.journal.synced import PATIENCE, Synced
from tests.policies.audit.journal.written import chain, put

LINES = chain(30)


class Rig:
    """A journal of ten records of which four are said to be synced, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "gate.0"
        self.now = 100.0
        put(plain(self.journal, 1), LINES[:10])
        self.say(4)
        self.position = Position()
        self.reader = JournalReader(self.journal, synced=Synced(self.journal, lambda: self.now))

    def say(self, sequence: int) -> None:
        write(self.journal / HEAD, head("gate.0", sequence, "0" * 64, 0.0, None))

    def read(self, later: float = 0.0) -> list[int]:
        self.now += later
        found, self.position = self.reader.read(self.position, 100)
        return [one.record.sequence for one in found]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_what_is_not_said_to_be_synced_is_left(rig: Rig) -> None:
    assert rig.read() == [1, 2, 3, 4]
    assert rig.read(1.0) == []
    rig.say(9)
    assert rig.read() == [5, 6, 7, 8, 9]


def test_who_is_silent_is_not_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    before = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        before(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    assert rig.read() == [1, 2, 3, 4]
    assert rig.read(PATIENCE - 0.1) == []
    assert synced == []
    assert rig.read(0.1) == [5, 6, 7, 8, 9, 10]
    assert synced == [plain(rig.journal, 1).name, "gate.0"]
    # What comes later is not on the disk yet, and another writer may say so.
    with plain(rig.journal, 1).open("ab") as file:
        file.write(LINES[10] + b"\n" + LINES[11] + b"\n")
    assert rig.read(PATIENCE - 0.1) == []
    rig.say(11)
    assert rig.read() == [11]
    assert rig.read(PATIENCE) == [12]


def test_one_that_says_something_is_waited_for(rig: Rig) -> None:
    assert rig.read() == [1, 2, 3, 4]
    for sequence in (5, 6, 7):
        rig.say(sequence)
        assert rig.read(PATIENCE - 0.1) == [sequence]


def test_segments_that_have_ended_were_synced(rig: Rig) -> None:
    put(plain(rig.journal, 11), LINES[10:20])
    assert rig.read() == list(range(1, 11))
    put(plain(rig.journal, 21), LINES[20:])
    for segment in segments(rig.journal)[-2:]:
        compress(segment)
    assert rig.read() == list(range(11, 31))


@pytest.mark.parametrize("content", [None, b"{", b'{"sequence":9}'])
def test_a_head_that_says_nothing(rig: Rig, content: bytes | None) -> None:
    (rig.journal / HEAD).unlink()
    if content is not None:
        (rig.journal / HEAD).write_bytes(content)
    assert rig.read() == []
    assert rig.read(PATIENCE) == list(range(1, 11))


def test_only_the_bytes_that_were_synced_are_covered(rig: Rig) -> None:
    part = Segment(1, plain(rig.journal, 1))
    synced = Synced(rig.journal, lambda: rig.now)
    size = part.path.stat().st_size
    assert not synced.covers(part, 10, size)
    rig.now += PATIENCE
    assert synced.covers(part, 10, size)
    assert not synced.covers(part, 11, size + 1)
    assert not synced.covers(Segment(11, plain(rig.journal, 11)), 11, 10)


def test_a_file_that_cannot_be_synced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    rig.read()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            rig.read(PATIENCE)
    assert rig.read() == [5, 6, 7, 8, 9, 10]

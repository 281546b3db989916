"""Dead letters are delivered again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from policies.audit.following.dead_letters import DeadLetters, Letter
from policies.audit.following.following import Following
from policies.audit.following.replaying import Replayed, ReplayError, replay
from policies.audit.following.sink import SinkError
from policies.audit.record import Closed, Record
from tests.policies.audit.following.rigs import FakeJournal, Recorder, settings


class Rig:
    """`count` dead letters of one journal."""

    def __init__(self, folder: Path, count: int = 10) -> None:
        self.folder = folder
        self.sink = Recorder()
        self.letters = DeadLetters(folder, "sink", 10**6)
        self.journal = FakeJournal(folder)
        self.letters.append([as_letter(closed) for closed in self.journal.append(count, user_id="u-1")])
        self.following = Following(settings(batch={"records": 3}), self.sink)

    def left(self) -> list[int]:
        return [found.sequence for found, _ in self.letters.read(0, 1_000, 10**6) if found is not None]

    async def replay(self) -> Replayed:
        return await replay(self.folder, self.following)


def as_letter(closed: Closed, **fields: str) -> Letter:
    values = {"journal": closed.record.journal, "line": closed.line.decode(), "reason": "no"} | fields
    return msgspec.convert(values | {"sequence": closed.record.sequence, "time": 1.0}, Letter)


async def test_what_is_taken_is_removed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert await rig.replay() == Replayed(10, 0, 0)
    assert [sequence for _, sequence in rig.sink.ids()] == list(range(1, 11))
    assert rig.left() == []
    assert (rig.sink.started, rig.sink.stopped) == (1, 1)
    assert await rig.replay() == Replayed(0, 0, 0)


async def test_what_is_refused_once_more_stays(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.sink.refuses = {("gw.0", 2), ("gw.0", 3), ("gw.0", 10)}
    assert await rig.replay() == Replayed(7, 3, 0)
    assert rig.left() == [2, 3, 10]
    assert sorted(sequence for _, sequence in rig.sink.ids()) == [1, 4, 5, 6, 7, 8, 9]


async def test_one_that_somebody_has_edited_stays(tmp_path: Path) -> None:
    rig = Rig(tmp_path, 2)
    closed = rig.journal.append(1)[0]
    rig.letters.append([as_letter(closed, line=closed.line.decode().replace("info", "none"))])
    assert await rig.replay() == Replayed(2, 0, 1)
    assert rig.left() == [3]


class Failing(Recorder):
    async def deliver(self, batch: Sequence[Closed]) -> None:
        if len(self.got) >= 6:
            raise SinkError("it is down")
        await super().deliver(batch)


async def test_where_the_sink_fails_what_it_took_is_removed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    failing = Failing()
    rig.following = Following(rig.following.settings, failing)
    with pytest.raises(SinkError, match="down"):
        await rig.replay()
    assert rig.left() == [7, 8, 9, 10]
    assert failing.stopped == 1


class Growing(Recorder):
    def __init__(self, letters: DeadLetters, late: Letter) -> None:
        super().__init__()
        self.letters, self.late = letters, late

    async def deliver(self, batch: Sequence[Closed]) -> None:
        await super().deliver(batch)
        if len(self.batches) == 2:
            self.letters.append([self.late])


async def test_what_dies_meanwhile_is_left_for_the_next_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    sink = Growing(rig.letters, as_letter(rig.journal.append(1)[0]))
    rig.following = Following(rig.following.settings, sink)
    await rig.replay()
    assert [sequence for _, sequence in sink.ids()][:10] == list(range(1, 11))
    assert rig.left() in ([11], [])
    assert 11 in [*rig.left(), *(sequence for _, sequence in sink.ids())]


async def test_they_are_redacted_as_they_would_have_been(tmp_path: Path) -> None:
    class NoUser:
        def record(self, record: Record) -> Record:
            return msgspec.structs.replace(record, user_id="")

    rig = Rig(tmp_path)
    rig.following = Following(rig.following.settings, rig.sink, NoUser())
    await rig.replay()
    assert len(rig.sink.got) == 10
    assert not any(b"u-1" in closed.line for closed in rig.sink.got)


async def test_one_at_a_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    other = os.open(tmp_path / "sink.replay.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ReplayError, match="another"):
            await rig.replay()
    finally:
        os.close(other)
    assert rig.sink.got == []
    assert len(rig.left()) == 10

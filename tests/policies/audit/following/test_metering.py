"""What is told of sinks: by who follows, and by their files where nobody does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from extproc.metrics import Metrics
from extproc.snapshots import read
from policies.audit.following.checkpoint import Checkpoint
from policies.audit.following.dead_letters import DeadLetters, Letter
from policies.audit.following.metering import BEHIND, DEAD_LETTERS, DIFFERENCES, RECONCILED, Look, Meter, Metering
from policies.audit.following.status import SinkStatus, Status, write_status
from policies.audit.journal.reader import Position
from policies.audit.reconciling.result import Result, write_result
from tests.policies.audit.following.rigs import NOW, FakeJournal, Time, moment, settings

SINKS = (settings(name="siem"), settings(name="ledger"))


def bury(folder: Path, sink: str, count: int) -> None:
    letters = [Letter(journal="gw.0", line="{}", reason="no", sequence=n + 1, time=NOW) for n in range(count)]
    DeadLetters(folder, sink, 65_536).append(letters)


def status(folder: Path, *, time: float = NOW, **behind: tuple[float, int]) -> None:
    sinks = {name: SinkStatus(behind_seconds=one, dead_letters=two) for name, (one, two) in behind.items()}
    write_status(folder, Status(pid=1, sinks=sinks, time=time))


def test_who_follows_is_believed(tmp_path: Path) -> None:
    FakeJournal(tmp_path).append(3)
    status(tmp_path, siem=(12.5, 3), ledger=(0.0, 0))
    assert Meter(tmp_path, SINKS).look(NOW + 5) == Look(
        NOW + 5, {BEHIND: {("siem",): 12_500, ("ledger",): 0}, DEAD_LETTERS: {("siem",): 3, ("ledger",): 0}}
    )


def test_where_nobody_follows_sinks_fall_behind(tmp_path: Path) -> None:
    journal = FakeJournal(tmp_path)
    journal.append(2, timestamp=moment(NOW - 100))
    done = Checkpoint(tmp_path, "ledger")
    done.put("gw.0", Position(3, journal.segment.stem, journal.segment.stat().st_size))
    done.save()
    bury(tmp_path, "siem", 4)
    # It has ended long ago, when all was well.
    status(tmp_path, time=NOW - 60, siem=(0.0, 0), ledger=(0.0, 0))
    meter = Meter(tmp_path, SINKS)
    first, later = meter.look(NOW), meter.look(NOW + 10)
    assert first.told == {BEHIND: {("siem",): 100_000, ("ledger",): 0}, DEAD_LETTERS: {("siem",): 4, ("ledger",): 0}}
    assert later.told[BEHIND] == {("siem",): 110_000, ("ledger",): 0}


def test_a_sink_that_is_not_followed_and_one_whose_checkpoint_is_broken(tmp_path: Path) -> None:
    FakeJournal(tmp_path).append(1, timestamp=moment(NOW - 30))
    status(tmp_path, siem=(1.0, 0))
    (tmp_path / "ledger.checkpoint.json").write_bytes(b"{")
    assert Meter(tmp_path, SINKS).look(NOW).told[BEHIND] == {("siem",): 1_000, ("ledger",): 30_000}


def test_nothing_is_there(tmp_path: Path) -> None:
    told = Meter(tmp_path / "none", SINKS).look(NOW).told
    assert told == {BEHIND: {("siem",): 0, ("ledger",): 0}, DEAD_LETTERS: {("siem",): 0, ("ledger",): 0}}


def test_the_last_reconciliation(tmp_path: Path) -> None:
    write_result(tmp_path, Result(time=NOW, differences=2, broken=1))
    told = Meter(tmp_path, ()).look(NOW + 9).told
    assert (told[DIFFERENCES], told[RECONCILED]) == ({(): 3}, {(): int(NOW)})


class World:
    """A meter that does as the test says, metrics, and a clock."""

    def __init__(self) -> None:
        self.time = Time()
        self.metrics = Metrics()
        self.looked = 0
        self.error: Exception | None = None
        self.metering = Metering(self, self.metrics, self.time, lambda: 17)  # type: ignore[arg-type]

    def look(self, now: float) -> Look:
        self.looked += 1
        if self.error is not None:
            raise self.error
        return Look(now, {BEHIND: {("siem",): 1_500}})

    def told(self) -> dict[str, Any]:
        found = [one for piece in self.metrics.take() if (one := read(piece)) is not None]
        return {each.definition.name: each.values for one in found for each in one.series}

    async def until_looked(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.looked < times:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


async def test_what_was_seen_is_told_until_it_is_old() -> None:
    world = World()
    assert world.told() == {"sluicegate_audit_queued_bytes": [((), 17)]}
    world.metering.start()
    try:
        await world.until_looked(1)
        assert world.told() == {BEHIND: [(("siem",), 1_500)]}
        world.time.now += 29
        assert world.told() == {}
        world.time.now += 1
        assert world.told() == {BEHIND: [(("siem",), [])]}
    finally:
        world.metering.stop()


async def test_what_fails_is_tried_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.audit.following.metering._ROUND", 0.01)
    world = World()
    world.error = msgspec.MsgspecError("secret")
    world.metering.start()
    try:
        await world.until_looked(3)
        assert caplog.messages == ["the sinks cannot be looked at: MsgspecError"]
        world.error = None
        await world.until_looked(world.looked + 2)
        assert BEHIND in world.told()
    finally:
        world.metering.stop()

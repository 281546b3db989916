"""Closings wait for room in the journal; and nothing is settled that is not on record."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from extproc.tasks import spawn
from policies.audit import insisting as insisting_module
from policies.audit.insisting import Insisting
from policies.audit.journal import JournalError, JournalWriter
from tests.policies.audit.journal.written import fields, records, settings

FILL = "x" * 300


class Disk:
    """Full, while `full` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._put = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._pwrite)

    def _pwrite(self, descriptor: int, data: bytes, position: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._put(descriptor, data, position)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def opened(folder: Path, **more: Any) -> JournalWriter:
    writer = JournalWriter(settings(folder, **{"queue_bytes": 1_024, **more}), time.time)
    await writer.start()
    return writer


async def fill(writer: JournalWriter) -> int:
    """Append until nothing more is taken; how many were."""
    for number in range(100):
        try:
            writer.append(fields(request_id=f"r{number}", why=FILL))
        except JournalError:
            return number
    raise AssertionError("the queue was never full")


def named(folder: Path) -> list[str]:
    return [one.record.request_id for one in records(folder / "gate.0") if one.record.request_id]


async def test_where_there_is_room_it_is_appended_at_once(tmp_path: Path) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    assert insisting.append(fields(request_id="r0")) is None
    await insisting.written()
    assert named(tmp_path) == ["r0"]
    await writer.stop(5)


async def test_what_there_is_no_room_for_is_appended_later_and_held_until_then(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    taken = await fill(writer)
    waiting = insisting.append(fields(request_id="late"))
    assert waiting is not None
    assert insisting.held == 1
    settling = spawn(insisting.written(), name="settle")
    await asyncio.sleep(0.2)
    assert not settling.done()
    disk.full = False
    async with asyncio.timeout(10):
        await waiting
        await settling
    assert insisting.held == 0
    assert named(tmp_path) == [*(f"r{number}" for number in range(taken)), "late"]
    await writer.stop(5)


async def test_who_gives_up_waiting_takes_nothing_with_it(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    await fill(writer)
    waiting = insisting.append(fields(request_id="late"))
    assert waiting is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting
    disk.full = False
    async with asyncio.timeout(10):
        await insisting.written()
    assert named(tmp_path)[-1] == "late"
    await writer.stop(5)


async def test_what_was_not_written_before_the_end_is_never_said_to_be(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    await fill(writer)
    assert insisting.append(fields(request_id="late")) is not None
    insisting.stop()
    await writer.stop(0.2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await insisting.written()
    with pytest.raises(JournalError):
        insisting.append(fields(request_id="later"))


async def test_what_can_never_be_written_is_not_waited_for(tmp_path: Path) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    with pytest.raises(JournalError):
        insisting.append(fields(params={"share": 0.5}))
    assert insisting.held == 0
    await insisting.written()
    await writer.stop(5)


async def test_what_turns_out_to_be_unwritable_holds_nothing_up(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    await fill(writer)
    waiting = insisting.append(fields(params={"share": 0.5}))
    assert waiting is not None
    disk.full = False
    assert insisting.append(fields(request_id="after")) is not None
    async with asyncio.timeout(10):
        await waiting
        await insisting.written()
    assert insisting.lost == 1
    assert named(tmp_path)[-1] == "after"
    await writer.stop(5)


async def test_what_nobody_awaits_is_written_too_and_in_order(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    taken = await fill(writer)
    for number in range(5):
        insisting.append(fields(request_id=f"late{number}", why=FILL))
    disk.full = False
    async with asyncio.timeout(10):
        await insisting.written()
    assert named(tmp_path)[taken:] == [f"late{number}" for number in range(5)]
    assert insisting.held == 0
    # And what comes then does not wait.
    assert insisting.append(fields(request_id="then")) is None
    await writer.stop(5)


async def test_not_everything_is_held(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insisting_module, "_MOST", 3)
    writer = await opened(tmp_path)
    insisting = Insisting(writer, closed=True)
    disk.full = True
    await fill(writer)
    for number in range(3):
        assert insisting.append(fields(request_id=f"late{number}")) is not None
    with pytest.raises(JournalError):
        insisting.append(fields(request_id="too much"))
    disk.full = False
    await insisting.written()
    await writer.stop(5)


async def test_a_journal_that_drops_keeps_nobody_waiting(tmp_path: Path, disk: Disk) -> None:
    writer = await opened(tmp_path, full="open")
    insisting = Insisting(writer, closed=False)
    disk.full = True
    for number in range(20):
        assert insisting.append(fields(request_id=f"r{number}", why=FILL)) is None
    async with asyncio.timeout(10):
        await insisting.written()
    assert writer.counters()["dropped"] > 0
    disk.full = False
    await writer.stop(5)

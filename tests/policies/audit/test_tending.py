"""Beside the sinks: what a killed process left is completed, what is old is removed, what fails is tried again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from policies.audit import tending as module
from policies.audit.finishing.finisher import FILE, Saved
from policies.audit.following.checkpoint import Checkpoint
from policies.audit.holds import FILE as HOLDS
from policies.audit.holds import Hold, changing, placed, write
from policies.audit.journal import journals
from policies.audit.journal.reader import Position
from policies.audit.journal.segments import REMOVED
from policies.audit.record import Record
from policies.audit.settings import AuditSettings
from policies.audit.tending import tending
from tests.policies.audit.journal.written import chain, options, put, records

LONG_AGO = "2020-01-01T00:00:00.000000Z"
SEGMENT = f"{1:020d}.jsonl"


def configured(folder: Path, **more: Any) -> AuditSettings:
    journal = options(folder, **more.pop("journal", {}))
    return AuditSettings.model_validate({"journal": journal, "close_after": 1, **more})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def written(folder: Path) -> list[Record]:
    """What the finisher has written, but of itself."""
    found = [one.record for path in journals(folder) if "finisher" in path.name for one in records(path)]
    return [one for one in found if not one.event.startswith("journal.")]


def left(folder: Path) -> None:
    """A worker was killed between a decision and its closing, and between a closing and its decision."""
    shared: dict[str, Any] = {"tenant_id": "t-1", "decision": "allow"}
    one = chain(1, exchange_id="e-1", request_id="q-1", session_id="s-1", **shared)
    _, digest = one[0].rsplit(b'"hash":"', 1)
    end = {"kind": "closing", "event": "request.closed", "exchange_id": "e-2", "request_id": "q-2"}
    other = chain(1, first=2, previous=digest[:64].decode(), **shared, **end)
    put(folder / "gate.0" / SEGMENT, [*one, *other])


async def test_what_is_missing_is_written_once(tmp_path: Path) -> None:
    left(tmp_path)
    settings = configured(tmp_path)
    async with tending(settings):
        await until(lambda: len([one for one in written(tmp_path) if one.recovered]) == 2)
    found = written(tmp_path)
    assert {(one.exchange_id, one.recovered, one.kind) for one in found if one.recovered} == {
        ("e-1", "closing", "closing"),
        ("e-2", "decision", "decision"),
    }
    # Stopped: what it knows is on the disk, and its journal was closed.
    saved = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Saved)
    assert saved.positions["gate.0"].sequence == 3
    assert saved.halves.waiting == ()
    assert {*saved.halves.completed} == {"e-1", "e-2"}
    (own,) = [path for path in journals(tmp_path) if "finisher" in path.name]
    assert records(own)[-1].record.event == "journal.closed"
    # Whoever comes after it goes on where it ended.
    async with tending(settings):
        await until(lambda: len(records(own)) > len(found) + 2)
        await asyncio.sleep(1.5)
    assert [one.exchange_id for one in written(tmp_path) if one.recovered] == [
        one.exchange_id for one in found if one.recovered
    ]


async def test_what_waits_is_remembered(tmp_path: Path) -> None:
    left(tmp_path)
    async with tending(configured(tmp_path, close_after=600)):
        # It sees them, and has not waited for long enough.
        await until(lambda: any(one.event == "session.begun" for one in written(tmp_path)))
    saved = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Saved)
    assert {one.exchange_id for one in saved.halves.waiting} == {"e-1", "e-2"}
    assert [one.recovered for one in written(tmp_path)] == [""]


async def test_its_journals_are_no_workers(tmp_path: Path) -> None:
    """What a worker has left is taken by a worker, which settles the last of it again."""
    left(tmp_path)
    settings = configured(tmp_path, journal={"instance": "g" * 64, "durability": "strict", "full": "open"})
    async with tending(settings):
        await until(lambda: len(journals(tmp_path)) == 2)
    assert [path.name for path in journals(tmp_path)] == ["gate.0", "g" * 55 + "-finisher.0"]


async def test_a_journal_that_cannot_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.05)
    left(tmp_path)
    # In place of the folder of its journal stands something else.
    obstacle = tmp_path / "gate-finisher.0"
    obstacle.write_text("")
    async with tending(configured(tmp_path)):
        await until(lambda: len(caplog.records) >= 2)
        assert all("the journals cannot be completed: the journal cannot be opened" in one for one in caplog.messages)
        obstacle.unlink()
        await until(lambda: any(one.recovered for one in written(tmp_path)))


async def test_what_it_remembered_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.05)
    left(tmp_path)
    (tmp_path / FILE).write_text("{")
    async with tending(configured(tmp_path)):
        await until(lambda: bool(caplog.messages))
        assert f"{tmp_path / FILE} cannot be read" in caplog.messages[0]
        (tmp_path / FILE).unlink()
        await until(lambda: any(one.recovered for one in written(tmp_path)))


async def test_it_ends_while_it_cannot_begin(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    async with asyncio.timeout(10):
        async with tending(configured(tmp_path / "journal")):
            await asyncio.sleep(0.2)


def old(folder: Path, journal: str, tenant: str) -> Path:
    """The only segment of a journal of which nobody heard for years."""
    path = folder / journal / SEGMENT
    put(path, chain(3, journal, kind="event", event="limit.changed", timestamp=LONG_AGO, tenant=tenant))
    return path


async def test_what_is_old_is_removed_and_what_is_held_stays(tmp_path: Path) -> None:
    # They are looked at in the order of their names: what is removed, last.
    held, acme = old(tmp_path, "one.0", "contoso"), old(tmp_path, "two.0", "acme")
    young = tmp_path / "three.0" / SEGMENT
    put(young, chain(3, "three.0", kind="event", event="limit.changed"))
    with changing(tmp_path) as holds:
        write(tmp_path, placed(holds, Hold("contoso", LONG_AGO, "ops")))
    async with tending(configured(tmp_path, close_after=600)):
        await until(lambda: not acme.exists())
    assert (acme.parent / REMOVED).exists()
    assert young.exists()
    assert held.exists()
    assert not (held.parent / REMOVED).exists()


async def test_what_a_sink_has_yet_to_read_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="policies.audit.tending")
    unread, read = old(tmp_path, "one.0", "acme"), old(tmp_path, "two.0", "acme")
    settings = configured(
        tmp_path, close_after=600, sinks=[{"kind": "file", "name": "copy", "path": str(tmp_path / "copy.jsonl")}]
    )
    checkpoint = Checkpoint(tmp_path, "copy")
    checkpoint.load()
    checkpoint.put("two.0", Position(sequence=4))
    checkpoint.save()
    async with tending(settings):
        await until(lambda: not read.exists())
        await until(lambda: any("two.0: segment" in one for one in caplog.messages))
    assert unread.exists()
    assert not [one for one in caplog.messages if "one.0" in one]


async def test_where_holds_cannot_be_read_nothing_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    acme = old(tmp_path, "one.0", "acme")
    (tmp_path / HOLDS).write_text("riddle")
    async with tending(configured(tmp_path, close_after=600)):
        await until(lambda: bool(caplog.messages))
    assert caplog.messages == ["what is old cannot be removed: HoldsError"]
    assert acme.exists()


async def test_it_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUND", 0.05)
    acme = old(tmp_path, "one.0", "acme")
    (tmp_path / HOLDS).write_text("riddle")
    async with tending(configured(tmp_path, close_after=600)):
        await asyncio.sleep(0.2)
        assert acme.exists()
        os.unlink(tmp_path / HOLDS)
        await until(lambda: not acme.exists())

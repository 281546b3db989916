"""A folder of journals in which a gateway writes, and a finisher that reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from policies.audit.finishing.finisher import Finisher
from policies.audit.journal import JournalReader, JournalSettings, JournalWriter, Position, journals
from policies.audit.moments import moment
from policies.audit.record import Record
from tests.policies.audit.journal.written import settings

LONGEST, GRACE, IDLE = 600.0, 30.0, 1_800.0
NOW = 1_767_225_600.0


class World:
    """A folder of journals, a gateway that writes in it, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.finisher = self.new()

    def new(self) -> Finisher:
        """Another process."""
        self.writer = JournalWriter(self.journal("gw-finisher"), lambda: NOW + self.now)
        self.finisher = Finisher(
            *(self.folder, self.writer),
            longest=LONGEST,
            grace=GRACE,
            idle=IDLE,
            clock=lambda: NOW + self.now,
            monotonic=lambda: self.now,
        )
        return self.finisher

    def journal(self, instance: str) -> JournalSettings:
        return settings(self.folder, instance=instance, segment_bytes=2_048, flush_ms=0)

    async def write(self, *records: dict[str, Any], instance: str = "gw") -> None:
        """A worker that writes these, and ends."""
        writer = JournalWriter(self.journal(instance), lambda: NOW + self.now)
        await writer.start()
        for record in records:
            writer.append({"timestamp": moment(NOW + self.now), "level": "info", **record})
        await writer.stop(5)

    async def look(self, later: float = 0.0) -> None:
        self.now += later
        await self.finisher.look()
        await self.writer.written()

    async def restart(self, *, killed: bool = False) -> None:
        if killed:
            # The lock is let go of, and nothing is remembered.
            await self.writer.stop(5)
        else:
            await self.finisher.stop(5)
        await self.new().start()

    def made(self) -> list[tuple[str, str]]:
        """What has been written in place of others: what it is, and of which exchange or session."""
        records = [one for path in journals(self.folder) for one in all_of(path)]
        sessions = [(one.event, one.session_id) for one in records if one.event.startswith("session.")]
        return [(one.recovered, one.exchange_id) for one in records if one.recovered] + sessions


def all_of(path: Path) -> list[Record]:
    found, _ = JournalReader(path).read(Position(), 100_000)
    return [one.record for one in found]


def decided(number: int, **members: Any) -> dict[str, Any]:
    own = {"kind": "decision", "event": "request.allowed", "decision": "allow"}
    return {**own, "exchange_id": f"e-{number}", "request_id": f"q-{number}", **members}


def closed(number: int, **members: Any) -> dict[str, Any]:
    own = {"kind": "closing", "event": "request.closed", "decision": "allow", "ending": "answered"}
    return {**own, "exchange_id": f"e-{number}", "request_id": f"q-{number}", **members}


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[World]:
    world = World(folder)
    await world.finisher.start()
    try:
        yield world
    finally:
        await world.finisher.stop(5)

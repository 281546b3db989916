"""What these tests share: a journal as it stands on disk, and a sink that does as the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from policies.audit import canonical
from policies.audit.following.follower import Follower
from policies.audit.following.following import Following
from policies.audit.following.settings import SinkSettings
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.journal.reader import Position
from policies.audit.record import SCHEMA, Closed, Record

NOW = 1_800_000_000.0
Id = tuple[str, int]


def id_of(closed: Closed) -> Id:
    return closed.record.journal, closed.record.sequence


def moment(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class FakeJournal:
    """One journal folder: records in canonical form, sealed in a chain, in segments."""

    def __init__(self, folder: Path, name: str = "gw.0") -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.sequence = 0
        self.previous = canonical.FIRST
        self._segment: Path | None = None

    def seal(self, **fields: Any) -> Closed:
        """The next record, not written yet."""
        self.sequence += 1
        values = {"event": "request.closed", "kind": "event", "level": "info", "timestamp": moment(NOW + self.sequence)}
        record = Record(
            journal=self.name, sequence=self.sequence, previous=self.previous, schema=SCHEMA, **(values | fields)
        )
        line, self.previous = canonical.seal(record)
        return Closed(record, self.previous, line)

    def append(self, count: int = 1, *, synced: bool = True, **fields: Any) -> list[Closed]:
        """Write records. `synced`: they are on the disk, and that is told."""
        found = [self.seal(**fields) for _ in range(count)]
        if found:
            if self._segment is None:
                self._segment = self.folder / f"{found[0].record.sequence:020d}.jsonl"
            with self._segment.open("ab") as file:
                file.write(b"".join(closed.line + b"\n" for closed in found))
            if synced:
                self.head()
        return found

    def rotate(self) -> None:
        self._segment = None

    def head(self) -> None:
        content = {"sequence": self.sequence, "hash": self.previous, "timestamp": moment(NOW)}
        (self.folder / "head.json").write_bytes(msgspec.json.encode(content))

    @property
    def segment(self) -> Path:
        assert self._segment is not None
        return self._segment


class Recorder:
    """A sink that keeps what it was given. `said` is asked before each batch, and may raise."""

    def __init__(self, name: str = "sink") -> None:
        self.name = name
        self.got: list[Closed] = []
        self.batches: list[int] = []
        self.refuses: set[Id] = set()
        self.error: BaseException | None = None
        self.down = False
        self.started = self.stopped = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def deliver(self, batch: Sequence[Closed]) -> None:
        if self.error is not None:
            raise self.error
        if self.down:
            raise SinkError("it is down")
        refused = [index for index, closed in enumerate(batch) if id_of(closed) in self.refuses]
        if refused:
            raise RejectedError(refused, "it will not have it")
        self.batches.append(len(batch))
        self.got += batch

    def ids(self) -> list[Id]:
        return [id_of(closed) for closed in self.got]


class Time:
    """Moved by the test."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(**fields: Any) -> SinkSettings:
    return SinkSettings.model_validate({"name": "sink", **fields})


def follower(
    folder: Path, sink: Any, time: Callable[[], float], *, redact: Any = None, chance: float = 0.5, **fields: Any
) -> Follower:
    """`redact`: an object that redacts; `redact_by`: settings of one."""
    if "redact_by" in fields:
        fields["redact"] = fields.pop("redact_by")
    following = Following(settings(**({"name": sink.name} | fields)), sink, redact)
    return Follower(folder, following, clock=time, monotonic=time, chance=lambda: chance)


async def until_idle(one: Follower, time: Time, steps: int = 10_000) -> None:
    """Steps, and time passes as each one wishes, until there is nothing new in any journal."""
    for _ in range(steps):
        pause = await one.step()
        if pause and one.status().state == "following":
            return
        time.now += pause
    raise AssertionError("it has not come to an end")


def position_at(sequence: int) -> Position:
    return Position(sequence, f"{1:020d}", 10 * sequence)

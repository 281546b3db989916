"""How far a sink is behind the journals: in records, and in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from policies.audit.journal.heads import NoteError, read_head
from policies.audit.journal.reader import BrokenJournalError, JournalReader, Position
from policies.audit.journal.segments import journals

_HEAD: Final = "head.json"


@dataclass(frozen=True, slots=True)
class Lag:
    """`records`: synced to the journal and not delivered. `seconds`: how long ago the oldest of them happened."""

    records: int
    seconds: float


def behind(head: int, position: Position) -> int:
    """How many records there are from `position` to the one whose sequence is `head`. Pure."""
    # The first record has the sequence 1, and the position before it says 0.
    return max(0, head + 1 - max(position.sequence, 1))


def age(timestamp: str, now: float) -> float:
    """Seconds since a record's timestamp; 0 where that is in the future, or nothing that can be read. Pure."""
    try:
        return max(0.0, now - datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return 0.0


class LagMeter:
    """Measures one sink. Blocking: for a thread. Reads one record of each journal that is behind, and remembers it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._peeked: dict[str, tuple[Position, str]] = {}

    def measure(self, positions: Mapping[str, Position], waiting: tuple[str, str] | None, now: float) -> Lag:
        """How far behind somebody is who has these positions.

        Args:
            waiting: the journal and the timestamp of the record that is delivered next, where that is known.
        """
        records, seconds = 0, 0.0
        for path in self._journals():
            position = positions.get(path.name, Position())
            missing = behind(self._head(path), position)
            records += missing
            if waiting is not None and waiting[0] == path.name:
                seconds = max(seconds, age(waiting[1], now))
            elif missing:
                seconds = max(seconds, age(self._next(path, position), now))
        return Lag(records, seconds)

    def _journals(self) -> list[Path]:
        try:
            return journals(self._folder)
        except OSError:
            return []

    @staticmethod
    def _head(path: Path) -> int:
        try:
            head = read_head(path / _HEAD)
        except (OSError, NoteError):
            return 0
        return 0 if head is None else head.sequence

    def _next(self, path: Path, position: Position) -> str:
        """The timestamp of the record at `position`; empty where it cannot be read."""
        known = self._peeked.get(path.name)
        if known is not None and known[0] == position:
            return known[1]
        reader = JournalReader(path)
        try:
            found, _ = reader.read(position, 1)
        except (OSError, BrokenJournalError):
            found = []
        finally:
            reader.close()
        timestamp = found[0].record.timestamp if found else ""
        if timestamp:
            self._peeked[path.name] = (position, timestamp)
        return timestamp

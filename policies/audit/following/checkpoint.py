"""How far a sink has come in every journal: one JSON file for each sink, replaced whole and synced."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from policies.audit.atomic import replace
from policies.audit.journal.reader import Position


class CheckpointError(Exception):
    """It is there and cannot be used. The message says what an operator can do."""


class Checkpoint:
    """The position of one sink in each journal. Whoever has delivered moves it on, and saves it.

    A crash between the two brings records again: at least once, never less.
    """

    def __init__(self, folder: Path, sink: str) -> None:
        self.path = folder / f"{sink}.checkpoint.json"
        self._positions: dict[str, Position] = {}
        # Who saves in a thread may have been given up while it still does.
        self._lock = threading.Lock()
        self.dirty = False
        """Whether it has moved since it was saved."""

    def load(self) -> None:
        """Read what was saved. None was: everything is to be delivered.

        Raises:
            CheckpointError: it is unreadable. To begin anew unasked would deliver every record a second time.
        """
        try:
            self._positions = msgspec.json.decode(self.path.read_bytes(), type=dict[str, Position], strict=True)
        except FileNotFoundError:
            self._positions = {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no checkpoint"
            raise CheckpointError(
                f"{self.path} cannot be used: {why}. Put it back from a copy; or remove it, and this sink is brought"
                " every record of the journal once more"
            ) from None
        if any(position.sequence < 0 or position.offset < 0 for position in self._positions.values()):
            raise CheckpointError(f"{self.path} cannot be used: a position before the beginning. Put it back from a copy")
        self.dirty = False

    def get(self, journal: str) -> Position:
        """What is next to read in this journal."""
        return self._positions.get(journal, Position())

    def all(self) -> Mapping[str, Position]:
        return dict(self._positions)

    def put(self, journal: str, position: Position) -> None:
        if self._positions.get(journal) != position:
            self._positions[journal] = position
            self.dirty = True

    def save(self) -> None:
        """Make it durable.

        Raises:
            OSError: it could not be written; what was saved before still stands.
        """
        with self._lock:
            replace(self.path, msgspec.json.encode(self._positions, order="sorted"), sync=True)
            self.dirty = False

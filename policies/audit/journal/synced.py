"""How far a journal may be followed: no further than it is certainly on the disk.

What is in the file and not synced is gone after a power cut, and its sequence numbers are given to other records. Whoever
had brought it elsewhere would then hold what the journal does not, under the ids of what it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from policies.audit.atomic import sync_folder
from policies.audit.journal.heads import NoteError, read_head
from policies.audit.journal.segments import HEAD, Segment

PATIENCE: Final = 1.5
"""Seconds without word from the writer after which the file is synced here. One that is well writes `head.json` each
second while there is something to tell; one that was killed never will, and its file is whole as it stands."""


class Synced:
    """Of one journal. For the thread that reads it."""

    def __init__(self, folder: Path, monotonic: Callable[[], float]) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._told = 0
        # Since when lines wait of which nothing is told.
        self._since: float | None = None
        # What was synced here: the name of the segment, and how many bytes of it.
        self._here = "", 0

    def covers(self, part: Segment, sequence: int, end: int) -> bool:
        """Whether a record of the last segment is on the disk. `end`: where its line ends, in bytes.

        Raises:
            OSError: that cannot be found out.
        """
        # What is compressed was synced before.
        if part.packed or self._is_known(part, sequence, end):
            return True
        told = self._head()
        if told != self._told:
            self._told, self._since = told, None
        if sequence > told and self._is_overdue():
            self._sync(part)
        return self._is_known(part, sequence, end)

    def _is_known(self, part: Segment, sequence: int, end: int) -> bool:
        return sequence <= self._told or (part.name == self._here[0] and end <= self._here[1])

    def _is_overdue(self) -> bool:
        now = self._monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= PATIENCE

    def _head(self) -> int:
        try:
            head = read_head(self._folder / HEAD)
        except NoteError:
            # Whoever verifies the journal says so.
            return 0
        return 0 if head is None else head.sequence

    def _sync(self, part: Segment) -> None:
        descriptor = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Before: what is written meanwhile may be synced or not.
            size = os.fstat(descriptor).st_size
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self._folder)
        self._here, self._since = (part.name, size), None

"""The thread of a journal: it writes what it is given, syncs it, and tells how far it is."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

from policies.audit.journal.segment_writer import Batch, SegmentWriter

_log = logging.getLogger(__name__)
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Writing:
    """One batch after the other; one that fails is tried until it is written, or until the end.

    Attributes:
        failures: how often writing or syncing has failed.
    """

    def __init__(self, segments: SegmentWriter, lock: int, every: float, tell: Callable[[str, bool], None]) -> None:
        """`every`: seconds between syncs, at least; 0 to sync each batch. `tell` is called in the thread, with what is
        wrong (nothing if all is well) and whether it waits for the next batch. `lock` is closed at the end."""
        self._segments = segments
        self._lock = lock
        self._every = every
        self._tell = tell
        self._given: SimpleQueue[tuple[Batch, bool] | None] = SimpleQueue()
        self._ending = threading.Event()
        self._synced_at = 0.0
        self.failures = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give(self, batch: Batch, *, sync: bool) -> None:
        """Have a batch written (it may have no lines), and synced also where a sync is not due."""
        self._given.put((batch, sync))

    def end(self, seconds: float) -> bool:
        """End, after what is being written or at once where that fails. Whether it ended within `seconds`."""
        self._ending.set()
        self._given.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (given := self._given.get()) is not None:
                self._round(*given)
            with suppress(OSError):
                self._segments.tell()
        finally:
            self._segments.close()
            os.close(self._lock)

    def _round(self, batch: Batch, sync: bool) -> None:
        pause = _PAUSE
        while True:
            try:
                self._try(batch, sync)
                break
            except Exception as error:
                self.failures += 1
                trouble = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            if pause == _PAUSE:
                _log.error("the journal cannot be written: %s", trouble)
            self._tell(trouble, False)
            if self._ending.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        if pause > _PAUSE:
            _log.warning("the journal can be written again")
        self._tell("", True)

    def _try(self, batch: Batch, sync: bool) -> None:
        due = sync or time.monotonic() - self._synced_at >= self._every
        if batch.lines:
            self._segments.write(batch)
            batch.lines = []
            if due and self._every:
                # Who waits for no more than the file need not wait for the disk.
                self._tell("", False)
        else:
            self._segments.aged()
        if due:
            self._segments.sync()
            self._synced_at = time.monotonic()

"""Which journal a process writes: of those of its instance that no other holds one that was left, else the first.

Whoever takes a journal that was left has the last of it to do again (`policies.audit.journal.writer`, `inherited`). After
workers were replaced there are more journals than workers: the first that is free need not be the one that was left.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.journal.recovery import Tail, UnusableError, recover, unclean
from policies.audit.journal.segments import LOCK, journals
from policies.audit.journal.settings import JournalError
from policies.audit.record import Closed

_log = logging.getLogger(__name__)
_MOST: Final = 10_000
_PATIENCE: Final = 5.0
_PAUSE: Final = 0.01


class Slot(msgspec.Struct, frozen=True):
    """A journal that this process holds, and where it goes on. It is held until `lock`, a descriptor, is closed."""

    path: Path
    lock: int
    tail: Tail

    @property
    def journal(self) -> str:
        """Its name."""
        return self.path.name


def take(folder: Path, instance: str) -> Slot:
    """Hold a journal of an instance that is free and can be continued: one that was left, or else the first; a new one if
    there is none.

    Raises:
        OSError: the folder cannot be used.
        JournalError: there is none left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        return next(_left(folder, instance), None) or _first(folder, instance)


def left_behind(folder: Path, instance: str, most: int) -> list[Closed]:
    """The last records of each journal of an instance that was left and that nobody has taken since: there may be more of
    these than processes. See `policies.audit.journal.recovery.unclean`.

    Raises:
        OSError: they cannot be read.
    """
    found: list[Closed] = []
    with _alone(folder):
        for slot in _left(folder, instance):
            os.close(slot.lock)
            found += unclean(slot.path, most)
    return found


def _first(folder: Path, instance: str) -> Slot:
    for number in range(_MOST):
        path = folder / f"{instance}.{number}"
        path.mkdir(mode=0o700, exist_ok=True)
        try:
            slot = _held(path)
        except UnusableError as error:
            _log.error("journal %s is left as it is, and another is begun: %s", path.name, error)
            continue
        if slot is not None:
            return slot
    raise JournalError(f"all journals of {instance} are taken")


def _left(folder: Path, instance: str) -> Iterator[Slot]:
    """Those that are free and were left. Who takes one that is given takes no further."""
    for path in journals(folder):
        if path.name.rpartition(".")[0] != instance:
            continue
        try:
            slot = _held(path)
        except UnusableError:
            # Whoever comes to it otherwise says so.
            continue
        if slot is not None and slot.tail.left:
            yield slot
        elif slot is not None:
            os.close(slot.lock)


def _held(path: Path) -> Slot | None:
    """A journal, and where it goes on; None while another holds it.

    Raises:
        UnusableError: it must not be continued.
        OSError: its folder cannot be used.
    """
    held = hold(path)
    if held is None:
        return None
    try:
        return Slot(path, held, recover(path))
    except BaseException:
        os.close(held)
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time chooses: whoever looks at a journal holds it meanwhile, and it would seem taken. One that
    hangs while it chooses keeps the others for a few seconds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE
        while not locked(descriptor) and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def locked(descriptor: int) -> bool:
    """Take the lock of this file or folder. False where another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold(path: Path) -> int | None:
    """Hold a journal: the descriptor of its lock, which is to be closed; None while another holds it.

    Raises:
        OSError: its folder cannot be used.
    """
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        mine = locked(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if not mine:
        os.close(descriptor)
        return None
    return descriptor

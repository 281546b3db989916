"""Which journal a process writes: the first of its instance that no other holds."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.journal.recovery import Tail, UnusableError, recover
from policies.audit.journal.segments import LOCK
from policies.audit.journal.settings import JournalError

_log = logging.getLogger(__name__)
_MOST: Final = 10_000


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
    """Hold the first journal of an instance that is free and can be continued, a new one if there is none.

    Raises:
        OSError: the folder cannot be used.
        JournalError: there is none left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_MOST):
        path = folder / f"{instance}.{number}"
        path.mkdir(mode=0o700, exist_ok=True)
        held = hold(path)
        if held is None:
            continue
        try:
            return Slot(path, held, recover(path))
        except UnusableError as error:
            _log.error("journal %s is left as it is, and another is begun: %s", path.name, error)
            os.close(held)
        except BaseException:
            os.close(held)
            raise
    raise JournalError(f"all journals of {instance} are taken")


def hold(path: Path) -> int | None:
    """Hold a journal: the descriptor of its lock, which is to be closed; None while another holds it.

    Raises:
        OSError: its folder cannot be used.
    """
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor

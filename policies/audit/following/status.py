"""`status.json` in the journal's folder: how every sink stands, for who runs elsewhere. Written each second."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from policies.audit.atomic import replace
from policies.audit.following.breaker import BreakerState

FILE: Final = "status.json"
_STALE: Final = 10.0


class SinkState(StrEnum):
    """Starting: nothing has been tried yet. Following: all is well. Retrying: it fails, and is tried again. Stopped:
    nothing moves until an operator does something; `error` says what."""

    STARTING = "starting"
    FOLLOWING = "following"
    RETRYING = "retrying"
    STOPPED = "stopped"


class SinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one sink stands.

    Attributes:
        behind_records, behind_seconds: how many records it has not got, and how old the oldest of them is.
        breaker_opened, delivered, failures, refused: since this process began.
        broken: journals that cannot be read on, and why.
        dead_letters, dead_letter_bytes: what its file of dead letters holds now.
        error: what failed last, while it does.
        missed: records that retention removed before this sink got them, since this process began.
    """

    behind_records: int = 0
    behind_seconds: float = 0.0
    breaker: BreakerState = BreakerState.CLOSED
    breaker_opened: int = 0
    broken: dict[str, str] = {}
    dead_letter_bytes: int = 0
    dead_letters: int = 0
    delivered: int = 0
    error: str = ""
    failures: int = 0
    missed: int = 0
    refused: int = 0
    state: SinkState = SinkState.STARTING


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How all of them stand. `time`: when that was, in seconds since the epoch."""

    pid: int
    sinks: dict[str, SinkStatus]
    time: float

    def is_fresh(self, now: float) -> bool:
        """Whether somebody still writes it: no process follows the journal where not."""
        return abs(now - self.time) <= _STALE


def write_status(folder: Path, status: Status) -> None:
    """
    Raises:
        OSError: it could not be written.
    """
    replace(folder / FILE, msgspec.json.encode(status), sync=False)


def read_status(folder: Path) -> Status | None:
    """What was written last; None where there is nothing, or nothing readable."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None

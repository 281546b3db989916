"""Expected faults of the commands: a line each, and the exit status."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from extproc import commands
from policies.audit.following.replaying import ReplayError
from policies.audit.following.sink import SinkError
from policies.audit.holds import HoldsError
from policies.audit.journal.heads import NoteError
from policies.audit.journal.settings import JournalError
from policies.audit.journal.signing import SigningKeyError
from policies.audit.showing.filters import FilterError
from policies.audit.showing.times import TimeError

WRONG: Final = (FilterError, TimeError, SigningKeyError)
FAILED: Final = (HoldsError, JournalError, NoteError, ReplayError, SinkError)


def told() -> AbstractContextManager[None]:
    """Tell expected faults meanwhile. Exit status 2: typed wrongly; 1: it could not be done."""
    return commands.told("policies.audit", wrong=WRONG, failed=FAILED)


def telling(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which tells its expected faults, also those of what it takes."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        with told():
            command(**given)

    return run

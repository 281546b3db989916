"""Expected faults of the commands: a line each, and the exit status. 2: typed or configured wrongly; 1: all else."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator

import typer

from policies.audit.following.replaying import ReplayError
from policies.audit.following.sink import SinkError
from policies.audit.journal.heads import NoteError
from policies.audit.journal.settings import JournalError
from policies.audit.journal.signing import SigningKeyError
from policies.audit.showing.configured import ConfiguredError
from policies.audit.showing.filters import FilterError
from policies.audit.showing.holds import HoldsError
from policies.audit.showing.printing import complain
from policies.audit.showing.times import TimeError

WRONG = (FilterError, TimeError, SigningKeyError)
FAILED = (HoldsError, JournalError, NoteError, ReplayError, SinkError)


@contextlib.contextmanager
def told(*, unreadable: int = 1) -> Iterator[None]:
    """Tell expected faults. `unreadable`: the exit status where a file cannot be read or written."""
    # What goes wrong is told below, once.
    logging.getLogger("policies.audit").addHandler(logging.NullHandler())
    try:
        yield
    except ConfiguredError as error:
        for mistake in error.mistakes:
            complain(mistake)
        raise typer.Exit(2) from None
    except WRONG as error:
        complain(str(error))
        raise typer.Exit(2) from None
    except FAILED as error:
        complain(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Whoever read has seen enough: `| head`.
            raise
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        raise typer.Exit(unreadable) from None

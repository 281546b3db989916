"""`sluicegate ledger reconcile`: journal, ledger and counters side by side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Protocol

import msgspec
import typer

from extproc.tally import Tally
from policies.audit.following.checkpoint import Checkpoint
from policies.audit.following.lag import LagMeter
from policies.audit.following.sink import SinkError
from policies.audit.journal import BrokenJournalError, JournalReader, Position, journals
from policies.audit.ledger.configured import read as ledger_of
from policies.audit.ledger.sql_reading import Reading
from policies.audit.reconciling.accounts import Accounts, Amounts, expected
from policies.audit.reconciling.compare import Difference, With, with_counters, with_ledger
from policies.audit.showing.configured import ConfiguredError, read
from policies.audit.showing.faults import told
from policies.audit.showing.options import STATE, Config, Json, State
from policies.audit.showing.printing import complain, say, show_json, show_table
from policies.audit.showing.times import since as time_of

_BATCH: Final = 5_000
_SHOWN: Final = 50


class _Host(Protocol):
    def tallies(self, configuration: Path) -> AsyncIterator[Tally]: ...

"""Who follows a target's journal, and when it has brought all that there is to its sinks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from extproc.embedded.child import Plan
from extproc.embedded.probes import accepts, runs
from loadtests.bench.processes import python
from policies.audit.following.status import SinkState, Status, read_status

FOLLOWER: Final = "follower"
RECEIVERS: Final = "receivers"
_PATIENCE: Final = 120.0
_LOOK: Final = 0.1
KEYS: Final[Mapping[str, str]] = {"public_key": "pk-lf-bench", "secret_key": "sk-lf-bench"}
"""What the files of Langfuse's keys hold, by their names."""


class BehindError(Exception):
    """A sink was not brought everything. For people."""


def sinks(folder: Path, langfuse_port: int, traces_port: int) -> list[dict[str, Any]]:
    """Langfuse, and a collector of traces: receivers at these ports of this machine. `folder`: that of the keys."""
    langfuse = {"kind": "langfuse", "name": "langfuse", "url": f"http://127.0.0.1:{langfuse_port}"}
    named = {name: {"file": str(folder / name)} for name in KEYS}
    traces = {"kind": "traces", "name": "traces", "url": f"http://127.0.0.1:{traces_port}/v1/traces"}
    return [langfuse | named, traces]


def follower_plan(name: str, configuration: Path) -> Plan:
    """The companion, as `sluicegate up` runs it."""
    return Plan(f"{FOLLOWER}-{name}", python("extproc.cli", "audit", "follow", str(configuration)), runs, grace=6.0)


def receiver_plan(name: str, port: int) -> Plan:
    """A light receiver of spans."""
    program = python("loadtests.bench.receiver", "--port", str(port))
    return Plan(f"receiver-{name}", program, accepts("127.0.0.1", port), grace=1.0)


async def until_brought(journal: Path, patience: float = _PATIENCE) -> None:
    """Wait until every sink has all that was on record when this was called. `journal`: its folder.

    Raises:
        BehindError: one has not, in time, or has refused something.
    """
    begun = time.time()
    status: Status | None = None
    try:
        async with asyncio.timeout(patience):
            while status is None or not _all_brought(status, begun):
                await asyncio.sleep(_LOOK)
                status = read_status(journal)
    except TimeoutError:
        said = "nobody follows the journal" if status is None else f"the sinks stand so: {status.sinks}"
        raise BehindError(f"not everything was brought in {patience:.0f} s: {said}") from None
    if lost := [name for name, one in status.sinks.items() if one.refused or one.missed or one.dead_letters]:
        raise BehindError(f"{', '.join(lost)} did not take everything")


def _all_brought(status: Status, begun: float) -> bool:
    every = status.sinks.values()
    return status.time > begun and all(one.state is SinkState.FOLLOWING and not one.behind_records for one in every)

"""The audit policy with a journal of its own, and what stands in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from extproc.call import Payload
from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.completion import Decision
from extproc.exchange import Exchange
from extproc.outcome import Reject, Respond
from extproc.policy import Surroundings
from extproc.price import Price
from extproc.recorder import Recorder
from extproc.tasks import waits
from policies.audit.policy import AuditPolicy
from policies.audit.record import Record
from policies.audit.settings import AuditSettings
from tests.policies.audit.journal.written import options, records, stored
from tests.policies.audit.world import ALICE, CHAT, OPENAI, exchange

PRICED: Final = Model("gpt-4o", price=Price(2_500_000, 10_000_000, 1_250_000, 2_500_000))
CATALOGUE: Final = Catalogue(upstreams=(Upstream("openai", Provider.OPENAI, models=(PRICED,)),))
CONFIGURATION: Final = "c0ffee" * 10
PROMPT: Final = "The quick brown fox."
MEMBERS: Final = {"model": "gpt-4o", "temperature": 1, "messages": [{"role": "user", "content": PROMPT}]}


@contextlib.asynccontextmanager
async def keeping(
    folder: Path, recorder: Recorder | None = None, journal: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[AuditPolicy]:
    """A started policy whose journal is `gate.0` of this folder."""
    given = {"journal": options(folder, **(journal or {})), **more}
    around = Surroundings(CATALOGUE, time.time, recorder=recorder or Recorder(), configuration=CONFIGURATION)
    policy = AuditPolicy.build(AuditSettings.model_validate(given), around)
    await policy.start()
    try:
        yield policy
    finally:
        await policy.stop()


def asked(*facts: object, body: bytes = b"{}", **more: Any) -> Exchange:
    """An exchange of alice's as it comes to the policy."""
    made = exchange(*(facts or (ALICE, CHAT, OPENAI, Payload(MEMBERS))), **more)
    made.body = body
    return made


async def verdict(
    policy: AuditPolicy, of: Exchange, outcome: Reject | Respond | None = None, *said: Decision
) -> Reject | None:
    """What the policy makes of this verdict."""
    answer = policy.on_verdict(of, outcome, said)
    return await answer if waits(answer) else answer


def recorded(folder: Path) -> list[Record]:
    """All but what the journal says of itself, and of the configuration."""
    found = [one.record for one in records(folder / "gate.0")]
    return [one for one in found if not one.event.startswith(("journal.", "configuration."))]


def lines(folder: Path) -> str:
    """All that was written."""
    return b"\n".join(stored(folder / "gate.0")).decode()

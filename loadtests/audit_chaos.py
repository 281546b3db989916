"""Whether everything is on record, whatever breaks: `python -m loadtests.audit_chaos --requests 100000`. In a checkout.

Real Envoy, four workers, PostgreSQL, Valkey, a syslog server and a file. Clients ask for all that there is to ask, and go
away in the middle, while one thing after the other is killed, the disk is full, and the clock is set. Then all recovers,
and the books must balance: the journals verify, each exchange has one decision and one closing, the ledger one row, every
sink has every record, and `sluicegate ledger reconcile` finds no difference. Prints a table; exit status 1 where one of
these does not hold. What drew the requests and the faults is drawn again with `--seed`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from extproc.serving import loop_factory
from extproc.tasks import spawn
from loadtests.chaos.books import Findings, audit, reconcile, settle_down
from loadtests.chaos.faults import Faults, Pace
from loadtests.chaos.requests import Requests
from loadtests.chaos.traffic import Arrivals, Traffic
from tests.audited import Audited, audited

_SLACK: Final = 45.0
"""Seconds for what has to be closed to be brought everywhere."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done.

    Attributes:
        requests: so many at least, and each fault once at least.
        rate: so many in a second at most; None: as many as there can be.
        close_after: seconds after which an exchange is closed of whose end nothing was heard.
    """

    requests: int
    seed: int
    rate: float | None = None
    clients: int = 48
    pace: Pace = field(default_factory=Pace)
    close_after: float = 20.0
    mebibytes: int = 2_048


async def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Findings:
    """Do it, and look what has become of it. `folder`: an empty one with a short path."""
    begun = time.monotonic()

    def told(text: str) -> None:
        say(f"{time.monotonic() - begun:7.1f} s  {text}")

    async with audited(folder, close_after=plan.close_after, mebibytes=plan.mebibytes) as gateway:
        told("the gateway serves")
        found = await _break(plan, gateway, told)
    told("the end")
    return found


async def _break(plan: Plan, gateway: Audited, told: Callable[[str], None]) -> Findings:
    chance = random.Random(plan.seed)
    traffic = Traffic(int(gateway.url.rpartition(":")[2]), Requests(gateway, random.Random(plan.seed)), plan.rate)
    faults = Faults(gateway, chance, plan.pace)
    arrivals = Arrivals(gateway.simulator)
    arrivals.start()

    def enough() -> bool:
        return breaking.done() or (traffic.sent >= plan.requests and faults.rounds > 0)

    breaking = spawn(faults.run(lambda name: told(f"{traffic.sent:7,} requests: {name}")), name="faults")
    begun = time.monotonic()
    await traffic.run(enough, plan.clients)
    took = time.monotonic() - begun
    if breaking.done():
        # Raises what went wrong.
        await breaking
    breaking.cancel()
    await asyncio.wait((breaking,))
    told(f"{traffic.sent:,} requests were sent, {traffic.sent / took:.0f} in a second; now all recovers")
    await faults.mend()
    await arrivals.stop()
    journals = await settle_down(gateway, plan.close_after + _SLACK)
    told("all is quiet; now the books")
    found = await asyncio.to_thread(audit, gateway, journals, traffic.answers, arrivals.names, arrivals.missed)
    found.check("journal, ledger and counters agree", await reconcile(gateway))
    found.figures = {
        "requests": traffic.sent,
        **{f"requests: {name}": count for name, count in sorted(traffic.kinds.items())},
        **found.figures,
        **{f"faults: {name}": count for name, count in sorted(faults.done.items())},
    }
    return found


def main() -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.audit_chaos", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=float, help="requests in a second, at most")
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two faults")
    parser.add_argument("--keep", type=Path, help="an empty folder for everything, which is left there")
    given = parser.parse_args()
    plan = Plan(given.requests, given.seed, given.rate, given.clients, Pace(given.pause))
    print(f"seed {plan.seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        found = runner.run(run(plan, given.keep or Path(folder), lambda text: print(text, flush=True)))
    print("\n".join(found.lines()))
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())

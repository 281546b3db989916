"""What a reservation costs with few subjects and with many, and of memory: `python -m loadtests.limits_scale`.

Two Valkeys side by side, one that knows 10 users and one that knows 100,000, asked in turns: 32 callers at a time reserve
for users drawn at random (seven limits on five subjects) and settle. Prints a Markdown table: CPU of the caller and of
the server for each exchange, the ratio of the two, and bytes of the server for each subject and reservation.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

from extproc.call import Call, Operation
from extproc.embedded.child import Child
from extproc.embedded.stack import valkey_plan
from extproc.embedded.waiting import until
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from extproc.serving import loop_factory
from loadtests.bench.proc import cpu_of
from loadtests.bench.targets import LIMITS
from policies.limits.demands import Scale, Size, demands
from policies.limits.plan import Caller, Plans
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_store import RedisStore
from policies.limits.settings import LimitsSettings, Weights
from policies.limits.store import Ask, Used

FEW: Final = 10
MANY: Final = 100_000
_AT_ONCE: Final = 32
_ROUNDS: Final = 7
_EACH: Final = 100
_LEASE: Final = 600.0


@dataclass(slots=True)
class Side:
    """A server, and what was measured of it, in microseconds for each exchange."""

    users: int
    pid: int
    client: RedisClient
    store: RedisStore
    caller: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


class Load:
    """Exchanges of users drawn at random, under the limits of the benchmark."""

    def __init__(self) -> None:
        settings = LimitsSettings.model_validate({"redis": {"url": "unix:///nowhere"}, "limits": list(LIMITS)})
        self._plans = Plans(settings.limits)
        self._scale = Scale.of(Weights())
        self._random = random.Random(7)

    def ask(self, user: int) -> Ask:
        identity = Identity("t1", f"user-{user}", "app-1", CallerKind.USER, department="research")
        caller = Caller.of(identity, Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o"), "")
        asked = demands(self._plans.plan(caller).limits, Size(60, 4_096), self._scale)
        return Ask(uuid4().hex, "t1", asked, _LEASE, output=4_096)

    async def exchange(self, side: Side) -> None:
        ask = self.ask(self._random.randrange(side.users))
        await side.store.reserve(ask)
        await side.store.settle("t1", ask.id, Used(1, 110, 0))

    async def burst(self, side: Side) -> None:
        """32 callers, each some exchanges one after the other."""

        async def caller() -> None:
            for _ in range(_EACH):
                await self.exchange(side)

        mine, theirs = time.process_time(), cpu_of(side.pid)
        await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
        count = _AT_ONCE * _EACH
        side.caller.append((time.process_time() - mine) / count * 1e6)
        side.server.append((cpu_of(side.pid) - theirs) / count * 1e6)


async def _used(side: Side) -> int:
    told = (await side.client.command(None, "INFO", "memory", deadline=5.0)).decode()
    return int(told.partition("used_memory:")[2].partition("\r")[0])


async def _fill(load: Load, side: Side) -> float:
    """Let every user be seen once; bytes for each."""
    before = await _used(side)
    for start in range(0, side.users, 500):
        asks = [load.ask(user) for user in range(start, min(side.users, start + 500))]
        await asyncio.gather(*(side.store.reserve(ask) for ask in asks))
        await side.store.settle_all([("t1", ask.id, Used(1, 110, 0)) for ask in asks])
    return (await _used(side) - before) / side.users


async def _reserved(load: Load, side: Side) -> float:
    """Bytes of an open reservation."""
    before, count = await _used(side), 5_000
    await asyncio.gather(*(side.store.reserve(load.ask(index % side.users)) for index in range(count)))
    return (await _used(side) - before) / count


@contextmanager
def _valkey(folder: Path) -> Iterator[Child]:
    (folder / "valkey").mkdir(parents=True)
    child = Child(valkey_plan(folder, folder), folder)
    try:
        yield child
    finally:
        child.kill()


async def _side(users: int, child: Child, folder: Path) -> Side:
    client = RedisClient(RedisSettings(url=f"unix://{folder}/valkey.sock", timeout=10.0))
    await client.start()

    async def ready() -> bool:
        return client.readiness() is None

    async with asyncio.timeout(20):
        await until(ready)
    pid = int((await client.command(None, "INFO", "server")).decode().partition("process_id:")[2].partition("\r")[0])
    return Side(users, pid, client, RedisStore(client, deadline=10.0))


async def main() -> None:
    with ExitStack() as stack:
        load, sides, bytes_each = Load(), [], {}
        for users in (FEW, MANY):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp")))
            sides.append(await _side(users, stack.enter_context(_valkey(folder)), folder))
            bytes_each[users] = await _fill(load, sides[-1])
        for _ in range(_ROUNDS):
            for side in sides:
                await load.burst(side)
        reservation = await _reserved(load, sides[0])
        print(_table(sides, bytes_each[MANY], reservation))
        for side in sides:
            await side.client.stop()


def _table(sides: list[Side], subjects: float, reservation: float) -> str:
    few, many = ((median(side.caller[1:]), median(side.server[1:])) for side in sides)
    rows: list[Any] = [
        "| Users that the server knows | CPU of the caller, us | CPU of the server, us |",
        "| --- | ---: | ---: |",
    ]
    rows.append(f"| {FEW:,} | {few[0]:.1f} | {few[1]:.1f} |")
    rows.append(f"| {MANY:,} | {many[0]:.1f} | {many[1]:.1f} |")
    rows.append(f"| ratio | {many[0] / few[0]:.2f} | {many[1] / few[1]:.2f} |")
    rows.append("")
    rows.append(
        f"A user with three limits of their own takes {subjects:.0f} bytes, an open reservation {reservation:.0f}."
    )
    return "\n".join(rows)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())

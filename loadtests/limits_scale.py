"""What limits cost with few subjects and with many, and of memory: `python -m loadtests.limits_scale`. In a checkout.

Two Valkeys side by side, one that knows 10 users and one that knows 100,000. Both are asked in turns by the limits policy
itself: 32 callers at a time, for users drawn at random, with the limits of the benchmark (seven, on five subjects); each
exchange is sized, reserved and settled. Prints a Markdown table: CPU of the policy and of the server for each exchange,
the ratio of the two, and bytes of the server for each subject and reservation. Exit status 1 where the policy's is not
flat: where it takes a tenth more with many.

What an exchange takes elsewhere (identity, the wire, the journal) is made before the clocks run, and is in no figure.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final
from uuid import uuid4

from extproc.call import Call, Endpoint, Operation, OutputCeiling, Payload
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.completion import Completion, EndedBy, Ending, Usage, Verdict, by_type
from extproc.embedded.child import Child
from extproc.embedded.stack import valkey_plan
from extproc.embedded.waiting import until
from extproc.exchange import Dialect, Exchange, Headers, Request
from extproc.identity import CallerKind, Identity
from extproc.policy import Surroundings
from extproc.reservation import Reservation
from extproc.serving import loop_factory, settle_in
from extproc.tasks import waits
from loadtests.bench.proc import cpu_of
from loadtests.bench.targets import LIMITS
from policies.limits import LimitsPolicy
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.settings import LimitsSettings

FEW: Final = 10
MANY: Final = 100_000
FLAT: Final = 1.10
"""The most that an exchange may take with many, as a ratio."""
_AT_ONCE: Final = 32
_ROUNDS: Final = 21
_EACH: Final = 100
_OPEN: Final = 5_000
_PATH: Final = "/v1/chat/completions"
_MODEL: Final = "gpt-4o"
_MESSAGES: Final = [{"role": "user", "content": "What does a limit cost, and does it cost more where there are many?"}]
_CALL: Final = Call(Operation.CHAT, Dialect.OPENAI, _MODEL)
_TARGET: Final = Target("main", _PATH, Provider.OPENAI, _MODEL)
_USAGE: Final = Usage(input=60, output=50, total=110)


@dataclass(slots=True)
class Taken:
    """What exchanges took where so many users are known: microseconds of each burst, by exchange."""

    users: int
    policy: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Side:
    """A server, and who asks it."""

    taken: Taken
    pid: int
    client: RedisClient
    policy: LimitsPolicy


@dataclass(slots=True)
class Prepared:
    """An exchange that has come so far, and how it is going to end."""

    exchange: Exchange
    completion: Completion


def prepared(user: int) -> Prepared:
    """A short chat of this user."""
    name = uuid4().hex
    exchange = Exchange(name, Request("POST", _PATH, "", "gateway", "https", Headers(()), str(uuid4())))
    exchange.put(Identity("t1", f"user-{user}", "app-1", CallerKind.USER, department="research", tenant_name="contoso"))
    exchange.put(Endpoint(Operation.CHAT, Dialect.OPENAI, has_payload=True))
    exchange.put(_CALL)
    exchange.put(_TARGET)
    exchange.put(OutputCeiling(1_000))
    exchange.put(Payload({"model": _MODEL, "messages": _MESSAGES, "max_tokens": 1_000}))
    completion = Completion(
        *(name, exchange.request.request_id, "POST", _PATH, 200, Verdict.ALLOW, Ending.ANSWERED, EndedBy.UPSTREAM),
        *(datetime.now(UTC), 1.0, None, 300, 900, _USAGE),
        facts=by_type(exchange.facts()),
    )
    return Prepared(exchange, completion)


async def reserve(policy: LimitsPolicy, exchange: Exchange) -> Reservation:
    """Its reservation. Raises MissingFactError where it has none."""
    answer = policy.on_request_body(exchange)
    if waits(answer):
        await answer
    return exchange.need(Reservation)


async def serve(policy: LimitsPolicy, one: Prepared) -> None:
    """The whole exchange."""
    one.completion.put(await reserve(policy, one.exchange))
    policy.on_settle(one.completion)


async def served(side: Side, callers: Sequence[Sequence[Prepared]]) -> None:
    """Serve what each caller has, one after the other, until the server has all settlements."""
    all_of_them = side.policy.counters()["settled"] + sum(len(mine) for mine in callers)

    async def caller(mine: Sequence[Prepared]) -> None:
        for one in mine:
            await serve(side.policy, one)

    async def done() -> bool:
        return side.policy.counters()["settled"] >= all_of_them

    await asyncio.gather(*(caller(mine) for mine in callers))
    async with asyncio.timeout(60):
        await until(done)


async def burst(side: Side, drawn: random.Random) -> None:
    """32 callers, each some exchanges one after the other, of users drawn at random."""
    work = [[prepared(drawn.randrange(side.taken.users)) for _ in range(_EACH)] for _ in range(_AT_ONCE)]
    policy, server = time.process_time(), cpu_of(side.pid)
    await served(side, work)
    count = _AT_ONCE * _EACH
    side.taken.policy.append((time.process_time() - policy) / count * 1e6)
    side.taken.server.append((cpu_of(side.pid) - server) / count * 1e6)


async def _used(side: Side) -> int:
    told = (await side.client.command(None, "INFO", "memory", deadline=5.0)).decode()
    return int(told.partition("used_memory:")[2].partition("\r")[0])


async def _fill(side: Side) -> float:
    """Let every user be seen once; bytes for each."""
    before = await _used(side)
    users = side.taken.users
    for start in range(0, users, 500):
        await served(side, [[prepared(user)] for user in range(start, min(users, start + 500))])
    return (await _used(side) - before) / users


async def _reserved(side: Side) -> float:
    """Bytes of an open reservation."""
    before = await _used(side)
    some = [prepared(index % side.taken.users) for index in range(_OPEN)]
    await asyncio.gather(*(reserve(side.policy, one.exchange) for one in some))
    return (await _used(side) - before) / _OPEN


@contextmanager
def _valkey(folder: Path) -> Iterator[Child]:
    (folder / "valkey").mkdir(parents=True)
    child = Child(valkey_plan(folder, folder), folder)
    try:
        yield child
    finally:
        child.kill()


async def _side(users: int, folder: Path) -> Side:
    redis = {"url": f"unix://{folder}/valkey.sock", "timeout": 10.0}
    upstream = Upstream("main", Provider.OPENAI, models=(Model(_MODEL, max_output=4_096),))
    surroundings = Surroundings(Catalogue(upstreams=(upstream,)), time.time)
    settings = LimitsSettings.model_validate({"redis": redis, "limits": list(LIMITS)})
    policy = LimitsPolicy.build(settings, surroundings)
    client = RedisClient(RedisSettings.model_validate(redis))
    await policy.start()
    await client.start()

    async def ready() -> bool:
        return policy.readiness() is None and client.readiness() is None

    async with asyncio.timeout(20):
        await until(ready)
    pid = int((await client.command(None, "INFO", "server")).decode().partition("process_id:")[2].partition("\r")[0])
    return Side(Taken(users), pid, client, policy)


async def measure(few: int, many: int, rounds: int) -> tuple[Taken, Taken, float, float]:
    """What few and many take; bytes of a subject and of an open reservation."""
    with ExitStack() as stack:
        drawn, sides, bytes_each = random.Random(7), [], 0.0
        for users in (few, many):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp")))
            stack.enter_context(_valkey(folder))
            sides.append(await _side(users, folder))
            bytes_each = await _fill(sides[-1])
        settle_in()
        for _ in range(1 + rounds):
            for side in sides:
                await burst(side, drawn)
        reservation = await _reserved(sides[0])
        for side in sides:
            await side.policy.stop()
            await side.client.stop()
        return sides[0].taken, sides[1].taken, bytes_each, reservation


def usual(bursts: Sequence[float]) -> float:
    """Of the bursts but the first, in which much happens for the first time."""
    return median(bursts[1:])


def ratio(few: Taken, many: Taken) -> float:
    """How much the policy takes with many, to what it takes with few."""
    return usual(many.policy) / usual(few.policy)


def table(few: Taken, many: Taken, subject: float, reservation: float) -> str:
    """The same for people. `subject`, `reservation`: bytes."""
    rows = [
        "| Users that the server knows | CPU of the policy, us | CPU of the server, us |",
        "| --- | ---: | ---: |",
        *(f"| {one.users:,} | {usual(one.policy):.1f} | {usual(one.server):.1f} |" for one in (few, many)),
        f"| ratio | {ratio(few, many):.2f} | {usual(many.server) / usual(few.server):.2f} |",
        "",
        f"A user with three limits of their own takes {subject:.0f} bytes, an open reservation {reservation:.0f}.",
    ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.limits_scale", description=__doc__)
    parser.add_argument("--few", type=int, default=FEW, help="users on the one side")
    parser.add_argument("--many", type=int, default=MANY, help="users on the other")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="bursts of each side that count")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        few, many, subject, reservation = runner.run(measure(chosen.few, chosen.many, chosen.rounds))
    print(table(few, many, subject, reservation))
    return 0 if ratio(few, many) <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())

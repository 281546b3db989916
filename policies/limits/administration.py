"""From a configuration to a connected Redis and back: what every command on limits does first and last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from extproc.commands import told
from extproc.mistakes import ConfigurationError
from policies.limits.arguments import ArgumentError
from policies.limits.configured import Configured, read
from policies.limits.limit import Limit
from policies.limits.plan import Caller, Plans
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_survey import Survey, connected
from policies.limits.registry import Change
from policies.limits.store import StoreUnavailableError, Zone
from policies.limits.subjects import EVERYONE, Subject
from policies.limits.tables import Charge
from policies.limits.windows import Counter, zone_at

_T = TypeVar("_T")
_HISTORY = 1_000
"""Changes among which the one is looked for that has set a limit."""


class Administration:
    """A configuration, and the Redis it names."""

    def __init__(self, configured: Configured, client: RedisClient) -> None:
        self.settings = configured.settings
        self.registry = RedisRegistry(client)
        self.survey = Survey(client)
        self.tenants: Mapping[str, str] = {}
        self.plans = Plans(self.settings.limits, shadow=configured.shadow)

    async def refresh(self) -> None:
        """Learn what is set at run time, and which tenants there are."""
        overrides = await self.registry.overrides()
        self.plans.override(overrides)
        # A tenant for which something was set before its first request is known as well.
        set_for = {one.subject.tenant: "" for one in overrides if one.subject.tenant != EVERYONE}
        self.tenants = {**set_for, **await self.registry.tenants()}

    def limits(self, caller: Caller) -> list[Limit]:
        """All limits that bear on a caller, with those set at run time."""
        plan = self.plans.plan(caller)
        own = [limit for limit in plan.limits if caller.tenant]
        return [*own, *plan.everyone]

    async def history(self) -> list[Change]:
        """The last changes, the newest first."""
        return await self.registry.changes(_HISTORY)

    def zone(self, now: int) -> Zone:
        """The time zone in which days begin. `now`: milliseconds since the epoch."""
        return zone_at(ZoneInfo(self.settings.time_zone), now)


class Standings(msgspec.Struct, frozen=True):
    """The counters of subjects at one moment, in milliseconds since the epoch, and what is reserved in them.

    `whole`: all that is reserved was looked at.
    """

    now: int
    zone: Zone
    counters: Mapping[Subject, Mapping[str, Counter]]
    charges: Sequence[Charge]
    whole: bool


async def standings(admin: Administration, subjects: Sequence[Subject]) -> Standings:
    """How the counters of these subjects stand now."""
    counters: dict[Subject, dict[str, Counter]] = {}
    for subject in subjects:
        written = await admin.registry.counters(subject)
        read_out = {name: Counter.read(value) for name, value in written.items()}
        counters[subject] = {name: counter for name, counter in read_out.items() if counter is not None}
    charges: list[Charge] = []
    whole = True
    for tenant in sorted({subject.tenant for subject in subjects}):
        found, complete = await admin.survey.charges(tenant)
        charges += found
        whole = whole and complete
    now = await admin.survey.now(subjects[0].key())
    return Standings(now, admin.zone(now), counters, charges, whole)


def work(what: Callable[[Administration], Awaitable[_T]], config: Path | None, state: Path) -> _T:
    """Do this with the Redis of a configuration.

    Faults are told in a line each: exit status 2 for what was typed or configured wrongly, 1 where Redis does not answer.
    """
    with told("policies.limits", wrong=(ArgumentError,), failed=(StoreUnavailableError,)):
        configured = read(config, state)
        return asyncio.run(_work(what, configured))


async def _work(what: Callable[[Administration], Awaitable[_T]], configured: Configured) -> _T:
    redis = configured.settings.redis
    try:
        async with _client(redis) as client:
            await connected(client, "sg:{sg}:version", 2 * redis.connect_timeout)
            admin = Administration(configured, client)
            await admin.refresh()
            return await what(admin)
    except StoreUnavailableError as error:
        raise StoreUnavailableError(f"{place(redis)}: Redis does not answer: {error}") from error


@contextlib.asynccontextmanager
async def _client(redis: RedisSettings) -> AsyncIterator[RedisClient]:
    try:
        client = RedisClient(redis)
    except ValueError as error:
        raise ConfigurationError([str(error)]) from error
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def place(redis: RedisSettings) -> str:
    """Where Redis is, for people."""
    return redis.url or ", ".join(redis.sentinels or redis.nodes)

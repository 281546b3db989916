"""What the limits policy is made of: put together from its settings, started and stopped together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from extproc.catalogue import Catalogue
from extproc.policy import Surroundings
from extproc.recorder import Settled
from policies.limits.breaker import Breaker
from policies.limits.budgets import Budgets
from policies.limits.demands import Scale
from policies.limits.guarded import Guarded
from policies.limits.memory_store import MemoryStore
from policies.limits.outage import Fallback
from policies.limits.plan import Override, Plans
from policies.limits.reaper import Reaper
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_store import RedisStore
from policies.limits.reserving import Reserver
from policies.limits.settings import LimitsSettings
from policies.limits.settling import Settlement, Settler
from policies.limits.sizing import Sizer
from policies.limits.spool import Spool
from policies.limits.store import Used, Zone
from policies.limits.tokens.estimate import Estimator
from policies.limits.tokens.models import Vocabulary, vocabulary_of
from policies.limits.tokens.vocabulary import warm
from policies.limits.watch import Watch
from policies.limits.windows import zone_at
from policies.limits.witnesses import Witnesses

_PATIENCE: Final = 1.0
"""Seconds for a settlement to be answered: nobody waits for it."""
_GRACE: Final = 5.0
_ZONE_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Workings:
    """The parts. `counting` is the thread in which long prompts are counted."""

    client: RedisClient
    plans: Plans
    sizer: Sizer
    reserver: Reserver
    guarded: Guarded
    fallback: Fallback
    settler: Settler
    scale: Scale
    watch: Watch
    budgets: Budgets
    witnesses: Witnesses
    reaper: Reaper
    counting: ThreadPoolExecutor
    vocabularies: tuple[Vocabulary, ...]

    @classmethod
    def of(cls, settings: LimitsSettings, surroundings: Surroundings) -> Workings:
        """Nothing is connected yet.

        Raises:
            ValueError: a budget of dollars meets a model without a price.
        """
        _check_prices(settings, surroundings)
        client = RedisClient(settings.redis)
        registry = RedisRegistry(client)
        patient = RedisStore(client, deadline=_PATIENCE)
        plans = Plans(settings.limits, shadow=surroundings.shadow)
        memory = MemoryStore(lambda: int(surroundings.clock() * 1000))
        fallback = Fallback(memory, workers=surroundings.workers, local_for=settings.local_for)
        guarded = Guarded(RedisStore(client), Breaker(), fallback, time.monotonic)
        recorder = surroundings.recorder
        settler = Settler(patient, Spool(Path(settings.spool)) if settings.spool else None, recorder.written)
        lease = settings.lease or surroundings.longest
        budgets = Budgets(surroundings.metrics, surroundings.clock, fallback.is_away)
        watch = Watch(registry, lambda found: _override(plans, budgets, found), lease=lease)
        recorder.on_found(lambda found: _settle_again(settler, watch, found))
        scale = Scale.of(settings.weights)
        return cls(
            client=client,
            plans=plans,
            sizer=Sizer(
                surroundings.catalogue,
                Estimator(),
                max_output=settings.max_output,
                hidden_input=settings.hidden_input,
            ),
            reserver=Reserver(
                *(guarded, fallback, settler, scale),
                zone=zones(ZoneInfo(settings.time_zone)),
                clock=surroundings.clock,
                lease=lease,
                floor=settings.min_output,
            ),
            guarded=guarded,
            fallback=fallback,
            settler=settler,
            scale=scale,
            watch=watch,
            budgets=budgets,
            witnesses=Witnesses(recorder.written, watch.witness),
            reaper=Reaper(patient, registry, recorder, surroundings.metrics),
            counting=ThreadPoolExecutor(1, "count-tokens"),
            vocabularies=_vocabularies(surroundings.catalogue),
        )

    async def start(self) -> None:
        """Does not wait for Redis."""
        warm({vocabulary.encoding for vocabulary in self.vocabularies})
        await self.client.start()
        self.settler.start()
        self.watch.start()
        self.reaper.start()

    async def stop(self) -> None:
        """Bring to Redis what has not arrived there."""
        self.reaper.stop()
        await self.settler.stop(_GRACE)
        await self.witnesses.stop(_GRACE)
        await self.watch.stop()
        await self.client.stop()
        self.counting.shutdown(wait=False, cancel_futures=True)

    def readiness(self) -> str | None:
        """Ready once the limits that were set at run time are known: a suspended subject must not slip through."""
        return (
            None if self.watch.is_informed else self.client.readiness() or "the limits set at run time are not read yet"
        )

    def counters(self) -> Mapping[str, int]:
        return {
            **self.guarded.counters(),
            **self.settler.counters(),
            **self.reaper.counters(),
            **{f"redis_{name}": value for name, value in self.client.counters().items()},
        }


def zones(zone: ZoneInfo) -> Callable[[float], Zone]:
    """The zone at a moment (seconds since the epoch); worked out anew every ten minutes."""
    known: tuple[float, Zone] = (0.0, Zone())

    def at(now: float) -> Zone:
        nonlocal known
        if not 0 <= now - known[0] < _ZONE_SECONDS:
            known = (now, zone_at(zone, int(now * 1000)))
        return known[1]

    return at


def _override(plans: Plans, budgets: Budgets, found: Iterable[Override]) -> None:
    plans.override(found)
    budgets.forget()


def _settle_again(settler: Settler, watch: Watch, found: Iterable[Settled]) -> None:
    """What a worker that was killed had to settle. What it has settled itself is not settled twice."""
    for one in found:
        if not one.reservation:
            watch.witness(one.request)
        for tenant in one.tenants:
            settler.put(Settlement(tenant, one.reservation, Used(one.requests, one.tokens, one.dollars)))


def _check_prices(settings: LimitsSettings, surroundings: Surroundings) -> None:
    if not any(entry.dollars_per_day is not None or entry.dollars_per_month is not None for entry in settings.limits):
        return
    unpriced = surroundings.catalogue.tariff.unpriced(surroundings.clock())
    if unpriced:
        names = ", ".join(unpriced[:5]) + (", …" if len(unpriced) > 5 else "")
        raise ValueError(f"limits of dollars need a price for every model, and these have none: {names}")


def _vocabularies(catalogue: Catalogue) -> tuple[Vocabulary, ...]:
    """What is needed for the models with a name of their own."""
    return tuple(
        {
            Vocabulary(model.tokenizer) if model.tokenizer else vocabulary_of(model.target or model.name)
            for upstream in catalogue.upstreams
            for model in upstream.models
        }
    )

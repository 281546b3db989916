"""The parts of the limits policy, put together: what is known of zones, and when it is ready."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.policy import Surroundings
from extproc.recorder import Recorder, Settled
from policies.limits.redis_store import RedisStore
from policies.limits.redis_survey import connected
from policies.limits.settings import LimitsSettings
from policies.limits.store import Zone
from policies.limits.subjects import EVERYONE
from policies.limits.tokens.models import Vocabulary
from policies.limits.windows import Counter
from policies.limits.workings import Workings, zones
from tests.policies.limits.world import ask, demand, limit
from tests.redis_servers import RedisServer


def test_a_zone_is_worked_out_anew_as_time_goes_on() -> None:
    berlin = zones(ZoneInfo("Europe/Berlin"))
    winter, summer = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (1, 7))
    assert berlin(winter).offset == 3_600
    assert berlin(winter + 599) is berlin(winter)
    assert berlin(summer).offset == 7_200
    # Also where the clock goes back.
    assert berlin(winter).offset == 3_600
    assert zones(ZoneInfo("UTC"))(winter) == Zone(0, 2**53, 0)


async def test_without_redis_it_starts_says_that_it_is_not_ready_and_stops(tmp_path: Path) -> None:
    models = (Model("gpt-4o"), Model("gpt-4", tokenizer="o200k"), Model("claude-*"))
    catalogue = Catalogue(upstreams=(Upstream("main", Provider.OPENAI, models=models),))
    settings = LimitsSettings.model_validate({"redis": {"url": f"unix://{tmp_path}/none.sock"}})
    workings = Workings.of(settings, Surroundings(catalogue, time.time))
    assert set(workings.vocabularies) == {Vocabulary.O200K, Vocabulary.ANTHROPIC}
    await workings.start()
    assert "Redis" in str(workings.readiness())
    assert workings.counters()["settled"] == 0
    await workings.stop()


async def test_what_a_killed_worker_had_settled_is_settled_again_and_counts_once(valkey: RedisServer) -> None:
    limits = [{"subject": "tenant", "tokens_per_day": 10_000}, {"subject": "everyone", "tokens_per_day": 10_000}]
    given: dict[str, Any] = {"redis": {"url": valkey.address, "timeout": 5.0}, "limits": limits}
    recorder = Recorder()
    surroundings = Surroundings(Catalogue(), time.time, recorder=recorder)
    workings = Workings.of(LimitsSettings.model_validate(given), surroundings)
    await workings.start()
    try:
        await connected(workings.client, "k", 10)
        store = RedisStore(workings.client, deadline=5)
        whole = [limit("tokens_per_day", 10_000, name) for name in ("contoso", "everyone")]
        for of, tenant in zip(whole, ("contoso", EVERYONE), strict=True):
            assert (await store.reserve(ask(demand(of, 1_000), id="r1", tenant=tenant))).admitted
        settled = Settled("r1", ("contoso", EVERYONE), 1, 17, 4_500)
        for _ in range(2):
            recorder.found([settled])
            # One that nobody knows any more, and one that was under no limit.
            recorder.found([Settled("gone", ("contoso",), 1, 99, 0), Settled("none", (), 1, 99, 0)])
        async with asyncio.timeout(10):
            while workings.settler.backlog:
                await asyncio.sleep(0.01)
        for of in whole:
            text = await workings.client.command(of.key, "HGET", of.key, of.rule.kind.counter, deadline=5)
            counter = Counter.read(text)
            assert counter is not None
            assert (counter.current, counter.reserved) == (17, 0)
    finally:
        await workings.stop()


async def test_what_a_killed_worker_knew_to_have_ended_before_its_verdict_is_given_back(valkey: RedisServer) -> None:
    given: dict[str, Any] = {"redis": {"url": valkey.address, "timeout": 5.0}, "lease": 1}
    recorder = Recorder()
    workings = Workings.of(LimitsSettings.model_validate(given), Surroundings(Catalogue(), time.time, recorder=recorder))
    await workings.start()
    try:
        await connected(workings.client, "k", 10)
        of = limit("tokens_per_day", 10_000, "contoso")
        workings.watch.see("contoso", "Contoso")
        for name, request_id in (("r1", "q-1"), ("r2", "q-2")):
            asked = ask(demand(of, 1_000), id=name, tenant="contoso", lease=2.0, request_id=request_id)
            assert (await RedisStore(workings.client, deadline=5).reserve(asked)).admitted
        recorder.found([Settled("", (), 0, 0, 0, "q-1")])
        async with asyncio.timeout(20):
            while sum(workings.reaper.counters().values()) < 2:
                await asyncio.sleep(0.05)
        assert workings.reaper.counters() == {"leases_expired": 1, "leases_returned": 1}
        counter = Counter.read(await workings.client.command(of.key, "HGET", of.key, of.rule.kind.counter, deadline=5))
        assert counter is not None
        assert (counter.current, counter.reserved) == (1_000, 0)
    finally:
        await workings.stop()


async def test_settlements_wait_for_the_record(valkey: RedisServer) -> None:
    given: dict[str, Any] = {"redis": {"url": valkey.address, "timeout": 5.0}}
    recorder = Recorder()
    surroundings = Surroundings(Catalogue(), time.time, recorder=recorder)
    workings = Workings.of(LimitsSettings.model_validate(given), surroundings)
    written = asyncio.Event()

    async def wait() -> None:
        await written.wait()

    # As a policy does that stands behind it: when it starts, and not when it is built.
    recorder.keep(lambda _: None, wait)
    await workings.start()
    try:
        recorder.found([Settled("r1", ("contoso",), 1, 17, 0)])
        await asyncio.sleep(0.05)
        assert workings.settler.backlog == 1
        written.set()
        async with asyncio.timeout(10):
            while workings.settler.backlog:
                await asyncio.sleep(0.01)
    finally:
        await workings.stop()

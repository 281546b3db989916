"""What all workers count is exact when they are replaced under load, and loses next to nothing when they are killed."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from extproc.tasks import spawn
from tests.contract.workers.place import Load, Place
from tests.served import CHAT

pytestmark = pytest.mark.stack


async def total(place: Place, name: str) -> int:
    """The sum of all series of a counter."""
    transport = httpx.AsyncHTTPTransport(uds=f"{place.folder}/admin.sock")
    async with httpx.AsyncClient(transport=transport, base_url="http://policy") as client:
        text = (await client.get("/metrics")).text
    return int(sum(s.value for family in text_string_to_metric_families(text) for s in family.samples if s.name == name))


async def with_cost(place: Place) -> None:
    place.config.write_text(yaml.safe_dump(place.tree() | {"policies": [*place.tree()["policies"], {"policy": "cost"}]}))
    await place.reload()


async def reaches(place: Place, name: str, wanted: int) -> None:
    async with asyncio.timeout(15):
        while await total(place, name) < wanted:
            await asyncio.sleep(0.1)


async def test_replaced_under_load_every_exchange_counts_once_and_nothing_goes_back(place: Place, load: Load) -> None:
    await with_cost(place)
    seen: list[int] = []
    over = asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            seen.append(await total(place, "ai_requests_total"))
            await asyncio.sleep(0.05)

    watching = spawn(watch(), name="watch")
    load.start()
    for _ in range(2):
        await place.reload()
    await load.stop()
    over.set()
    await watching
    assert load.statuses() == {200: len(load.answers)}
    await place.settled(set(load.answers))
    for name in ("ai_requests_total", "sluicegate_decisions_total", "sluicegate_policy_seconds_count"):
        # Of the two policies that decide the second is asked twice; cost is asked once.
        times = 4 if name == "sluicegate_policy_seconds_count" else 1
        await reaches(place, name, times * len(load.answers))
        assert await total(place, name) == times * len(load.answers)
    assert seen == sorted(seen)


async def test_killed_it_loses_what_it_had_not_told_for_a_second_at_most(place: Place, load: Load) -> None:
    await with_cost(place)
    load.start()
    await load.until(30)
    await load.stop()
    told = len(load.answers)
    await place.settled(set(load.answers))
    await reaches(place, "ai_requests_total", told)
    for index in (0, 1, 2):
        os.kill(await place.pid(index), signal.SIGKILL)
    async with asyncio.timeout(30):
        while not all(worker["ready"] and worker["starts"] > 2 for worker in (await place.workers()).values()):
            await asyncio.sleep(0.05)
    assert await total(place, "ai_requests_total") == told
    # Envoy's next check finds them, and then it goes on from there.
    async with asyncio.timeout(15):
        while (await load.client.get("/v1/models")).status_code != 200:
            await asyncio.sleep(0.1)
    before = await total(place, "ai_requests_total")
    assert (await load.client.post(CHAT, json={"model": "gpt-4o", "messages": []})).status_code < 500
    await reaches(place, "ai_requests_total", before + 1)

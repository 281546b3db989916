"""Workers that are restarted one after the other: no request fails, and each is settled once."""

from __future__ import annotations

import asyncio
import copy

import pytest
import yaml

from tests.contract.workers.place import Load, Place
from tests.served import CHAT, CLAUDE, PROMPT

pytestmark = pytest.mark.stack


async def test_five_restarts_of_both_under_load_fail_no_request(place: Place, load: Load) -> None:
    load.start()
    for _ in range(5):
        await place.reload()
        await asyncio.sleep(0.3)
    await load.stop()
    assert load.faults == []
    assert load.statuses() == {200: len(load.answers)}
    assert len(load.answers) > 100
    await place.settled(set(load.answers))
    workers = await place.workers()
    assert [worker["starts"] for worker in workers.values()] == [6, 6, 6]
    assert all(workers[index]["counters"]["streams"] > 0 for index in (1, 2))
    # No worker was told to go before its time, and none had to be ended.
    assert {one.get("status") for one in place.events() if one["event"] == "worker_ended"} == {0}
    assert place.count("worker_killed") == 0


async def test_a_bad_configuration_keeps_the_old_one(place: Place, load: Load) -> None:
    before = {index: worker["pid"] for index, worker in (await place.workers()).items()}
    tree = place.tree()
    tree["policies"][1]["settings"]["roles"] = {"User": ["none"]}
    tree["timeouts"] = {"idle": 0}
    place.config.write_text(yaml.safe_dump(tree))
    load.start()
    await place.reload("reload_refused")
    await load.until(30)
    await load.stop()
    assert load.statuses() == {200: len(load.answers)}
    assert {index: worker["pid"] for index, worker in (await place.workers()).items()} == before
    (refused,) = [one for one in place.events() if one["event"] == "reload_refused"]
    assert len(refused["mistakes"]) == 2
    assert all(line.startswith(f"{place.config}:") for line in refused["mistakes"])


async def test_a_new_configuration_takes_effect_without_a_gap(place: Place, load: Load) -> None:
    tree = place.tree()
    tree["policies"][1]["settings"]["roles"] = {"Nobody": ["all"]}
    tree["timeouts"] = {"total": 100}
    place.config.write_text(yaml.safe_dump(tree))
    load.start()
    await place.reload()
    await load.until(30)
    await load.stop()
    assert load.faults == []
    assert set(load.statuses()) <= {200, 403}
    assert (await load.client.post(CHAT, json=PROMPT)).status_code == 403
    (done,) = [one for one in place.events() if one["event"] == "reloaded"]
    assert done["envoy_depends_on"] == ["timeouts"]


async def test_an_upstream_that_envoy_does_not_know_yet_is_not_blamed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy was rendered before the upstream was added, and before an opaque route was sent to it."""
    old = place.tree() | {"opaque": [{"name": "files", "path": "/v1/files", "upstream": "openai"}]}
    new = copy.deepcopy(old)
    new["upstreams"] += [
        {"name": "added", "provider": "openai", "url": f"{place.simulator}/v1", "models": ["new"]},
        {"name": "beside", "provider": "anthropic", "url": place.simulator, "models": ["newer"]},
    ]
    new["opaque"][0]["upstream"] = "added"
    new["policies"][1]["settings"]["permissions"]["all"] |= {"opaque": ["files"]}
    place.config.write_text(yaml.safe_dump(new))
    monkeypatch.setattr(Place, "tree", lambda _: old)
    await place.reload()
    async with place.envoy() as client:
        answers = [
            await client.post(CHAT, json=PROMPT | {"model": "new"}),
            await client.post("/v1/messages", json=CLAUDE | {"model": "newer"}),
            await client.get("/v1/files"),
        ]
        assert (await client.post(CHAT, json=PROMPT)).status_code == 200
        wanted = {answer.headers["x-request-id"] for answer in answers}
        # While Envoy is there to tell of them.
        await place.settled(wanted)
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(503, "gateway_outdated")] * 3
    assert answers[1].json()["type"] == "error"
    endings = [one for one in place.events() if one["event"] == "completion" and one["request_id"] in wanted]
    assert {(one["verdict"], one["ending"], one["ended_by"]) for one in endings} == {
        ("allow", "upstream_unavailable", "gateway")
    }

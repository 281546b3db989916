"""Endings that need a gateway of their own: a thousand at once, an upstream that dies, one that is not there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from extproc.completion import Ending
from tests.ai_gateway import plain_only
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import running_simulator

pytestmark = pytest.mark.stack
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}


async def test_a_thousand_at_once(simulator: str, transport: str) -> None:
    """Plain, streamed and rejected ones mixed; every one settled once, with its own usage.

    With the usual time limits: here clients, policy server and settlement share one event loop with the test.
    """
    server = {"decision_timeout": 30.0, "transport": transport}
    async with running_gateway([Obedient()], simulator=simulator, server=server) as gateway:
        await _a_thousand(gateway)


async def _a_thousand(gateway: Gateway) -> None:
    limits = httpx.Limits(max_connections=100)
    gate = asyncio.Semaphore(100)

    async def ask(client: httpx.AsyncClient, number: int) -> tuple[str, int]:
        wishes = {"x-sim-tokens": str(number % 37 + 1)}
        if number % 10 == 0:
            wishes["x-test-body"] = "reject"
        async with gate:
            answer = await client.post(CHAT, json=PROMPT | {"stream": number % 3 == 0}, headers=wishes)
        assert answer.status_code == (429 if number % 10 == 0 else 200)
        return answer.headers["x-request-id"], 0 if number % 10 == 0 else number % 37 + 1

    # While AI Gateway's Envoy first connects to settlement it has room for a dozen entries of its log.
    await gateway.completion(await gateway.client.post(CHAT, json=PROMPT))
    async with httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=60) as client:
        asked = dict(await asyncio.gather(*(ask(client, number) for number in range(1000))))
    assert len(asked) == 1000
    found = await gateway.recorder.until(lambda all_: sum(c.request_id in asked for c in all_) >= 1000, seconds=60)
    await asyncio.sleep(0.3)
    mine = [completion for completion in found if completion.request_id in asked]
    assert Counter(completion.request_id for completion in mine) == Counter(list(asked))
    assert {c.request_id: c.usage.output if c.usage else 0 for c in mine} == asked


@plain_only("it is for providers")
async def test_no_upstream_at_all() -> None:
    async with running_gateway([Obedient()], upstreams=[], opaque=[], agents=[]) as empty:
        assert (await empty.client.post(CHAT, json=PROMPT)).status_code == 404


async def test_an_upstream_that_dies_and_comes_back() -> None:
    with running_simulator() as first:
        async with running_gateway([Obedient()], simulator=first.url) as gateway:
            assert (await gateway.client.post(CHAT, json=PROMPT)).status_code == 200
            first.process.kill()
            first.process.wait()
            answer = await gateway.client.post(CHAT, json=PROMPT)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
            assert (await gateway.completion(answer)).ending is Ending.UPSTREAM_UNAVAILABLE

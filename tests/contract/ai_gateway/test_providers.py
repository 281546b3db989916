"""Providers that do not speak the caller's dialect, behind AI Gateway: tokens, cost and limits are right all the same.

The configuration says in which dialect an upstream is called; which API it speaks is AI Gateway's affair, here changed in
its resources as an operator would.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from math import floor
from pathlib import Path
from typing import Any

import httpx
import pytest

from extproc.completion import EndedBy, Ending, Meter, Usage
from extproc.exchange import Dialect
from extproc.price import Portions, portions
from tests.ai_gateway import Document, ai_gateway_only
from tests.contract.ai_gateway.bedrock import CACHED, INPUT, WRITTEN, Bedrock, running_bedrock
from tests.limited import CHAT, Limited, limited
from tests.redis_servers import RedisServer

pytestmark = [pytest.mark.stack, ai_gateway_only]
MUCH = 1_000_000
PRICE = {"input": 2.5, "cached_input": 1.25, "cache_write": 5, "output": 10}
"""Micro-dollars of a token. So the input of every request to Bedrock costs this much:"""
TAKEN = floor(INPUT * 2.5 + CACHED * 1.25 + WRITTEN * 5 + 0.5)
LIMITS = [{"subject": "user", "tokens_per_day": MUCH, "dollars_per_day": 1}]


def speaks_bedrock(documents: list[Document]) -> None:
    """The upstream `bedrock` is one of AWS."""
    [backend] = [
        document
        for document in documents
        if document["kind"] == "AIServiceBackend" and document["metadata"]["name"].endswith("-bedrock")
    ]
    backend["spec"]["schema"] = {"name": "AWSBedrock"}


@pytest.fixture
async def bedrock() -> AsyncIterator[Bedrock]:
    async with running_bedrock() as provider:
        yield provider


@pytest.fixture
async def gateway(bedrock: Bedrock, simulator: str, valkey: RedisServer) -> AsyncIterator[Limited]:
    upstreams = [
        {"name": "bedrock", "provider": "openai", "url": bedrock.url, "models": [{"name": "nova", "price": {**PRICE}}]},
        {
            "name": "anthropic",
            "provider": "anthropic",
            "url": simulator,
            "models": [{"name": "claude", "max_output": 4096, "price": {**PRICE}}],
        },
    ]
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        async with limited(
            Path(folder), simulator, valkey, LIMITS, upstreams=upstreams, change=speaks_bedrock
        ) as gateway:
            yield gateway


def asked(words: str, **members: Any) -> dict[str, Any]:
    context = "Of what there is in the cache. " * 40
    return {"model": "nova", "messages": [{"role": "user", "content": f"{context}Say {words}."}], **members}


async def spent(gateway: Limited, user: str) -> tuple[int, int]:
    """Tokens and micro-dollars that this user's counters hold."""
    tokens = await gateway.counter("tokens_per_day", f"user={user}")
    dollars = await gateway.counter("dollars_per_day", f"user={user}")
    return tokens.current, dollars.current


def used(line: dict[str, Any]) -> Portions:
    """What was billed, of a completion as it was logged."""
    return portions(Usage(**line["usage"]), Dialect.OPENAI)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_bedrock(gateway: Limited, bedrock: Bedrock, stream: bool) -> None:
    answer = await gateway.client.post(CHAT, json=asked("12 words", stream=stream), headers=gateway.headers("alice"))
    assert answer.status_code == 200, answer.text
    [path] = bedrock.paths
    assert path == ("/model/nova/converse-stream" if stream else "/model/nova/converse")
    if stream:
        # The client did not ask for usage, and gets none, though AI Gateway makes the stream anew.
        assert b"usage" not in answer.content
        assert answer.content.rstrip().endswith(b"data: [DONE]")
        assert answer.content.count(b" word") == 12
    else:
        assert answer.json()["usage"]["completion_tokens"] == 12
    [line] = await gateway.settled(1)
    assert line["usage"]["meter"] == Meter.AI_GATEWAY
    assert used(line) == Portions(INPUT, CACHED, WRITTEN, 12)
    assert (line["upstream"], line["response_model"]) == ("bedrock", "nova")
    assert line["backend"].endswith("-bedrock")
    assert line["route"].startswith("default/")
    assert await spent(gateway, "alice") == (INPUT + CACHED + WRITTEN + 12, TAKEN + 120)


async def test_bedrock_left_by_the_client(gateway: Limited) -> None:
    """AI Gateway tells nothing then: what was seen is the floor, and the input is what was reserved for it."""
    headers = gateway.headers("bob")
    seen = 0
    request = asked("400 words, slowly", stream=True, max_completion_tokens=500)
    async with gateway.client.stream("POST", CHAT, json=request, headers=headers) as answer:
        async for text in answer.aiter_lines():
            seen += " word" in text
            if seen >= 10:
                break
    [line] = await gateway.settled(1)
    assert (line["ending"], line["ended_by"]) == (Ending.CLIENT_GONE, EndedBy.CLIENT)
    assert "usage" not in line
    assert line["output_floor"] >= seen
    assert line["backend"].endswith("-bedrock")
    tokens, dollars = await spent(gateway, "bob")
    # Not all that it had reserved.
    assert line["output_floor"] < tokens < line["output_floor"] + 500
    assert dollars >= 10 * seen


async def test_bedrock_cut_by_the_provider(gateway: Limited) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.post(CHAT, json=asked("40 words, then cut", stream=True), headers=gateway.headers("carol"))
    [line] = await gateway.settled(1)
    assert (line["ending"], line["ended_by"]) == (Ending.UPSTREAM_CUT, EndedBy.UPSTREAM)
    assert "usage" not in line
    assert 0 < line["output_floor"] <= 40
    tokens, _ = await spent(gateway, "carol")
    assert tokens >= line["output_floor"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_anthropic(gateway: Limited, stream: bool) -> None:
    request = {"model": "claude", "max_tokens": 100, "stream": stream, "messages": [{"role": "user", "content": "Hi."}]}
    wishes = {"x-sim-tokens": "17", "x-sim-cached": "3"}
    answer = await gateway.client.post("/v1/messages", json=request, headers=gateway.headers("dave") | wishes)
    assert answer.status_code == 200, answer.text
    [line] = await gateway.settled(1)
    usage = line["usage"]
    assert (usage["output"], usage["meter"], line["upstream"]) == (17, Meter.AI_GATEWAY, "anthropic")
    if not stream:
        said = answer.json()["usage"]
        assert (usage["input"], usage["cached_input"]) == (said["input_tokens"], said["cache_read_input_tokens"])
    tokens, dollars = await spent(gateway, "dave")
    taken = usage["input"] + usage["cached_input"] + usage["cache_write"]
    assert tokens == taken + 17
    cost = usage["input"] * 2.5 + usage["cached_input"] * 1.25 + usage["cache_write"] * 5 + 170
    assert dollars == floor(cost + 0.5)


async def test_anthropic_left_by_the_client(gateway: Limited) -> None:
    request = {"model": "claude", "max_tokens": 900, "stream": True, "messages": [{"role": "user", "content": "Hi."}]}
    headers = gateway.headers("erin", tokens=800, chunk_delay_ms=5)
    seen = 0
    async with gateway.client.stream("POST", "/v1/messages", json=request, headers=headers) as answer:
        async for text in answer.aiter_lines():
            seen += '"text_delta"' in text
            if seen >= 10:
                break
    [line] = await gateway.settled(1)
    assert (line["ending"], line["ended_by"]) == (Ending.CLIENT_GONE, EndedBy.CLIENT)
    assert line["output_floor"] >= seen
    tokens, _ = await spent(gateway, "erin")
    assert seen <= tokens < 900


async def test_a_budget_ends_what_bedrock_may_spend(gateway: Limited) -> None:
    """A dollar: some three hundred requests of these. Nobody spends more, however many ask at once."""
    # While Envoy first connects to settlement it has room for a dozen entries of its log.
    await gateway.client.post(CHAT, json=asked("1 words"), headers=gateway.headers("gus"))
    await gateway.settled(1)
    for _ in range(30):
        body = asked("900 words", max_completion_tokens=900)
        answers = await asyncio.gather(
            *(gateway.client.post(CHAT, json=body, headers=gateway.headers("fay")) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} <= {200, 429}
        if all(answer.status_code == 429 for answer in answers):
            break
    else:
        raise AssertionError("the budget never ends")
    async with asyncio.timeout(60):
        while await gateway.reserved():
            await asyncio.sleep(0.05)
    _, dollars = await spent(gateway, "fay")
    assert 900_000 <= dollars <= 1_000_000

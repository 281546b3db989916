"""However an exchange ends, it is settled exactly once, and what was used is known or has a floor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from extproc.completion import Completion, EndedBy, Ending, Meter, Verdict
from extproc.embedded.ports import free_port
from tests.ai_gateway import PROFILE
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import HOST

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}
STREAM = PROMPT | {"stream": True}
METER = Meter.LUA if PROFILE == "plain" else Meter.AI_GATEWAY
QUICK = {"idle": 1.0, "stream_idle": 1.0, "total": 3.0, "connect": 1.0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(simulator: str, transport: str) -> AsyncIterator[Gateway]:
    upstreams = [
        {"name": "openai", "provider": "openai", "url": f"{simulator}/v1", "models": [MODEL]},
        {"name": "anthropic", "provider": "anthropic", "url": simulator, "models": ["claude"]},
        {"name": "down", "provider": "openai", "url": f"http://{HOST}:{free_port()}/v1", "models": ["down"]},
    ]
    async with running_gateway(
        [Obedient()],
        simulator=simulator,
        upstreams=upstreams,
        opaque=[],
        timeouts=QUICK,
        server={"transport": transport},
    ) as running:
        yield running


async def settled(gateway: Gateway, answer: httpx.Response) -> Completion:
    """The completion of an answer, checked to be the only one after others had the time to arrive."""
    await gateway.completion(answer)
    await asyncio.sleep(0.3)
    return await gateway.completion(answer)


async def the_next(gateway: Gateway, before: int) -> Completion:
    """The only completion that is new since there were `before`."""
    await gateway.recorder.until(lambda found: len(found) > before)
    await asyncio.sleep(0.3)
    new = gateway.recorder.completions[before:]
    assert len(new) == 1, new
    return new[0]


async def test_answered(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=PROMPT)
    completion = await settled(gateway, answer)
    assert (completion.verdict, completion.ending, completion.ended_by) == (
        Verdict.ALLOW,
        Ending.ANSWERED,
        EndedBy.UPSTREAM,
    )
    usage, said = completion.usage, answer.json()["usage"]
    assert usage is not None
    assert (usage.input, usage.output, usage.total, usage.meter) == (
        said["prompt_tokens"],
        said["completion_tokens"],
        said["total_tokens"],
        METER,
    )
    assert completion.status == 200
    assert (completion.bytes_in, completion.bytes_out) == (len(answer.request.content), len(answer.content))
    assert 0 < (completion.first_byte or 0) <= completion.duration
    assert completion.response_model == MODEL


async def test_streamed(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=STREAM, headers={"x-sim-tokens": "40"})
    completion = await settled(gateway, answer)
    assert completion.ending is Ending.ANSWERED
    assert completion.usage is not None
    assert completion.usage.output == 40
    assert 0 < completion.output_floor <= 40


async def test_anthropic_streamed(gateway: Gateway) -> None:
    request = {"model": "claude", "max_tokens": 50, "stream": True, "messages": PROMPT["messages"]}
    answer = await gateway.client.post("/v1/messages", json=request, headers={"x-sim-tokens": "12"})
    completion = await settled(gateway, answer)
    assert completion.usage is not None
    assert completion.usage.output == 12


async def test_rejected(gateway: Gateway) -> None:
    completion = await settled(gateway, await gateway.client.post(CHAT, json=PROMPT, headers={"x-test-body": "reject"}))
    assert (completion.verdict, completion.ending, completion.ended_by, completion.usage) == (
        Verdict.REJECT,
        Ending.REJECTED,
        EndedBy.POLICY,
        None,
    )
    assert completion.upstream is None


async def test_upstream_500(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=PROMPT, headers={"x-sim-status": "500"})
    completion = await settled(gateway, answer)
    assert (completion.status, completion.ending, completion.ended_by, completion.usage) == (
        500,
        Ending.ANSWERED,
        EndedBy.UPSTREAM,
        None,
    )


async def test_upstream_cut_in_mid_stream(gateway: Gateway) -> None:
    before = len(gateway.recorder.completions)
    wishes = {"x-sim-tokens": "50", "x-sim-cut-after": "20", "x-sim-chunk-delay-ms": "2"}
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.post(CHAT, json=STREAM, headers=wishes)
    completion = await the_next(gateway, before)
    assert (completion.ending, completion.ended_by) == (Ending.UPSTREAM_CUT, EndedBy.UPSTREAM)
    assert completion.usage is None
    assert 0 < completion.output_floor <= 20


async def test_client_gone_in_mid_stream(gateway: Gateway) -> None:
    before = len(gateway.recorder.completions)
    wishes = {"x-sim-tokens": "500", "x-sim-chunk-delay-ms": "5"}
    seen = 0
    async with gateway.client.stream("POST", CHAT, json=STREAM, headers=wishes) as answer:
        async for line in answer.aiter_lines():
            seen += '"content":" ' in line
            if seen >= 10:
                break
    completion = await the_next(gateway, before)
    assert (completion.ending, completion.ended_by) == (Ending.CLIENT_GONE, EndedBy.CLIENT)
    assert completion.usage is None
    assert completion.output_floor >= seen
    assert completion.upstream == "openai"


async def test_client_gone_before_the_verdict(gateway: Gateway) -> None:
    before = len(gateway.recorder.completions)
    with pytest.raises(httpx.ReadTimeout):
        await gateway.client.post(CHAT, json=PROMPT, headers={"x-test-body": "2"}, timeout=0.3)
    completion = await the_next(gateway, before)
    assert (completion.verdict, completion.ending) == (Verdict.NONE, Ending.CLIENT_GONE)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_time_out(gateway: Gateway, stream: bool) -> None:
    answer = await gateway.client.post(CHAT, json=PROMPT | {"stream": stream}, headers={"x-sim-hang": "1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    completion = await settled(gateway, answer)
    assert (completion.ending, completion.ended_by, completion.usage) == (Ending.TIMED_OUT, EndedBy.GATEWAY, None)


async def test_a_stream_that_falls_silent(gateway: Gateway) -> None:
    before = len(gateway.recorder.completions)
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.client.post(CHAT, json=STREAM, headers={"x-sim-chunk-delay-ms": "2500"})
    completion = await the_next(gateway, before)
    assert (completion.ending, completion.ended_by) == (Ending.TIMED_OUT, EndedBy.GATEWAY)


async def test_upstream_down(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=PROMPT | {"model": "down"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert answer.headers["retry-after"] == "1"
    completion = await settled(gateway, answer)
    assert (completion.ending, completion.ended_by, completion.upstream) == (
        Ending.UPSTREAM_UNAVAILABLE,
        EndedBy.UPSTREAM,
        "down",
    )


async def test_refused_by_envoy(gateway: Gateway) -> None:
    before = len(gateway.recorder.completions)
    answer = await gateway.client.get("/v1/models", headers={f"x-{number}": "x" for number in range(150)})
    assert answer.status_code == 431
    completion = await the_next(gateway, before)
    assert (completion.verdict, completion.ending, completion.ended_by) == (
        Verdict.NONE,
        Ending.REFUSED,
        EndedBy.GATEWAY,
    )


async def test_a_forced_usage_chunk_is_counted_where_the_client_never_sees_it(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=STREAM, headers={"x-sim-tokens": "9"})
    assert b"usage" not in answer.content
    assert json.loads(answer.request.content) == STREAM
    completion = await settled(gateway, answer)
    assert completion.usage is not None
    assert completion.usage.output == 9


async def test_an_upstream_that_counts_nothing_leaves_a_floor(gateway: Gateway) -> None:
    answer = await gateway.client.post(CHAT, json=STREAM, headers={"x-sim-tokens": "9", "x-sim-no-usage": "1"})
    completion = await settled(gateway, answer)
    assert completion.usage is None
    assert 8 <= completion.output_floor <= 9

"""The data path through real Envoy: what the client gets, what the upstream gets, what reaches Python."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from extproc.completion import Ending, Verdict
from tests.ai_gateway import PROFILE, plain_only
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
CHAT = "/v1/chat/completions"
READING = "Envoy would cut streams short, so no policy reads answers there"
# AI Gateway refuses what no integer of 64 bits holds.
SEED = b"12345678901234567890" if PROFILE == "plain" else b"1234567890123456789"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}


@dataclass(slots=True)
class World:
    gateway: Gateway
    policy: Obedient

    @property
    def client(self) -> httpx.AsyncClient:
        return self.gateway.client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(simulator: str, transport: str) -> AsyncIterator[World]:
    policy = Obedient()
    server = {"decision_timeout": 1.0, "transport": transport}
    async with running_gateway([policy], simulator=simulator, server=server) as gateway:
        yield World(gateway, policy)


async def last_arrived(world: World) -> dict[str, Any]:
    return dict((await world.gateway.arrived())[-1])


def fields(arrived: dict[str, Any]) -> dict[str, str]:
    return dict(arrived["headers"])


async def test_a_plain_answer_passes_and_python_sees_none_of_it(world: World) -> None:
    world.policy.seen.clear()
    answer = await world.client.post(CHAT, json=PROMPT)
    assert answer.status_code == 200
    assert answer.json()["object"] == "chat.completion"
    assert world.policy.seen == []
    completion = await world.gateway.completion(answer)
    assert completion.usage is not None
    assert completion.usage.output == answer.json()["usage"]["completion_tokens"]


async def test_nothing_of_the_client_that_is_not_the_upstreams_reaches_it(world: World) -> None:
    spoofed = {
        "authorization": "Bearer client-token",
        "api-key": "client-key",
        "x-api-key": "client-key",
        "cookie": "session=1",
        "x-tenant-id": "evil",
        "x-user-id": "evil",
        "x-sluicegate-upstream": "anthropic",
        "x-sluicegate-stream": "1",
        "x-ai-eg-model": "evil",
        "x-envoy-retry-on": "5xx",
        "x-envoy-max-retries": "9",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "openai-organization": "org-evil",
        "accept-encoding": "gzip, br",
        "x-custom": "kept",
    }
    answer = await world.client.post(CHAT, json=PROMPT, headers=spoofed)
    assert answer.status_code == 200
    arrived = fields(await last_arrived(world))
    assert arrived["x-custom"] == "kept"
    if PROFILE == "ai-gateway":
        # It tells the provider this of itself, and cannot be told not to.
        assert arrived.pop("x-ai-eg-model") == MODEL
    assert not [
        name
        for name in arrived
        if name in set(spoofed) - {"x-custom"} or name.startswith(("x-sluicegate", "x-envoy", "x-forwarded"))
    ]
    assert "evil" not in json.dumps(arrived)


async def test_agents_are_told_who_calls_and_are_not_fooled(world: World) -> None:
    answer = await world.client.post(
        "/agents/kb/ask?q=1", content=b"anything", headers={"x-tenant-id": "evil", "authorization": "Bearer x"}
    )
    echo = answer.json()
    told = dict(echo["headers"])
    assert echo["path"] == "/agents/kb/ask?q=1"
    assert (told["x-tenant-id"], told["x-user-id"], told["x-user-roles"]) == ("tenant-1", "user-1", "User")
    assert "authorization" not in told


async def test_a_bodys_change_keeps_the_rest_and_the_length_right(world: World) -> None:
    exact = (
        b'{"model": "gpt-4o",  "messages":[{"role":"user","content":"h\xc3\xa9\\u0041"}],'
        b' "temperature":1.0,"seed":' + SEED + b"}"
    )
    answer = await world.client.post(
        CHAT, content=exact, headers={"content-type": "application/json", "x-test-members": "1"}
    )
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 3
    arrived = await last_arrived(world)
    assert fields(arrived)["content-length"] == str(arrived["body_length"])
    assert fields(arrived)["x-from-policy"] == "yes"


@pytest.mark.parametrize("ask", [None, False, True], ids=["usage not asked", "usage declined", "usage asked"])
async def test_a_stream_is_byte_for_byte_the_upstreams_own(world: World, ask: bool | None) -> None:
    request = PROMPT | {"stream": True} | ({} if ask is None else {"stream_options": {"include_usage": ask}})
    async with httpx.AsyncClient(base_url=world.gateway.simulator) as direct:
        wanted = (await direct.post(CHAT, json=request)).content
    for split, delay in (("1", "0"), ("7", "0"), ("60", "1"), ("100000", "0")):
        answer = await world.client.post(
            CHAT, json=request, headers={"x-sim-split": split, "x-sim-chunk-delay-ms": delay}
        )
        assert answer.content == wanted
        completion = await world.gateway.completion(answer)
        assert completion.usage is not None
        assert completion.usage.output >= completion.output_floor > 0


@plain_only(READING)
@pytest.mark.parametrize("mode", ["BUFFERED", "STREAMED"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])
async def test_a_policy_that_asks_reads_and_changes_the_answer(world: World, mode: str, stream: bool) -> None:
    world.policy.seen.clear()
    answer = await world.client.post(CHAT, json=PROMPT | {"stream": stream}, headers={"x-test-response": mode})
    assert b"ASSISTANT" in answer.content
    assert b"assistant" not in answer.content
    assert b"".join(chunk.data for chunk in world.policy.seen).replace(b"assistant", b"ASSISTANT") == answer.content
    assert world.policy.seen[-1].last
    if mode == "BUFFERED":
        assert len(world.policy.seen) == 1
    assert (await world.gateway.completion(answer)).usage is not None


@plain_only(READING)
async def test_a_response_policy_that_fails_lets_no_byte_through(world: World) -> None:
    answer = await world.client.post(
        CHAT, json=PROMPT, headers={"x-test-response": "BUFFERED", "x-test-response-fails": "1"}
    )
    # Not 503: the upstream has answered and was paid for; nobody should be invited to try again at once.
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "gateway_error")
    assert b"assistant" not in answer.content


@pytest.mark.parametrize("phase", ["x-test-headers", "x-test-body"])
async def test_a_rejection_is_the_answer(world: World, phase: str) -> None:
    await world.gateway.forget_arrived()
    answer = await world.client.post(CHAT, json=PROMPT, headers={phase: "reject"})
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "too_many"
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("2", "1500")
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert await world.gateway.arrived() == []
    completion = await world.gateway.completion(answer)
    assert (completion.verdict, completion.ending) == (Verdict.REJECT, Ending.REJECTED)
    assert [decision.code for decision in completion.decisions] == ["too_many"]


async def test_an_answer_of_a_policy_never_asks_the_upstream(world: World) -> None:
    await world.gateway.forget_arrived()
    answer = await world.client.post(CHAT, json=PROMPT, headers={"x-test-body": "respond"})
    assert (answer.status_code, answer.json(), answer.headers["x-cache"]) == (200, {"from": "policy"}, "hit")
    assert await world.gateway.arrived() == []
    assert (await world.gateway.completion(answer)).ending is Ending.RESPONDED


async def test_a_policy_that_raises_refuses_and_says_nothing_of_why(world: World) -> None:
    answer = await world.client.post(CHAT, json=PROMPT, headers={"x-test-body": "raise"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "policy_failed")
    assert "s3cret" not in answer.text
    completion = await world.gateway.completion(answer)
    assert "s3cret" not in str(completion.decisions)


async def test_a_policy_that_takes_too_long_refuses(world: World) -> None:
    answer = await world.client.post(CHAT, json=PROMPT, headers={"x-test-body": "30"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "decision_timeout")


async def test_one_that_waits_does_not_hold_up_the_others(world: World) -> None:
    slow = asyncio.gather(world.client.post(CHAT, json=PROMPT, headers={"x-test-body": "0.8"}))
    await world.policy.waiting.wait()
    quick = await world.client.post(CHAT, json=PROMPT)
    assert quick.status_code == 200
    assert not slow.done()
    assert (await slow)[0].status_code == 200


async def test_a_client_that_leaves_cancels_the_decision(world: World) -> None:
    world.policy.waiting.clear()
    world.policy.cancelled.clear()
    asked = asyncio.gather(world.client.post(CHAT, json=PROMPT, headers={"x-test-body": "0.9"}))
    await world.policy.waiting.wait()
    asked.cancel()
    async with asyncio.timeout(5):
        await world.policy.cancelled.wait()


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_bodies_without_a_length(world: World) -> None:
    data = json.dumps(PROMPT).encode()
    json_type = {"content-type": "application/json"}
    answer = await world.client.post(CHAT, content=_pieces(data[:10], data[10:]), headers=json_type)
    assert answer.status_code == 200
    assert (await last_arrived(world))["body_length"] == len(data)
    empty = await world.client.post(CHAT, content=_pieces(), headers=json_type)
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "empty_body")


@pytest.mark.parametrize("length", [100, 1_000_000], ids=["small", "large"])
@pytest.mark.parametrize(("order", "status"), [("reject", 429), ("raise", 503), ("30", 503)])
async def test_who_is_refused_for_the_headers_need_not_send_the_body(
    world: World, length: int, order: str, status: int
) -> None:
    url = world.client.base_url
    lines = [f"POST {CHAT} HTTP/1.1", "host: gateway", "content-type: application/json", f"content-length: {length}"]
    head = "\r\n".join((*lines, f"x-test-headers: {order}", "", '{"model": '))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(head.encode())
        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    assert answer.split()[1] == b"%d" % status
    request_id = re.search(rb"x-request-id: (\S+)", answer)
    assert request_id is not None
    completions = await world.gateway.recorder.until(
        lambda found: any(one.request_id == request_id[1].decode() for one in found)
    )
    (completion,) = (one for one in completions if one.request_id == request_id[1].decode())
    assert (completion.verdict, completion.ending) == (Verdict.REJECT, Ending.REJECTED)


async def test_a_body_that_comes_while_its_headers_are_judged_waits_for_that(world: World) -> None:
    answer = await world.client.post(CHAT, json=PROMPT, headers={"x-test-headers": "0.3"})
    assert (answer.status_code, (await world.gateway.completion(answer)).ending) == (200, Ending.ANSWERED)


async def test_the_access_log_carries_the_identity_to_the_settlement(world: World) -> None:
    completion = await world.gateway.completion(await world.client.post(CHAT, json=PROMPT))
    assert completion.identity is not None
    assert completion.call is not None
    assert (completion.identity.tenant, completion.identity.user) == ("tenant-1", "user-1")
    assert (completion.call.model, completion.upstream) == (MODEL, "openai")

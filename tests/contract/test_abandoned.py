"""A client that leaves before the verdict: whoever was asked about its call is told, once, and nothing goes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from extproc.completion import Ending, Verdict
from extproc.exchange import Exchange
from extproc.outcome import CONTINUE
from extproc.policy import Policy, RequestAnswer
from extproc.tasks import spawn
from tests.contract.obedient import Obedient
from tests.gateway import MODEL, Gateway, running_gateway

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
CHAT = "/v1/chat/completions"
PROMPT = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}
AGENT = "/agents/kb/ask"


class Asked(Policy):
    """Says nothing against it, and keeps what it was asked and what it was told."""

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]
        self.asked: list[str] = []
        self.abandoned: list[str] = []

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        self.asked.append(exchange.request.request_id)
        return CONTINUE

    def on_abandoned(self, exchange: Exchange) -> None:
        self.abandoned.append(exchange.request.request_id)


class Waiting(Obedient):
    """Waits where a header says so."""

    def __init__(self) -> None:
        super().__init__()
        self.abandoned: list[str] = []
        self.cancelled_before: list[bool] = []

    def on_abandoned(self, exchange: Exchange) -> None:
        self.abandoned.append(exchange.request.request_id)
        self.cancelled_before.append(self.cancelled.is_set())


class Place:
    """A gateway in which one policy waits between two others."""

    def __init__(self, gateway: Gateway, first: Asked, waiting: Waiting, last: Asked) -> None:
        self.gateway, self.first, self.waiting, self.last = gateway, first, waiting, last

    async def leave(self, path: str, **wishes: str) -> str:
        """Ask, and leave while a policy is waited for. The id of the request."""
        self.waiting.waiting.clear()
        self.waiting.cancelled.clear()
        before = len(self.gateway.recorder.completions)
        asking = spawn(self.gateway.client.post(path, json=PROMPT, headers=wishes), name="asking")
        async with asyncio.timeout(10):
            await self.waiting.waiting.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        (completion,) = (await self.gateway.recorder.until(lambda found: len(found) > before))[before:]
        assert (completion.verdict, completion.ending) == (Verdict.NONE, Ending.CLIENT_GONE)
        assert (completion.facts, completion.marks) == ({}, ())
        async with asyncio.timeout(10):
            await self.waiting.cancelled.wait()
        return completion.request_id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(simulator: str, transport: str) -> AsyncIterator[Place]:
    first, waiting, last = Asked("first"), Waiting(), Asked("last")
    server = {"transport": transport, "decision_timeout": 30.0}
    async with running_gateway([first, waiting, last], simulator=simulator, server=server) as gateway:
        yield Place(gateway, first, waiting, last)


async def the_end(place: Place, request_id: str) -> None:
    """Until a policy knows that this request was abandoned."""
    async with asyncio.timeout(10):
        while request_id not in place.waiting.abandoned:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [CHAT, AGENT])
async def test_a_client_that_leaves_while_a_policy_waits(place: Place, path: str) -> None:
    await place.gateway.forget_arrived()
    request_id = await place.leave(path, **{"x-test-body": "30"})
    await the_end(place, request_id)
    assert place.waiting.cancelled_before[-1]
    # Whoever is told twice is told the second time before this one is answered.
    answer = await place.gateway.client.post(path, json=PROMPT)
    assert answer.status_code == 200
    await place.gateway.completion(answer)
    assert place.first.abandoned.count(request_id) == place.waiting.abandoned.count(request_id) == 1
    assert request_id in place.first.asked
    assert request_id not in place.last.asked + place.last.abandoned
    assert [arrived["path"] for arrived in await place.gateway.arrived()] == [path]


async def test_a_client_that_leaves_before_its_body_was_judged(place: Place) -> None:
    request_id = await place.leave(CHAT, **{"x-test-headers": "30"})
    answer = await place.gateway.client.post(CHAT, json=PROMPT)
    assert answer.status_code == 200
    await place.gateway.completion(answer)
    assert request_id not in place.waiting.abandoned
    assert request_id not in place.first.asked + place.first.abandoned


@pytest.mark.parametrize("order", [None, "reject", "respond", "raise", "0.01"])
async def test_where_there_was_a_verdict_nobody_is_told(place: Place, order: str | None) -> None:
    wishes = {"x-test-body": order} if order else {}
    answer = await place.gateway.client.post(CHAT, json=PROMPT, headers=wishes)
    completion = await place.gateway.completion(answer)
    assert completion.verdict is not Verdict.NONE
    # Of the exchanges before it some may be told of only now.
    told = {*place.first.abandoned, *place.waiting.abandoned, *place.last.abandoned}
    assert not told & {completion.id, completion.request_id}


async def test_a_client_that_leaves_behind_the_verdict(place: Place) -> None:
    before = len(place.gateway.recorder.completions)
    with pytest.raises(httpx.ReadTimeout):
        await place.gateway.client.post(CHAT, json=PROMPT, headers={"x-sim-hang": "1"}, timeout=0.5)
    found = await place.gateway.recorder.until(lambda all_: len(all_) > before)
    assert (found[-1].verdict, found[-1].ending) == (Verdict.ALLOW, Ending.CLIENT_GONE)
    assert found[-1].request_id not in place.first.abandoned

"""What policies tell the client in header fields stands in every answer, and nobody else can say it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from extproc.exchange import Exchange
from extproc.outcome import CONTINUE, Reject, Respond
from extproc.policy import Policy, RequestAnswer
from tests.gateway import MODEL, Gateway, running_gateway
from tests.servers import HOST, refusing_port

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
CHAT = "/v1/chat/completions"
PROMPT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]}
LEFT, WARNING, OWN = "x-ratelimit-remaining-tokens", "x-sluicegate-limit-warning", "x-own"
HOSTILE = '100%, "tenant"; %REQ(authorization)% %DYNAMIC_METADATA(sluicegate:facts)% ,\\'


class Tells(Policy):
    """Tells what a header of the request says, as JSON, and then answers what another says."""

    response_fields = (LEFT, WARNING)

    def __init__(self, name: str, says: str) -> None:
        self.name = name  # type: ignore[misc]
        self._says = says

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        for name, value in json.loads(exchange.request.headers.get(self._says) or "{}").items():
            exchange.tell(name, value)
        match exchange.request.headers.get(f"{self._says}-verdict"):
            case "reject":
                return Reject(429, "too_many", "Slow down.", retry_after=1.5)
            case "reject itself":
                return Reject(429, "too_many", "Slow down.", headers=(("X-RateLimit-Remaining-Tokens", "itself"),))
            case "respond":
                return Respond(b"{}")
            case _:
                return CONTINUE


@contextlib.asynccontextmanager
async def chatty_upstream() -> AsyncIterator[str]:
    """An upstream that says such fields itself, twice."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{LEFT}: theirs\r\n{LEFT}: theirs too\r\nx-own: theirs\r\n\r\n{{}}"

    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in request.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                writer.write(head.encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        # Closed before the event loop is: what is left to the garbage collector fails a later test.
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(simulator: str) -> AsyncIterator[Gateway]:
    with refusing_port() as nobody:
        async with chatty_upstream() as chatty:
            upstreams = [
                {"name": "openai", "provider": "openai", "url": f"{simulator}/v1", "models": [MODEL]},
                {"name": "chatty", "provider": "openai", "url": f"{chatty}/v1", "models": ["chatty"]},
                {"name": "down", "provider": "openai", "url": f"http://{HOST}:{nobody}/v1", "models": ["down"]},
            ]
            policies = [Tells("first", "x-first"), Tells("second", "x-second")]
            async with running_gateway(policies, simulator=simulator, upstreams=upstreams) as running:
                yield running


Ask = Callable[..., Awaitable[httpx.Response]]


@pytest_asyncio.fixture(loop_scope="module")
async def ask(gateway: Gateway) -> Ask:
    async def asked(
        first: dict[str, str] | None = None, second: dict[str, str] | None = None, /, path: str = CHAT, **more: Any
    ) -> httpx.Response:
        headers = {"x-first": json.dumps(first or {}), "x-second": json.dumps(second or {}), **more.pop("headers", {})}
        return await gateway.client.post(path, json={**PROMPT, **more}, headers=headers)

    return asked


def told(answer: httpx.Response) -> dict[str, list[str]]:
    """Every value of the fields in question."""
    found = {name: answer.headers.get_list(name) for name in (LEFT, WARNING, OWN)}
    return {name: values for name, values in found.items() if values}


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"path": "/agents/kb/ask"}], ids=["plain", "streamed", "agent"])
async def test_an_answer_of_an_upstream(ask: Ask, more: dict[str, Any]) -> None:
    answer = await ask({LEFT: "7", WARNING: "user tokens_per_minute 91%"}, **more)
    assert answer.status_code == 200
    assert told(answer) == {LEFT: ["7"], WARNING: ["user tokens_per_minute 91%"]}
    assert told(await ask(**more)) == {}


async def test_the_later_policy_wins(ask: Ask) -> None:
    assert told(await ask({LEFT: "7", WARNING: "w"}, {LEFT: "5"})) == {LEFT: ["5"], WARNING: ["w"]}


@pytest.mark.parametrize("value", [HOSTILE, "x" * 256, "0", "-"], ids=lambda value: value[:10])
async def test_a_value_is_a_value_and_no_format(ask: Ask, value: str) -> None:
    assert told(await ask({LEFT: value})) == {LEFT: [value]}


async def test_what_no_policy_declares_is_not_told(ask: Ask) -> None:
    answer = await ask({OWN: "1", "set-cookie": "a=b", "verdict": "reject", LEFT: "7"})
    assert answer.status_code == 200
    assert told(answer) == {LEFT: ["7"]}
    assert "set-cookie" not in answer.headers


async def test_the_gateways_word_stands_in_the_place_of_the_upstreams(ask: Ask) -> None:
    assert told(await ask({LEFT: "7"}, model="chatty")) == {LEFT: ["7"], OWN: ["theirs"]}


async def test_where_nothing_is_told_the_upstreams_own_fields_stay(ask: Ask) -> None:
    assert told(await ask(model="chatty")) == {LEFT: ["theirs", "theirs too"], OWN: ["theirs"]}


@pytest.mark.parametrize("path", [CHAT, "/agents/kb/ask"])
@pytest.mark.parametrize(
    ("verdict", "status", "expected"), [("reject", 429, "7"), ("reject itself", 429, "itself"), ("respond", 200, "7")]
)
async def test_an_answer_of_the_gateway(ask: Ask, path: str, verdict: str, status: int, expected: str) -> None:
    answer = await ask({LEFT: "7", OWN: "1"}, path=path, headers={"x-first-verdict": verdict})
    assert answer.status_code == status
    assert told(answer) == {LEFT: [expected]}
    assert told(await ask(path=path, headers={"x-first-verdict": "reject"})) == {}


async def test_where_envoy_answers_behind_the_verdict_it_says_the_same(ask: Ask) -> None:
    answer = await ask({LEFT: "7"}, model="down")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert told(answer) == {LEFT: ["7"]}


@pytest.mark.parametrize("path", [CHAT, "/agents/kb/ask"])
async def test_a_client_that_says_it_is_not_repeated(ask: Ask, path: str) -> None:
    forged = {LEFT: "1000000", WARNING: "none", "x-envoy-dynamic-metadata": f'{{"sluicegate": {{"{LEFT}": "1"}}}}'}
    assert told(await ask(path=path, headers=forged)) == {}
    assert told(await ask({LEFT: "7"}, path=path, headers=forged)) == {LEFT: ["7"]}

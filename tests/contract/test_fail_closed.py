"""Whatever becomes of the policy server or the identity provider: no request passes, and all is well again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from tests.contract.broken_servers import BROKEN, broken_server
from tests.served import CHAT, CLAUDE, PROMPT, Served
from tests.servers import Server, listens_on

pytestmark = pytest.mark.stack


@dataclass(slots=True)
class Place(Served):
    """A gateway's Envoy, with the policy server and the identity provider left to the test."""

    @property
    def socket(self) -> Path:
        return self.folder / "policy.sock"

    @contextlib.contextmanager
    def policy_server(self) -> Iterator[Server]:
        with self.served(lambda: listens_on(self.socket)) as server:
            yield server


@pytest.fixture
def place(simulator: str) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        listen = f"unix:{folder}/policy.sock"
        yield Place(Path(folder), simulator, {"listen": listen, "transport": "wire", "decision_timeout": 0.5, "grace": 1})


@pytest.fixture
def either_transport(place: Place, transport: str) -> None:
    """The place's policy server speaks by one transport, then by the other."""
    place.server_section["transport"] = transport


async def refused(client: httpx.AsyncClient, place: Place, codes: set[str]) -> None:
    """Neither dialect gets through, and each is told so in its own words."""
    await place.forget()
    openai = await client.post(CHAT, json=PROMPT)
    assert openai.status_code == 503, openai.text
    assert openai.json()["error"]["code"] in codes
    anthropic = await client.post("/v1/messages", json=CLAUDE)
    assert anthropic.status_code == 503, anthropic.text
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["code"] in codes
    for answer in (openai, anthropic):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]
        assert int(answer.headers["retry-after"]) >= 1
    assert await place.arrived() == 0


async def recovers(client: httpx.AsyncClient, seconds: float = 20) -> None:
    """Sooner or later the same request gets its answer, with nothing done about it."""
    async with asyncio.timeout(seconds):
        while (await client.post(CHAT, json=PROMPT)).status_code != 200:
            await asyncio.sleep(0.1)
    assert (await client.post("/v1/messages", json=CLAUDE)).status_code == 200


@pytest.mark.parametrize("name", BROKEN)
async def test_a_policy_server_that_breaks_the_rules(place: Place, name: str) -> None:
    async with broken_server(f"unix:{place.socket}", BROKEN[name]), place.envoy() as client:
        await refused(client, place, {"policy_unavailable", "no_verdict"})
        unread = await client.get("/v1/models")
        assert unread.status_code == 503


@pytest.mark.usefixtures("either_transport")
async def test_no_policy_server_then_one_then_killed_then_stopped(place: Place) -> None:
    with place.identity_provider():
        async with place.envoy() as client:
            await refused(client, place, {"policy_unavailable"})
            with place.policy_server() as server:
                await recovers(client)
                server.process.kill()
                server.process.wait()
                await refused(client, place, {"policy_unavailable"})
            with place.policy_server() as server:
                await recovers(client)
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    await refused(client, place, {"policy_unavailable"})
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                await recovers(client)


@pytest.mark.usefixtures("either_transport")
async def test_killed_with_requests_in_flight(place: Place) -> None:
    with place.identity_provider():
        async with place.envoy() as client:
            with place.policy_server() as server:
                await recovers(client)
                os.kill(server.pid, signal.SIGSTOP)
                await place.forget()
                asked = asyncio.gather(*(client.post(CHAT, json=PROMPT) for _ in range(20)))
                await asyncio.sleep(0.2)
                server.process.kill()
                server.process.wait()
                answers = await asked
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.json()["error"]["code"] for answer in answers} == {"policy_unavailable"}
            assert await place.arrived() == 0


@pytest.mark.usefixtures("either_transport")
async def test_answers_under_way_outlive_the_policy_server(place: Place) -> None:
    """What was decided is decided: the stream has ended with the verdict, and nobody breaks the answer."""
    with place.identity_provider():
        async with place.envoy() as client:
            with place.policy_server() as server:
                await recovers(client)
                wishes = {"x-sim-tokens": "60", "x-sim-chunk-delay-ms": "10"}
                request = PROMPT | {"stream": True}
                async with client.stream("POST", CHAT, json=request, headers=wishes) as answer:
                    lines = answer.aiter_lines()
                    assert (await anext(lines)).startswith("data: ")
                    # grpcio ends the stream a moment after it has sent the verdict.
                    for _ in range(10):
                        await anext(lines)
                    server.process.kill()
                    server.process.wait()
                    rest = [line async for line in lines]
            assert answer.status_code == 200
            assert rest[-2:] == ["data: [DONE]", ""]


async def test_the_identity_provider_is_down_at_the_start(place: Place) -> None:
    with place.policy_server():
        async with place.envoy() as client:
            await refused(client, place, {"identity_provider_unavailable"})
            with place.identity_provider():
                await recovers(client)


async def test_the_identity_provider_goes_down_later(place: Place, tmp_path: Path) -> None:
    """Known keys go on; a key that nobody has seen yet is no key. When the provider is back, so is all."""
    with place.policy_server():
        async with place.envoy() as client:
            with place.identity_provider():
                await recovers(client)
            await recovers(client)
            stranger = make_token(tmp_path, Caller("contoso", "alice", ("User",)))
            client.headers["authorization"] = f"Bearer {stranger}"
            await place.forget()
            answer = await client.post(CHAT, json=PROMPT)
            assert answer.status_code in (401, 503)
            assert answer.json()["error"]["code"] in ("invalid_token", "identity_provider_unavailable")
            assert await place.arrived() == 0

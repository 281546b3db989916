"""A whole gateway for contract tests: the policy server in this process, real Envoy in front of it, the simulator behind.

async with running_gateway(settings(...), Chain([...])) as gateway:
    response = await gateway.client.post("/v1/chat/completions", json=...)
    completion = await gateway.completion(response)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.chain import Chain, Link
from extproc.completion import Completion
from extproc.embedded.ports import free_port
from extproc.envoy_tls import secret_files
from extproc.policy import Policy
from extproc.server import PolicyServer
from extproc.settings import Settings, parse
from tests.ai_gateway import PROFILE, Change, running_front
from tests.servers import HOST, Envoy, running_simulator

MODEL: Final = "gpt-4o"


def settings(simulator: str, **changes: Any) -> Settings:
    """Settings with the simulator as an OpenAI, an Azure and an Anthropic upstream and as an agent."""
    tree: dict[str, Any] = {
        "upstreams": [
            {"name": "openai", "provider": "openai", "url": f"{simulator}/v1", "models": [MODEL, "embed-small", "gpt-*"]},
            {"name": "azure", "provider": "azure", "url": simulator, "api_version": "2024-10-21", "models": ["prod-4o"]},
            {"name": "anthropic", "provider": "anthropic", "url": simulator, "models": ["claude-sonnet-4-5"]},
        ],
        "agents": [{"name": "kb", "url": f"{simulator}/agents/kb"}],
        "policies": [{"policy": "entra"}],
    }
    if PROFILE == "plain":
        # AI Gateway answers 404 to every path of theirs.
        tree["opaque"] = [{"name": "files", "path": "/v1/files", "upstream": "openai"}]
    return parse({**tree, **changes})


class Recorder(Policy):
    """Keeps every completion."""

    name = "recorder"

    def __init__(self) -> None:
        self.completions: list[Completion] = []
        self._news = asyncio.Event()

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        self.completions.append(completion)
        self._news.set()
        return None

    async def until(self, done: Callable[[list[Completion]], bool], seconds: float = 10.0) -> list[Completion]:
        """The completions, once `done` says that they are all there."""
        async with asyncio.timeout(seconds):
            while not done(self.completions):
                self._news.clear()
                await self._news.wait()
        return list(self.completions)


@dataclass(slots=True)
class Gateway:
    """A running gateway and a client that talks to it."""

    envoy: Envoy
    client: httpx.AsyncClient
    recorder: Recorder
    server: PolicyServer
    settings: Settings
    simulator: str
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.envoy.url

    async def completion(self, response: httpx.Response) -> Completion:
        """The one completion of this response's request."""
        wanted = response.headers["x-request-id"]
        found = await self.recorder.until(lambda all_: any(c.request_id == wanted for c in all_))
        mine = [completion for completion in found if completion.request_id == wanted]
        assert len(mine) == 1, mine
        return mine[0]

    async def arrived(self) -> list[Mapping[str, Any]]:
        """The requests that have reached the upstream."""
        async with httpx.AsyncClient() as client:
            requests = (await client.get(f"{self.simulator}/sim/requests")).json()
        return list(requests["requests"] if isinstance(requests, dict) else requests)

    async def forget_arrived(self) -> None:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{self.simulator}/sim/requests")


@contextlib.asynccontextmanager
async def running_gateway(
    policies: Iterable[Policy | Link] = (),
    *,
    simulator: str | None = None,
    secret_directory: Path | None = None,
    change: Change | None = None,
    **changes: Any,
) -> AsyncIterator[Gateway]:
    """A gateway with these policies, and a recorder behind them. `changes` replace sections of the settings.

    `secret_directory`: where Envoy is to find its certificates for TLS to the policy server, in files. `change`: is shown
    the resources of AI Gateway, where it is that.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp")))
        upstream = simulator or stack.enter_context(running_simulator()).url
        listen = {"address": HOST, "port": free_port(), **changes.pop("listen", {})}
        server = {"listen": f"unix:{folder}/policy.sock", "grace": 1, "profile": PROFILE, **changes.pop("server", {})}
        given = settings(upstream, listen=listen, server=server, **changes)
        recorder = Recorder()
        links = [policy if isinstance(policy, Link) else Link(policy) for policy in (*policies, recorder)]
        chain = Chain(links, timeout=given.server.decision_timeout)
        policy_server = PolicyServer(given, chain)
        await policy_server.start()
        try:
            if secret_directory is not None:
                for name, held in secret_files(given).items():
                    (secret_directory / name).write_text(json.dumps(held))
            told = sorted(chain.response_fields)
            front = running_front(given, response_fields=told, secret_directory=secret_directory, change=change)
            envoy = await asyncio.to_thread(stack.enter_context, front)
            async with httpx.AsyncClient(base_url=envoy.url, timeout=30) as client:
                yield Gateway(envoy, client, recorder, policy_server, given, upstream)
        finally:
            await policy_server.stop()

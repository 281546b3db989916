"""A gateway that limits, for contract tests: real Envoy, real Valkey, the policy server as processes of its own.

async with limited(folder, limits=[{"subject": "user", "requests_per_day": 100}], workers=4) as gateway:
    answer = await gateway.ask("alice")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import redis.asyncio
import yaml

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import AUTHORITY, GATEWAY, TENANTS, Caller, demo_guid
from extproc.embedded.ports import free_port
from extproc.settings import parse
from policies.limits.limit import KINDS
from policies.limits.subjects import Subject
from policies.limits.subjects import parse as parse_subject
from policies.limits.windows import Counter
from tests.ai_gateway import PROFILE, Change, running_front
from tests.redis_servers import RedisServer
from tests.servers import HOST, Envoy, Server, listens, running

CHAT: Final = "/v1/chat/completions"
PRICE: Final = {"input": 2.5, "output": 10}
"""Dollars per million tokens of every model here: an output token is 10 micro-dollars."""
TENANT: Final = TENANTS["contoso"]
_CLIENTS: Final = 40
_IN_FLIGHT: Final = 10_000 if PROFILE == "plain" else 800
"""AI Gateway's own filter has 1,024 streams for each Envoy, and takes one for the answer to a refused request as well:
beyond them Envoy answers 500 (its `ai-gateway-extproc-uds.upstream_rq_active_overflow`)."""


def subject(text: str = "") -> Subject:
    """A subject of the tenant contoso by what it is within it: `user=alice`. Names stand for the demo's ids."""
    found = parse_subject(f"{TENANT}/{text}" if text else TENANT)
    parts = tuple(
        (level, demo_guid("user", f"{TENANT}/{value}") if level == "user" else value) for level, value in found.parts
    )
    return Subject(found.tenant, parts)


@dataclass(slots=True)
class Limited:
    """A running gateway. `client` has room for a hundred connections."""

    folder: Path
    client: httpx.AsyncClient
    store: RedisServer
    simulator: str
    server: Server
    envoy: Envoy
    tokens: dict[str, str] = field(default_factory=dict)
    _read: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)

    def headers(self, user: str = "alice", **wishes: object) -> dict[str, str]:
        """A caller's token, and what the simulator is to do: `tokens=50`, `latency_ms=10`."""
        token = self.tokens.get(user)
        if token is None:
            token = self.tokens[user] = make_token(self.folder, Caller("contoso", user, ("User",), department="research"))
        wished = {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in wishes.items()}
        return {"authorization": f"Bearer {token}", **wished}

    async def ask(
        self,
        user: str = "alice",
        *,
        prompt: str = "Say something.",
        members: Mapping[str, Any] | None = None,
        client: httpx.AsyncClient | None = None,
        **wishes: object,
    ) -> httpx.Response:
        """One chat."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}], **(members or {})}
        return await (client or self.client).post(CHAT, json=body, headers=self.headers(user, **wishes))

    async def ask_at_once(self, count: int, *, tokens: int) -> list[httpx.Response]:
        """The answers to so many requests of one user, all of them under way together as far as the profile allows."""
        room = asyncio.Semaphore(_IN_FLIGHT)

        async def one(client: httpx.AsyncClient) -> httpx.Response:
            async with room:
                return await self.ask(client=client, tokens=tokens)

        async with contextlib.AsyncExitStack() as stack:
            # One client of httpx with thousands of connections spends its time looking for a free one.
            clients = [await stack.enter_async_context(self.another_client()) for _ in range(_CLIENTS)]
            return await asyncio.gather(*(one(clients[number % _CLIENTS]) for number in range(count)))

    def another_client(self) -> httpx.AsyncClient:
        """A client with connections of its own, for the block of a `with`."""
        bounds = httpx.Limits(max_connections=1_000, max_keepalive_connections=1_000)
        return httpx.AsyncClient(base_url=self.envoy.url, timeout=60, limits=bounds)

    async def arrived(self) -> list[Mapping[str, Any]]:
        """The requests that have reached the upstream."""
        async with httpx.AsyncClient() as client:
            found: list[Mapping[str, Any]] = (await client.get(f"{self.simulator}/sim/requests")).json()["requests"]
        return found

    async def forget(self) -> None:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{self.simulator}/sim/requests")

    def events(self) -> list[dict[str, Any]]:
        """What the policy server has logged so far."""
        with (self.folder / "serve.log").open("rb") as log:
            log.seek(self._read)
            for line in log:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    if line.startswith(b"{"):
                        self._events.append(json.loads(line))
        return self._events

    def completions(self) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event"] == "completion"]

    async def until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.02)

    async def settled(self, count: int) -> list[dict[str, Any]]:
        """The completions, once there are so many and nothing is reserved any more."""
        await self.until(lambda: len(self.completions()) >= count)
        async with asyncio.timeout(60):
            while await self.reserved():
                await asyncio.sleep(0.02)
        return self.completions()

    async def reserved(self) -> int:
        """Reservations of the tenant that are not settled."""
        async with self.redis() as client:
            return int(await client.zcard(f"sg:{{{TENANT}}}:leases"))

    async def counter(self, kind: str, text: str = "") -> Counter:
        """A counter of the tenant contoso, or of a subject within it by the names of the demo."""
        return await self.counter_of(kind, subject(text))

    async def counter_of(self, kind: str, whose: Subject) -> Counter:
        async with self.redis() as client:
            value = await client.hget(whose.key(), KINDS[kind].counter)
            assert not isinstance(value, str)
        return Counter.read(value) or Counter()

    @contextlib.asynccontextmanager
    async def redis(self) -> AsyncIterator[redis.asyncio.Redis]:
        client = redis.asyncio.Redis(unix_socket_path=self.store.address.removeprefix("unix://"))
        try:
            yield client
        finally:
            await client.aclose()

    async def workers(self) -> dict[int, dict[str, Any]]:
        """The state of each worker, by its number."""
        transport = httpx.AsyncHTTPTransport(uds=f"{self.folder}/admin.sock")
        async with httpx.AsyncClient(transport=transport, base_url="http://policy") as client:
            status = (await client.get("/status")).json()
        return {worker["worker"]: worker for worker in status["workers"]}

    def signal(self, pid: int, number: signal.Signals) -> None:
        os.kill(pid, number)


def tree(
    folder: Path,
    simulator: str,
    identity_port: int,
    gateway_port: int,
    store: str,
    limits: Sequence[Any],
    **settings: Any,
) -> dict[str, Any]:
    """The configuration of such a gateway."""
    server = {"listen": f"unix:{folder}/policy.sock", "admin": f"unix:{folder}/admin.sock", "grace": 5}
    entra = {
        "authority": AUTHORITY,
        "v1_issuer": AUTHORITY,
        "fetch_from": f"http://{HOST}:{identity_port}",
        "audiences": [GATEWAY],
        "tenants": [{"id": TENANT, "name": "contoso"}, {"id": TENANTS["fabrikam"], "name": "fabrikam"}],
        "claims": {"department": "department"},
    }
    operations = ["chat", "completions", "responses", "embeddings", "messages", "models"]
    access = {
        "permissions": {"all": {"models": ["*"], "operations": operations, "agents": ["kb"]}},
        "roles": {"User": ["all"]},
    }
    limited = {"redis": {"url": store}, "limits": list(limits), **settings.pop("limits_settings", {})}
    models = [{"name": name, "price": dict(PRICE)} for name in ("gpt-4o", "gpt-4o-mini")]
    return {
        "listen": {"address": HOST, "port": gateway_port},
        "server": {"profile": PROFILE, **server, **settings.pop("server", {})},
        "upstreams": [{"name": "openai", "provider": "openai", "url": f"{simulator}/v1", "models": models}],
        "agents": [{"name": "kb", "url": f"{simulator}/agents/kb"}],
        "policies": [
            {"policy": "entra", "settings": entra},
            {"policy": "access", "settings": access},
            {"policy": "limits", "settings": limited, **settings.pop("entry", {})},
            *settings.pop("after", ()),
        ],
        **settings,
    }


@contextlib.asynccontextmanager
async def limited(
    folder: Path,
    simulator: str,
    store: RedisServer,
    limits: Sequence[Any],
    *,
    workers: int = 1,
    change: Change | None = None,
    **settings: Any,
) -> AsyncIterator[Limited]:
    """A gateway with these limits. `settings` replace sections; `limits_settings` are further ones of the policy.

    `change`: is shown the resources of AI Gateway, where it is that.
    """
    identity_port, gateway_port = free_port(), free_port()
    server_settings = {"workers": workers, **settings.pop("server", {})}
    config = tree(
        folder, simulator, identity_port, gateway_port, store.address, limits, server=server_settings, **settings
    )
    path = folder / "sluicegate.yaml"
    path.write_text(yaml.safe_dump(config))
    identity = [sys.executable, "-m", "extproc.embedded.identity_provider", "--state", folder, "--port", identity_port]
    serve = [sys.executable, "-m", "extproc.cli", "serve", path]
    log = folder / "serve.log"

    def listening() -> bool:
        return log.exists() and b'"listening"' in log.read_bytes()

    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running([str(part) for part in identity], ready=lambda: listens(identity_port), log=folder / "identity.log")
        )
        server = stack.enter_context(running([str(part) for part in serve], ready=listening, log=log, grace=20))
        envoy = await asyncio.to_thread(stack.enter_context, running_front(parse(config), change=change))
        async with httpx.AsyncClient(base_url=envoy.url, timeout=60) as client:
            yield Limited(folder, client, store, simulator, server, envoy)

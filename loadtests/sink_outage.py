"""A sink that is away while requests go on: `python -m loadtests.sink_outage --seconds 600 --rate 500`.

The whole stack with a journal and two sinks: a file, and a webhook where nobody listens. It prints the memory of the
policy server and of the follower as it goes; then somebody listens, and it waits until the webhook has been brought
everything. Ends with status 1 if memory grew by more than a tenth and 8 MiB after the first minute, a request failed, or
a record is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from extproc.configured import read_tree
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.ports import free_port
from extproc.embedded.running import run_stack
from extproc.embedded.stack import DEMO, Stack
from extproc.tasks import spawn
from loadtests.bench.generator import run as generate
from loadtests.bench.load import raw_request
from loadtests.bench.proc import resident_of

_BODY: Final = orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say something."}]})
_STEP: Final = 15.0
_MIB: Final = 1 << 20
_PATIENCE: Final = 300.0


@dataclass(slots=True)
class Receiver:
    """A webhook's other end: counts each record once."""

    seen: set[tuple[str, int]] = field(default_factory=set)

    async def serve(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._answer, "127.0.0.1", port, limit=64 * _MIB)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                for record in orjson.loads(await reader.readexactly(length)):
                    self.seen.add((record["journal"], record["sequence"]))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def tree_with_sinks(state: Path, port: int) -> dict[str, Any]:
    """The demo configuration without limits, and with these two sinks."""
    tree: dict[str, Any] = read_tree(DEMO)
    tree["policies"] = [entry for entry in tree["policies"] if entry["policy"] != "limits"]
    sinks = [
        {"kind": "file", "name": "here", "path": str(state / "records.jsonl")},
        {"kind": "webhook", "name": "away", "url": f"http://127.0.0.1:{port}/", "retry": {"pause": 1}},
    ]
    for entry in tree["policies"]:
        if entry["policy"] == "audit":
            entry["settings"]["sinks"] = sinks
    return tree


def pids(stack: Stack) -> dict[str, int]:
    """The policy server and the follower, by what they were started with."""
    wanted = {name: next(plan.program for plan in stack.plans if plan.name == name) for name in ("policy", "audit")}
    found: dict[str, int] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = tuple(path.read_bytes().decode("utf-8", "replace").split("\0")[:-1])
        except OSError:
            continue
        found |= {name: int(path.parent.name) for name, program in wanted.items() if words == program}
    return found


def _behind(state: Path) -> Mapping[str, int]:
    try:
        status = json.loads((state / "journal" / "status.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: sink["behind_records"] for name, sink in status["sinks"].items()}


async def _watch(state: Path, found: Mapping[str, int], told: list[dict[str, float]]) -> None:
    began = time.monotonic()
    while True:
        now = {name: resident_of(pid) / _MIB for name, pid in found.items()}
        told.append({"seconds": time.monotonic() - began, **now})
        sizes = ", ".join(f"{name} {size:.1f} MiB" for name, size in now.items())
        print(f"{told[-1]['seconds']:6.0f} s  {sizes}, behind {dict(_behind(state))}", file=sys.stderr, flush=True)
        await asyncio.sleep(_STEP)


async def _outage(stack: Stack, state: Path, port: int, seconds: float, rate: float) -> int:
    token = make_token(state, Caller("contoso", "alice", ("User",)), lifetime=int(seconds) + 3_600)
    request = raw_request(_BODY, token)
    told: list[dict[str, float]] = []
    watching = spawn(_watch(state, pids(stack), told), name="watch")
    load = await generate(stack.settings.listen.port, request, connections=32, seconds=seconds, rate=rate)
    watching.cancel()
    receiver = Receiver()
    server = await receiver.serve(port)
    try:
        async with asyncio.timeout(_PATIENCE):
            while _behind(state).get("away", 1) > 0:  # noqa: ASYNC110  (a file is watched)
                await asyncio.sleep(0.5)
    except TimeoutError:
        print("the webhook was not brought everything in time", file=sys.stderr)
    server.close()
    return _judge(told, load.requests, load.errors, len(receiver.seen), _lines(state))


def _lines(state: Path) -> int:
    """How many records the file has, with those that were rotated."""
    count = 0
    for path in state.glob("records.jsonl*"):
        with path.open("rb") as file:
            count += sum(1 for _ in file)
    return count


def _judge(told: Sequence[Mapping[str, float]], requests: int, errors: int, brought: int, lines: int) -> int:
    settled = [one for one in told if one["seconds"] >= min(60.0, told[-1]["seconds"] / 2)]
    grown = {name: (settled[0][name], max(one[name] for one in settled)) for name in told[0] if name != "seconds"}
    flat = all(most <= first * 1.1 + 8 for first, most in grown.values())
    sizes = {name: [round(size, 1) for size in both] for name, both in grown.items()}
    found = {
        "requests": requests,
        "failed": errors,
        "records brought to the webhook": brought,
        "records in the file": lines,
        "memory, MiB: after the first minute, at most": sizes,
    }
    print(json.dumps(found, indent=2))
    # A decision and a closing each; beside them the journals' own.
    complete = brought >= 2 * requests and lines >= 2 * requests
    return 0 if flat and complete and not errors else 1


async def _run(seconds: float, rate: float) -> int:
    with tempfile.TemporaryDirectory(prefix="sluicegate-sink-", dir="/tmp") as folder:
        state, port = Path(folder), free_port()
        status = 1

        async def work(stack: Stack) -> None:
            nonlocal status
            status = await _outage(stack, state, port, seconds, rate)

        await run_stack(tree_with_sinks(state, port), state=state, port=0, report=lambda *_: None, work=work)
        return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.sink_outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=500.0, help="requests per second")
    chosen = parser.parse_args(arguments)
    return asyncio.run(_run(chosen.seconds, chosen.rate))


if __name__ == "__main__":
    sys.exit(main())

"""What deciding and settling cost, the transport apart: `python -m loadtests.path_cost`.

Plays realistic requests (20 header fields, a remembered bearer token, a chat body of 1 KB; 32 at a time) through the
demo's chain, and access log messages of 20 entries through settlement, without Envoy and without sockets. Prints CPU per
request by step, the least of several rounds: for comparing one version of the code with the next on one machine.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isawaitable
from pathlib import Path
from typing import Final
from uuid import uuid4

from extproc.assembly import assemble
from extproc.chain import Chain
from extproc.configured import read_tree
from extproc.conversation import Conversation
from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.in_process import identity_provider
from extproc.embedded.scheme import resolve_embedded
from extproc.embedded.stack import DEMO
from extproc.embedded.waiting import until
from extproc.gate import Gate
from extproc.protos import ProcessingMode, ProcessingRequest, ProcessingResponse, StreamAccessLogsMessage
from extproc.server import mint
from extproc.settings import parse
from extproc.settlement import Settlement
from extproc.travel import Travel
from loadtests.bench.targets import DEFAULT

ROUNDS: Final = 7
REQUESTS: Final = 3_200
AT_ONCE: Final = 32
ENTRIES: Final = 20
_REQUEST_ID: Final = "5f1c2a0e-6f0e-4a55-9b5e-0d9d0c6a8f11"
_FIELDS: Final = (
    (":authority", "gateway.example.com"),
    (":path", "/v1/chat/completions"),
    (":method", "POST"),
    (":scheme", "http"),
    ("content-length", "1024"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 3.52.0"),
    ("x-stainless-lang", "python"),
    ("x-stainless-package-version", "3.52.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.11.7"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-read-timeout", "600"),
    ("x-forwarded-proto", "http"),
    ("x-request-id", _REQUEST_ID),
    ("x-envoy-expected-rq-timeout-ms", "180000"),
)
_USAGE: Final = {"input": 240.0, "output": 50.0, "total": 290.0, "cached_input": 0.0, "reasoning": 0.0, "chunks": 0.0}


def request_messages(token: str) -> tuple[bytes, bytes]:
    """The two messages of Envoy about one request."""
    opening, body = ProcessingRequest(), ProcessingRequest()
    for name, value in (*_FIELDS, ("authorization", f"Bearer {token}")):
        opening.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    opening.protocol_config.request_body_mode = ProcessingMode.BUFFERED
    question = {"role": "user", "content": "Say the same word fifty times. " * 30}
    body.request_body.body = json.dumps({"model": "gpt-4o-mini", "messages": [question]}).encode()
    body.request_body.end_of_stream = True
    return opening.SerializeToString(), body.SerializeToString()


def access_log(verdict: bytes) -> bytes:
    """A message of the access log about requests that have been let pass with this verdict."""
    message = StreamAccessLogsMessage()
    ours = ProcessingResponse.FromString(verdict).dynamic_metadata.fields["sluicegate"].struct_value
    for _ in range(ENTRIES):
        entry = message.http_logs.log_entry.add()
        common = entry.common_properties
        common.start_time.FromNanoseconds(1_795_000_000_123_456_789)
        common.duration.FromMicroseconds(2_345)
        common.time_to_first_downstream_tx_byte.FromMicroseconds(2_300)
        common.upstream_cluster = "upstream_simulator"
        common.stream_id = _REQUEST_ID
        common.metadata.filter_metadata["sluicegate"].CopyFrom(ours)
        usage = common.metadata.filter_metadata["sluicegate.usage"]
        usage.update({**_USAGE, "model": "gpt-4o-mini-2024-07-18"})
        entry.request.request_method = 3
        entry.request.path = "/v1/chat/completions"
        entry.request.request_id = common.stream_id
        entry.request.request_body_bytes = 1024
        entry.response.response_code.value = 200
        entry.response.response_body_bytes = 600
        entry.response.response_code_details = "via_upstream"
    return bytes(message.SerializeToString())


async def measure(chain: Chain, gate: Gate, token: str) -> dict[str, float]:
    """Seconds of CPU per request, by step."""
    travel = Travel(kind for link in chain.links for kind in link.policy.provides)
    opening, body = request_messages(token)
    first = Conversation(gate, travel, mint)
    for message in (opening, body):
        reply = first.receive(message)
        verdict = await reply if isawaitable(reply) else reply
    logged = access_log(verdict)
    rounds: dict[str, list[float]] = {"headers": [], "body": [], "settle": []}
    # As where it serves.
    gc.freeze()
    for _ in range(ROUNDS):
        headers = bodies = 0.0
        for _ in range(REQUESTS // AT_ONCE):
            talks = [Conversation(gate, travel, mint) for _ in range(AT_ONCE)]
            # Every request has an id of its own.
            openings = [opening.replace(_REQUEST_ID.encode(), str(uuid4()).encode()) for _ in talks]
            began = time.process_time()
            for talk, one in zip(talks, openings, strict=True):
                talk.receive(one)
            asked = time.process_time()
            for talk in talks:
                talk.receive(body)
            headers += asked - began
            bodies += time.process_time() - asked
        rounds["headers"].append(headers / REQUESTS)
        rounds["body"].append(bodies / REQUESTS)
        rounds["settle"].append(await _settle(chain, travel, logged))
    return {name: min(values) for name, values in rounds.items()}


async def _settle(chain: Chain, travel: Travel, logged: bytes) -> float:
    settlement = Settlement(chain, travel)
    before = time.process_time()
    settlement.start()
    for _ in range(REQUESTS // ENTRIES):
        settlement.take(logged)
    await settlement.stop(60)
    return (time.process_time() - before) / REQUESTS


async def _until_ready(chain: Chain) -> None:
    async def ready() -> bool:
        return not chain.readiness()

    await until(ready)


@contextmanager
def _silent() -> Iterator[None]:
    """Completions are written, and nobody reads them."""
    told, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        yield
    finally:
        sys.stdout.close()
        sys.stdout = told


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, identity_provider(Path(folder)) as identity:
        token = make_token(Path(folder), Caller("contoso", "bench", ("User",)))
        for name in ("default", "empty"):
            demo = read_tree(DEMO)
            # What limits and the journal cost is measured with what they wait for, by the benchmark.
            demo["policies"] = [entry for entry in demo["policies"] if entry["policy"] in DEFAULT]
            addresses = {"simulator": "http://127.0.0.1:1", "identity": identity, "valkey": "unix:///nowhere"}
            settings = parse(resolve_embedded(demo, addresses))
            chain = Chain([]) if name == "empty" else assemble(settings)
            await chain.start()
            await _until_ready(chain)
            with _silent():
                found = await measure(chain, Gate(chain, settings.catalogue(), settings.identity_headers), token)
            steps = ", ".join(f"{step} {seconds * 1e6:.1f}" for step, seconds in found.items())
            print(f"{name}: {steps}; together {sum(found.values()) * 1e6:.1f} us per request")
            await chain.stop()


if __name__ == "__main__":
    asyncio.run(main())

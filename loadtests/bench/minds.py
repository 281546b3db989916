"""Policies that only the benchmark has, and how they become installed ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from extproc.exchange import Chunk, Exchange, ResponseBody
from extproc.log import emit
from extproc.outcome import CONTINUE, Continue
from extproc.policy import Policy

READ: Final = "bench_read"
"""The event that says what the reader has read."""


class Nothing(Policy):
    """A chain must have a policy: this one has no hook."""

    name = "bench_nothing"

    @classmethod
    def build(cls, settings: Any, surroundings: Any) -> Nothing:
        return cls()


class Reader(Policy):
    """Reads the whole of both bodies, and says what their hashes are."""

    name = "bench_reader"

    @classmethod
    def build(cls, settings: Any, surroundings: Any) -> Reader:
        return cls()

    def on_request_body(self, exchange: Exchange) -> Continue:
        exchange.want_response(ResponseBody.BUFFERED)
        _say("request", exchange.body or b"")
        return CONTINUE

    def on_response_body(self, exchange: Exchange, chunk: Chunk) -> Continue:
        _say("response", chunk.data)
        return CONTINUE


def _say(side: str, data: bytes) -> None:
    emit(orjson.dumps({"event": READ, "side": side, "sha256": hashlib.sha256(data).hexdigest()}))


POLICIES: Final[Mapping[str, type[Policy]]] = {"empty": Nothing, "reader": Reader}
"""The one policy of a chain that is not the demo's, by what the target thinks."""


def install(site: Path) -> None:
    """Make them installed policies for every Python that has `site` in its PYTHONPATH.

    So the policy server that is measured is started like any other, and finds its policy like any other.
    """
    info = site / "sluicegate_bench-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sluicegate-bench\nVersion: 0\n")
    points = (f"{policy.name} = {policy.__module__}:{policy.__qualname__}\n" for policy in POLICIES.values())
    (info / "entry_points.txt").write_text(f"[sluicegate.policies]\n{''.join(points)}")

"""What is asked, and how much of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from loadtests.bench import upstream
from loadtests.bench.load import raw_request


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked, and over how many connections."""

    name: str
    connections: int
    stream: bool = False

    def request(self, token: str) -> bytes:
        """The bytes to send."""
        question = {"role": "user", "content": "Say the same word fifty times, and nothing else, please."}
        call = {"model": "gpt-4o-mini", "messages": [question], "stream": self.stream}
        return raw_request(json.dumps(call, separators=(",", ":")).encode(), token)


SCENARIOS: Final = (
    Scenario("unary, 1 connection", 1),
    Scenario("unary, 32 connections", 32),
    Scenario(f"stream of {upstream.CHUNKS} chunks, 8 connections", 8, stream=True),
)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. `generator`: `wrk` or `own`; wrk takes whole seconds only."""

    rounds: int
    seconds: float
    generator: str

"""What is asked, and how much of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.bench.load import raw_request


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked, and how often.

    Attributes:
        connections: in a closed loop all of them are busy; in an open loop they are what may be in flight.
        chunks: of the stream that is asked for; 0: a plain answer.
        follows: makes it an open loop: `share` of the rate that the target itself reached in the scenario of this name.
        length: seconds, as a share of the extent's.
    """

    name: str
    connections: int
    chunks: int = 0
    follows: str | None = None
    share: float = 1.0
    length: float = 1.0

    def request(self, token: str, fields: Sequence[tuple[str, str]] = ()) -> bytes:
        """The bytes to send."""
        question = {"role": "user", "content": "Say the same word fifty times, and nothing else, please."}
        call = {"model": "gpt-4o-mini", "messages": [question], "stream": self.chunks > 0}
        if self.chunks:
            call["max_tokens"] = self.chunks
        return raw_request(json.dumps(call, separators=(",", ":")).encode(), token, fields)

    @property
    def needs_own_generator(self) -> bool:
        """wrk knows neither open loops nor chunks."""
        return self.chunks > 0 or self.follows is not None


_IN_FLIGHT: Final = 128
ALONE: Final = Scenario("unary, 1 connection", 1, length=2 / 3)
BUSY: Final = Scenario("unary, 32 connections", 32)
HALF: Final = Scenario("unary, half of capacity", _IN_FLIGHT, follows=BUSY.name, share=0.5)
SHORT: Final = Scenario("stream of 50 chunks, 8 connections", 8, chunks=50, length=2 / 3)
LONG: Final = Scenario("stream of 500 chunks, 8 connections", 8, chunks=500, length=4 / 3)
SELDOM: Final = Scenario("unary, as often as streams of 500", _IN_FLIGHT, follows=LONG.name, length=4 / 3)
SCENARIOS: Final = (ALONE, BUSY, HALF, SHORT, LONG, SELDOM)
"""In this order: one may follow an earlier one."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: of each scenario, in each of the starts.
        generator: `wrk` or `own`, where a scenario leaves the choice; wrk takes whole seconds.
        starts: how often everything is started anew.
    """

    rounds: int
    seconds: float
    generator: str
    starts: int = 1

    def seconds_of(self, scenario: Scenario) -> float:
        """How long one round of it lasts."""
        seconds = self.seconds * scenario.length
        return max(1.0, round(seconds)) if self.tool(scenario) == "wrk" else seconds

    def tool(self, scenario: Scenario) -> str:
        """Which generator sends it."""
        return "own" if scenario.needs_own_generator else self.generator

"""One run: start everything, and let the targets take turns."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.in_process import identity_provider
from extproc.embedded.state import write_private
from loadtests.bench.ai_gateway import SCENARIOS as GUEST_SCENARIOS
from loadtests.bench.load import EMPTY_REQUEST
from loadtests.bench.measure import Burst, Target, burst, ceiling, measure
from loadtests.bench.results import Cell
from loadtests.bench.scenarios import ALONE, BUSY, SCENARIOS, Extent, Scenario
from loadtests.bench.stand import Say, Stand, Wish, standing
from loadtests.bench.yardstick import yardstick

_WARM_UP: Final = 1.0
_FIRST: Final = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that was measured.

    Attributes:
        paces: seconds that the yardstick took, before each round.
        ceilings: unary load of 32 connections on what stands in nobody's way.
    """

    cells: dict[tuple[str, str], list[Cell]]
    paces: list[float]
    ceilings: dict[str, Cell]
    notes: list[str]


class Turns:
    """The targets, taking turns."""

    def __init__(self, stand: Stand, state: Path, extent: Extent, cells: dict[tuple[str, str], list[Cell]]) -> None:
        """`cells`: those of former starts; what is measured is added to them."""
        self._stand = stand
        self._state = state
        self._extent = extent
        self._token = make_token(state, Caller("contoso", "bench", ("User",)))
        self._cells = cells

    async def warm_up(self) -> None:
        """Let every target answer for a moment: just-in-time compilers, caches, the token."""
        for target in self._stand.targets:
            await self._warm(target)

    async def _begin(self, scenario: Scenario, target: Target) -> None:
        """Warm what has just begun. One connection first: until its access log is connected, Envoy keeps 16 KiB of it."""
        request = self._request(scenario, target)
        await measure(target, ALONE, Burst("own", request, ALONE.connections, _FIRST))
        await self._warm(target)

    async def _warm(self, target: Target) -> None:
        short = Burst(self._extent.generator, self._request(BUSY, target), BUSY.connections, _WARM_UP)
        await measure(target, BUSY, short)

    async def take(self, scenario: Scenario) -> None:
        """One round of a scenario.

        Raises:
            BenchError: a request failed, was not settled or not metered.
            StackError: what is started for its turn did not start.
        """
        for target in self._stand.targets:
            rate = self._rate(scenario, target)
            one = burst(scenario, self._extent, self._request(scenario, target), rate)
            cell = await measure(target, scenario, one)
            self._cells.setdefault((scenario.name, target.name), []).append(cell)
        if scenario.name in GUEST_SCENARIOS:
            for guest in self._stand.guests:
                async with guest.running() as target:
                    await self._begin(scenario, target)
                    one = burst(scenario, self._extent, self._request(scenario, target), None)
                    cell = await measure(target, scenario, one)
                    self._cells.setdefault((scenario.name, target.name), []).append(cell)

    async def ceilings(self) -> dict[str, Cell]:
        """What each generator reaches where nothing is in its way."""
        # Envoy hangs up when it answers before it has read a body, so its own answer is asked for without one.
        empty = self._state / "empty-request"
        write_private(empty, EMPTY_REQUEST.decode())
        found = {}
        for name, target in self._stand.ceilings.items():
            request = self._request(BUSY, target) if target.name == "upstream" else empty
            for tool in dict.fromkeys((self._extent.generator, "own")):
                one = Burst(tool, request, BUSY.connections, self._extent.seconds_of(BUSY))
                found[f"{name}, {tool}"] = await ceiling(target, one)
        return found

    def _rate(self, scenario: Scenario, target: Target) -> float | None:
        if scenario.follows is None:
            return None
        return scenario.share * median(cell.load.rate for cell in self._cells[scenario.follows, target.name])

    def _request(self, scenario: Scenario, target: Target) -> Path:
        """The file with the request. Only we can read it: it holds a token."""
        path = self._state / f"request-{scenario.chunks}-{target.name if target.fields else ''}"
        if not path.exists():
            write_private(path, scenario.request(self._token, target.fields).decode())
        return path


async def run(extent: Extent, wish: Wish, say: Say, scenarios: Sequence[Scenario] = SCENARIOS) -> Run:
    """Measure every target under every scenario.

    Everything is started anew several times: where memory happens to lie, a process is slow or fast for as long as it
    lives, and more rounds of one start say no more about that.

    Raises:
        BenchError: a request failed, was not settled or not metered.
        StackError: something did not start.
    """
    found = Run({}, [], {}, [])
    for start in range(extent.starts):
        # Sockets stand here: their paths must be short.
        with (
            tempfile.TemporaryDirectory(prefix="sluicegate-bench-") as folder,
            identity_provider(Path(folder)) as identity,
        ):
            state = Path(folder)
            async with standing(state, identity, wish, say) as stand:
                turns = Turns(stand, state, extent, found.cells)
                say(f"start {start + 1} of {extent.starts}: warming up")
                await turns.warm_up()
                for scenario in scenarios:
                    for number in range(extent.rounds):
                        say(f"{scenario.name}: round {number + 1} of {extent.rounds}")
                        found.paces.append(yardstick())
                        await turns.take(scenario)
                if start + 1 == extent.starts:
                    say("ceilings")
                    found.ceilings.update(await turns.ceilings())
                    found.notes.extend(stand.notes)
    return found


def say(line: str) -> None:
    """Progress, beside the report."""
    print(line, file=sys.stderr, flush=True)

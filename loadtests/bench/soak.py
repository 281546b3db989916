"""A million requests in one run: does the policy process grow?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.embedded.demo_keys import make_token
from extproc.embedded.demo_tokens import Caller
from extproc.embedded.in_process import identity_provider
from extproc.embedded.state import write_private
from loadtests.bench.measure import Burst, measure
from loadtests.bench.proc import resident_of
from loadtests.bench.scenarios import BUSY
from loadtests.bench.stand import Say, Wish, standing

TARGET: Final = "wire default"
WARM: Final = 0.1
"""The share of the requests after which memory is what it should stay."""
GROWTH: Final = 1.05
_BURST_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Mark:
    """So many requests answered and settled, and so many bytes resident in the policy process then."""

    requests: int
    settled: int
    resident: int


@dataclass(frozen=True, slots=True)
class Soak:
    """A run without one failed, unsettled or unmetered request: it would have ended otherwise."""

    marks: Sequence[Mark]
    target: str = TARGET

    @property
    def warm(self) -> Mark:
        """The first mark past the first tenth."""
        least = self.marks[-1].requests * WARM
        return next(mark for mark in self.marks if mark.requests >= least)

    @property
    def growth(self) -> float:
        """Memory at the end, as a share of that when warm."""
        return self.marks[-1].resident / self.warm.resident

    @property
    def holds(self) -> bool:
        return self.growth <= GROWTH and self.marks[-1].settled == self.marks[-1].requests


async def soak(requests: int, tool: str, say: Say) -> Soak:
    """Send so many requests, a tenth of them at a time at first.

    Raises:
        BenchError: a request failed, was not settled or not metered.
        StackError: something did not start.
    """
    with tempfile.TemporaryDirectory(prefix="sluicegate-bench-") as folder, identity_provider(Path(folder)) as identity:
        state = Path(folder)
        path = state / "request"
        write_private(path, BUSY.request(make_token(state, Caller("contoso", "bench", ("User",)))).decode())
        async with standing(state, identity, Wish((TARGET,)), say) as stand:
            (target,) = stand.targets
            marks: list[Mark] = []
            done, seconds = 0, 2.0
            while done < requests:
                cell = await measure(target, BUSY, Burst(tool, path, BUSY.connections, seconds))
                done += cell.arrived
                settled = (marks[-1].settled if marks else 0) + (cell.settled or 0)
                marks.append(Mark(done, settled, resident_of(target.pids["policy"])))
                say(f"{done:,} requests, {marks[-1].resident / 2**20:.1f} MiB")
                # A mark falls near the first tenth, and none is far beyond the end.
                rate = cell.load.rate
                left = (requests * WARM if done < requests * WARM else requests) - done
                seconds = min(_BURST_SECONDS, max(1.0, left / rate + 0.5))
            return Soak(marks)

"""Pictures of the dashboards: `python -m tests.observability.pictures FOLDER`.

A gateway is used for three minutes; its upstream is gone for a while, and Redis. What Prometheus and the ledger then
answer to the dashboards' own queries is drawn. Windows of rates are 20 seconds in place of minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from k8s.observability.drawing import Line, draw
from tests.observability.prometheus_server import Prometheus
from tests.observability.questions import dashboards, filled, groups, hurried
from tests.observability.traffic import flowing, good_ones, odd_ones, refused_ones
from tests.observability.watched import BUDGET, SPENDER, Watched, watched
from tests.policies.audit.ledger.postgres import Postgres

_WINDOW: Final = 20
_SECONDS: Final = 180.0
_STEP: Final = 2.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What the data sources say of the time from `start` to `end`."""

    prometheus: Prometheus
    postgres: Postgres
    start: float
    end: float

    def lines(self, expression: str) -> Sequence[Line]:
        found = self.prometheus.range(self._filled(expression), self.start, self.end, _STEP)
        return [Line(one["metric"], [(float(t), float(v)) for t, v in one["values"]]) for one in found]

    def now(self, expression: str) -> Sequence[Line]:
        found = self.prometheus.query(self._filled(expression), self.end)
        return [Line(one.labels, [(self.end, one.value)]) for one in found]

    def rows(self, statement: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        with self.postgres.connect("ledger") as ledger:
            asked = ledger.execute(filled(statement).encode())
            return [column.name for column in asked.description or ()], asked.fetchall()

    def _filled(self, expression: str) -> str:
        """All that is shown is what `$__range` means; an hour of it is no longer."""
        whole = f"{int(self.end - self.start)}s"
        text = filled(expression.replace("$__range", whole), f"{_WINDOW}s")
        return re.sub(r"\[\d+[mh]\]", f"[{whole}]", text)


async def _use(gateway: Watched) -> None:
    async def rounds() -> None:
        turn = 0
        while True:
            turn += 1
            await good_ones(gateway)
            if turn % 6 == 0:
                await refused_ones(gateway)
            if turn % 20 == 0:
                await odd_ones(gateway)
            if turn % 9 == 0:
                await gateway.ask(SPENDER, tokens=BUDGET // 20, members={"max_tokens": BUDGET // 20})
            await asyncio.sleep(random.uniform(0.1, 0.3))

    async with flowing(rounds):
        await asyncio.sleep(_SECONDS / 2)
        await asyncio.to_thread(gateway.simulator.kill)
        await asyncio.sleep(8)
        await gateway.simulator.start()
        await asyncio.sleep(_SECONDS / 5)
        gateway.store.pause()
        await asyncio.sleep(8)
        gateway.store.resume()
        await asyncio.sleep(_SECONDS / 5)
    # Until the ledger has the last of them.
    await asyncio.sleep(3)
    # What was going on when the upstream or Redis went may differ: it is told all the same.
    with contextlib.suppress(AssertionError):
        await gateway.sluicegate("ledger", "reconcile", "--from", "1h", "--tell")
    await asyncio.sleep(6)


async def _main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="sgw-", dir="/tmp") as where:
        async with watched(Path(where), hurried(groups(), _WINDOW), interval="1s") as gateway:
            start = time.time()
            await _use(gateway)
            answers = Answers(gateway.prometheus, gateway.postgres, start, time.time() - 3)
            for name, board in dashboards().items():
                picture = await asyncio.to_thread(draw, board, answers)
                picture.savefig(folder / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))

"""Whatever is killed, full or wrong while a gateway serves: afterwards everything is on record, once, everywhere.

`python -m loadtests.audit_chaos` does the same with a hundred thousand requests.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from loadtests.audit_chaos import Plan, run
from loadtests.chaos.faults import Pace

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
PLAN = Plan(
    requests=2_000,
    seed=20_261_121,
    rate=120,
    clients=24,
    pace=Pace(pause=0.1, outage=0.7, full=1.5, replacing=False, shuffled=False),
    close_after=14,
    mebibytes=128,
)


async def test_the_books_balance_whatever_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="sg-", dir="/tmp") as folder:
        found = await run(PLAN, Path(folder), print)
    assert found.good, "\n".join([*found.lines(), capsys.readouterr().out])
    # It was worth looking: things broke, and what they left undone was completed.
    assert found.figures["requests"] >= 2_000
    assert found.figures["exchanges"] > 1_500
    assert all(count > 0 for name, count in found.figures.items() if name.startswith("faults: "))
    assert found.figures["halves recovered: closing"] > 0
    assert found.figures["halves recovered: decision"] > 0

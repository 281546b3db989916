"""What `output_reserve: ceiling` and `expected` are worth: `python -m loadtests.reserve_trade`.

Plays an hour of calls against one limit, in memory and with a clock of its own: twice as many calls come as the limit
admits, one prompt of 200 tokens each, answers of log-normal length (median 250 tokens, mean about 410) at 20 ms a token,
cut at a ceiling of 4,096. Prints a Markdown table: what of the limit was used, and by how much it was overrun at most.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
from typing import Final

from policies.limits.limit import KINDS, Kind, OutputReserve, Window
from policies.limits.memory_store import MemoryStore
from policies.limits.store import Ask, Demand, Used
from policies.limits.tokens.learned import Learned

_INPUT: Final = 200
_CEILING: Final = 4_096
_TOKEN: Final = 20
"""Milliseconds."""
_START: Final = 1_767_225_600_000
_HOUR: Final = 3_600_000
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares of the limit: used on average over the hour, overrun in the worst window; and calls that were refused."""

    used: float
    overrun: float
    refused: float


def play(kind: Kind, amount: int, reserve: OutputReserve) -> Outcome:
    """An hour under one limit."""
    rng, now = random.Random(_SEED), _START
    store, learned = MemoryStore(lambda: now), Learned()
    per_call = _INPUT + 410
    windows = 60 if kind.window is Window.MINUTE else 1
    pause = _HOUR / (2 * amount * windows / per_call)
    demand = Demand(
        "k",
        kind.counter,
        kind.measure,
        kind.window,
        amount,
        _INPUT,
        1_000_000,
        kind.window is not Window.MINUTE,
        reserve is OutputReserve.EXPECTED,
    )
    running: list[tuple[int, str, int]] = []
    minutes: dict[int, int] = {}
    refused = count = 0
    while now < _START + _HOUR:
        now += max(1, round(rng.expovariate(1 / pause)))
        while running and running[0][0] <= now:
            _, name, tokens = heapq.heappop(running)
            store.settle_now("t", name, Used(1, tokens))
            learned.add(_INPUT, _INPUT, tokens - _INPUT)
        count += 1
        ask = Ask(f"r{count}", "t", (demand,), 600, output=_CEILING, expected=learned.usual_output(_CEILING), floor=16)
        answer = store.reserve_now(ask)
        if not answer.admitted:
            refused += 1
            continue
        tokens = _INPUT + min(answer.output, max(1, round(rng.lognormvariate(math.log(250), 1.0))))
        heapq.heappush(running, (now + (tokens - _INPUT) * _TOKEN, ask.id, tokens))
        minutes[now // 60_000] = minutes.get(now // 60_000, 0) + tokens
    spent = sum(minutes.values())
    if windows == 1:
        return Outcome(min(1.0, spent / amount), max(0.0, spent / amount - 1), refused / count)
    # The first minutes and the last are not whole.
    whole = [minutes[key] for key in sorted(minutes)[2:-1]]
    return Outcome(sum(whole) / len(whole) / amount, max(0.0, max(whole) / amount - 1), refused / count)


def table() -> str:
    """The trade, as Markdown."""
    rows = ["| Limit | `output_reserve` | Used | Overrun at most |", "| --- | --- | ---: | ---: |"]
    for name, amount in (("tokens_per_minute", 20_000), ("tokens_per_minute", 200_000), ("tokens_per_day", 1_000_000)):
        for reserve in OutputReserve:
            found = play(KINDS[name], amount, reserve)
            overrun = f"{found.overrun:.1%}" if found.overrun else "nothing"
            rows.append(f"| {name} {amount:,} | {reserve} | {found.used:.1%} | {overrun} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())

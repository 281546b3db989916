"""Refusals: which limit, how much is left, when it resets, and what an SDK should do about it. Pure.

A client's SDK waits for `retry-after-ms` if it is at most 120 seconds, and not for longer (measured with openai-python
and openai-node): so whatever takes longer says `x-should-retry: false` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from extproc.outcome import Reject
from policies.limits.demands import within_rates
from policies.limits.limit import Kind, Limit, Measure, Window
from policies.limits.store import Demand, Standing
from policies.limits.told import Stood, level_of, moment, remaining, used
from policies.limits.windows import wait

_PATIENCE: Final = 120_000
"""Milliseconds for which SDKs wait."""
_PARALLEL_WAIT: Final = 1_000
_SOON: Final = 1_000
_UNITS: Final = {
    Measure.REQUESTS: "requests",
    Measure.TOKENS: "tokens",
    Measure.DOLLARS: "US dollars",
    Measure.PARALLEL: "parallel requests",
}


class Refusal(msgspec.Struct, frozen=True):
    """A limit that refuses. `wait` in milliseconds; None: no waiting helps."""

    limit: Limit
    demand: Demand
    standing: Standing
    wait: int | None


def refusal(stood: Sequence[Stood], output: int, floor: int) -> Refusal | None:
    """Of the limits that refuse, the one that will do so for longest; None if none does. One in shadow only where no
    other refuses.

    `output`: the output asked for; `floor`: the least of it worth granting.
    """
    refusing = [one for one in stood if one.standing.refused]
    if not refusing:
        return None
    # What is asked of a rate is lowered to what it can ever admit.
    output = within_rates((one.demand for one in stood), output, floor)
    return max(
        (Refusal(one.limit, one.demand, one.standing, _wait(one, output, floor)) for one in refusing),
        key=lambda one: (not one.limit.rule.shadow, one.limit.rule.amount == 0, one.wait is None, one.wait or 0),
    )


def _wait(one: Stood, output: int, floor: int) -> int | None:
    demand, standing = one.demand, one.standing
    need = demand.reserved(min(floor, output) if demand.clamps else output)
    if demand.expected and demand.fixed <= demand.amount:
        if used(one.limit.rule, standing) == 0:
            return None
        # It asks for what such calls usually produce: more than is left, and at most this.
        need = min(need, demand.amount)
    if need > demand.amount:
        return None
    if demand.window is Window.NONE:
        return _PARALLEL_WAIT
    if demand.window is Window.MINUTE:
        return max(1, wait(demand.amount, need, standing.used, standing.before, standing.reset))
    if standing.used - standing.reserved + need <= demand.amount:
        # Others have reserved what they will hardly use: it comes back when their answers are over.
        return _SOON
    return max(1, standing.reset)


def reject(found: Refusal, *, budget_status: int, now: float) -> Reject:
    """The refusal, as the caller hears it. `now`: seconds since the epoch."""
    limit, rule = found.limit, found.limit.rule
    kind, is_budget = rule.kind, rule.kind.window in (Window.DAY, Window.MONTH)
    if rule.amount == 0:
        return _suspended(limit)
    status, code = (429, "rate_limit_exceeded")
    if is_budget:
        status, code = budget_status, "budget_exceeded"
    elif kind.measure is Measure.PARALLEL:
        code = "too_many_parallel_requests"
    total, left = _amount(kind, rule.amount), _amount(kind, remaining(rule, found.standing))
    told = f"The {level_of(limit)}'s limit {kind.name} of {total} leaves {left}, and this request needs more."
    if found.wait is None:
        return Reject(
            429,
            "request_exceeds_limit",
            f"{told} It is larger than the whole limit: make it smaller, or ask for less output.",
            why=_why(found),
            stop_retrying=True,
        )
    when = ""
    if is_budget and found.wait == _SOON:
        when = " Part of it is reserved for requests that are under way: try again in a moment."
    elif is_budget:
        when = f" It resets at {moment(now + found.wait / 1000)}."
    elif kind.window is Window.MINUTE:
        when = f" Try again in {found.wait / 1000:.3g} s."
    return Reject(
        status,
        code,
        told + when,
        retry_after=found.wait / 1000,
        why=_why(found),
        stop_retrying=found.wait > _PATIENCE,
    )


def _suspended(limit: Limit) -> Reject:
    rule = limit.rule
    return Reject(
        403,
        "suspended",
        f"The {level_of(limit)} is suspended: its limit {rule.kind.name} is 0.",
        why=f"{limit.subject} {rule.kind.name} is 0 ({rule.source})",
        stop_retrying=True,
    )


def _why(found: Refusal) -> str:
    rule = found.limit.rule
    return (
        f"{found.limit.subject} {rule.kind.name}: {found.standing.used} of {rule.amount} used, "
        f"{found.demand.fixed} and output asked for ({rule.source})"
    )


def _amount(kind: Kind, amount: int) -> str:
    unit = _UNITS[kind.measure]
    if kind.measure is Measure.DOLLARS:
        return f"{amount / 1_000_000:.6f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{amount} {unit}"


def unavailable(retry_after: float) -> Reject:
    """The counters cannot be asked, and a limit that bears on the request is closed then."""
    return Reject(
        503,
        "limits_unavailable",
        "The gateway cannot count this request against its limits at the moment. Try again later.",
        retry_after=retry_after,
        why="the store of the counters does not answer",
    )


def unpriced() -> Reject:
    """A budget of dollars bears on the request, and nobody knows what the model costs."""
    return Reject(
        403,
        "model_unpriced",
        "A budget in US dollars applies to you, and this model has no price in the gateway's configuration.",
        param="model",
        why="no price is configured for the model",
        stop_retrying=True,
    )

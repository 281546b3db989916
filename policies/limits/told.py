"""What callers are told of their limits, in header fields. Pure.

`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI's API reference documents them and its SDKs read them
(the reset is a duration in Go's form: `1s`, `6m0s`), and as Anthropic's does
`anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}` (the reset is a time of RFC 3339). Told is the rate that
leaves least; budgets are not rates, and are told where they are nearly used up, in `x-sluicegate-limit-warning`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from extproc.exchange import Dialect
from policies.limits.limit import Limit, Measure, Rule, Window
from policies.limits.store import Demand, Standing
from policies.limits.windows import MINUTE, weighed


class Stood(msgspec.Struct, frozen=True):
    """A limit, what was asked of it, and how it stands."""

    limit: Limit
    demand: Demand
    standing: Standing


WARNING: Final = "x-sluicegate-limit-warning"
_RATES: Final = ((Measure.REQUESTS, "requests"), (Measure.TOKENS, "tokens"))
_OPENAI: Final = "x-ratelimit-{1}-{0}"
_ANTHROPIC: Final = "anthropic-ratelimit-{0}-{1}"
_TOLD: Final = ("limit", "remaining", "reset")
FIELDS: Final = (
    *(form.format(name, what) for form in (_OPENAI, _ANTHROPIC) for _, name in _RATES for what in _TOLD),
    WARNING,
)
"""All fields that are ever told."""
_NAMES: Final = {
    dialect: {
        measure: tuple((_ANTHROPIC if dialect is Dialect.ANTHROPIC else _OPENAI).format(name, what) for what in _TOLD)
        for measure, name in _RATES
    }
    for dialect in Dialect
}
_THOUSANDTHS: Final = ("", *(f".{rest:03d}".rstrip("0") for rest in range(1, 1000)))
_WARNINGS: Final = 200
"""Characters of the warning, at most."""


def used(rule: Rule, standing: Standing) -> int:
    """What counts against the limit now."""
    if standing.before and rule.kind.window is Window.MINUTE:
        return standing.used + weighed(standing.before, standing.reset)
    return standing.used


def remaining(rule: Rule, standing: Standing) -> int:
    """What is left of the limit, never less than nothing."""
    left = rule.amount - used(rule, standing)
    return left if left > 0 else 0


def fields(stood: Sequence[Stood], dialect: Dialect, now: float) -> list[tuple[str, str]]:
    """The fields that say how the rates stand. `now`: seconds since the epoch."""
    tightest: dict[Measure, tuple[int, Stood]] = {}
    for one in stood:
        rule = one.limit.rule
        if rule.is_rate:
            left = remaining(rule, one.standing)
            measure = rule.kind.measure
            known = tightest.get(measure)
            if known is None or left < known[0]:
                tightest[measure] = left, one
    told: list[tuple[str, str]] = []
    names = _NAMES[dialect]
    has_times = dialect is Dialect.ANTHROPIC
    for measure, _ in _RATES:
        found = tightest.get(measure)
        if found is not None:
            left, one = found
            total, rest, reset = names[measure]
            wait = _until_empty(one.standing)
            again = moment(now + wait / 1000) if has_times else duration(wait)
            told += ((total, str(one.limit.rule.amount)), (rest, str(left)), (reset, again))
    return told


def _until_empty(standing: Standing) -> int:
    """All of it is there again when the minute and the one after it have passed without use; most of it sooner."""
    if standing.used > 0:
        return standing.reset + MINUTE
    return standing.reset if standing.before > 0 else 0


def duration(milliseconds: int) -> str:
    """Milliseconds in Go's form, as OpenAI's reset fields have it: `0s`, `120ms`, `1.5s`, `6m0s`, `1h0m30s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, rest = divmod(rest, 1000)
    seconds = f"{whole}{_THOUSANDTHS[rest]}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def moment(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 has them, to the nearest second: a clock that is a millisecond behind the
    store's would else tell the second before midnight."""
    return datetime.fromtimestamp(round(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def soft(stood: Sequence[Stood]) -> list[tuple[Limit, float]]:
    """Limits of which the configured share is used, and what share that is; the fullest first."""
    found = []
    for one in stood:
        rule, standing = one.limit.rule, one.standing
        # The most that can count is quickly told, and seldom enough.
        if standing.used + standing.before >= rule.warns_from:
            counted = used(rule, standing)
            if counted >= rule.warns_from:
                found.append((one.limit, counted / rule.amount))
    return sorted(found, key=lambda one: -one[1]) if found else found


def warning(nearly: Iterable[tuple[Limit, float]]) -> str:
    """The value of the warning field: `user tokens_per_minute 91%, tenant dollars_per_month 83%`."""
    text = ""
    for limit, share in nearly:
        one = f"{level_of(limit)} {limit.rule.kind.name} {min(999, int(share * 100))}%"
        if len(text) + len(one) + 2 > _WARNINGS:
            break
        text += f", {one}" if text else one
    return text


def level_of(limit: Limit) -> str:
    """Whose limit it is, in words that tell nobody a name: `tenant`, `user`, `user and model`."""
    levels = [level.value for level, _ in limit.subject.parts]
    return " and ".join(levels) if levels else limit.subject.name()

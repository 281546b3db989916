"""The words of the commands: amounts, moments, subjects, and the cells of their tables. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from extproc.price import PICO
from policies.limits.limit import KINDS, Limit, Measure, Window
from policies.limits.registry import Change
from policies.limits.settings import LimitEntry
from policies.limits.subjects import EVERYONE, Subject, SubjectError, parse
from policies.limits.tables import UNITS, Line, Model
from policies.limits.told import duration
from policies.limits.windows import MINUTE


def label(subject: Subject, tenants: Mapping[str, str]) -> str:
    """The subject as it can be typed, with the tenant's name in place of its id where the name belongs to it alone."""
    name = tenants.get(subject.tenant, "")
    if name in ("", EVERYONE) or name in tenants or sum(1 for other in tenants.values() if other == name) > 1:
        return str(subject)
    return str(Subject(name, subject.parts))


def relabel(text: str, tenants: Mapping[str, str]) -> str:
    """`label` of a subject as it is written in Redis; as it stands where it is none."""
    try:
        return label(parse(text), tenants)
    except SubjectError:
        return text


def sources(limit: Limit, changes: Iterable[Change]) -> str:
    """Where a limit comes from, in words. `changes`: the newest first."""
    source, kind = limit.rule.source, limit.rule.kind.name
    if source != "override":
        return source
    for one in changes:
        if one.action == "set" and one.subject == str(limit.subject) and one.kind == kind:
            return f"set by {one.by or 'somebody'}, {moment(one.at)}"
    return "set at run time"


def depends(open_entries: Iterable[tuple[int, LimitEntry, tuple[str, ...]]], kind: str) -> str:
    """`limits[1] for some role`: where a counter without a known limit may have one from."""
    named = [
        f"limits[{index}] for some {' and '.join(asked)}"
        for index, entry, asked in open_entries
        if kind in entry.amounts()
    ]
    return "; ".join(named) or "no limit"


def shown(amount: int, measure: Measure) -> str:
    """An amount for people: `12,500`, `$12.50`, `$0.000123`."""
    if measure is not Measure.DOLLARS:
        return f"{amount:,}"
    whole, rest = divmod(amount, PICO)
    decimals = f"{rest:06}"
    return f"${whole:,}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def with_unit(amount: int | None, measure: Measure) -> str:
    """`12,500 tokens`, `$12.50`; `no limit` for None."""
    if amount is None:
        return "no limit"
    return shown(amount, measure) + ("" if measure is Measure.DOLLARS else f" {UNITS[measure]}")


def moment(seconds: float) -> str:
    """Seconds since the epoch as a time of RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def when(milliseconds: int | None, kind: str, now: int) -> str:
    """When a limit resets: `in 1m12s`, and for days and months the moment as well."""
    if milliseconds is None or milliseconds == 0:
        return "-"
    if KINDS[kind].window is Window.MINUTE:
        return f"in {duration(-(-milliseconds // 1000) * 1000)}"
    hours, minutes = divmod(milliseconds // MINUTE, 60)
    short = f"{hours // 24}d{hours % 24}h" if hours >= 24 else f"{hours}h{minutes}m"
    return f"{moment((now + milliseconds) / 1000)}, in {short}"


LINE_COLUMNS: Final = ("kind", "limit", "used", "left", "share", "reserved", "resets", "from")


def line_row(one: Line, now: int) -> tuple[str, ...]:
    """The cells of `LINE_COLUMNS`."""
    measure = KINDS[one.kind].measure
    return (
        one.kind,
        "-" if one.limit is None else shown(one.limit, measure),
        shown(one.used, measure),
        "-" if one.left is None else shown(one.left, measure),
        percent(one.share) if one.limit != 0 else "suspended",
        shown(one.reserved, measure),
        when(one.resets_in, one.kind, now),
        one.source + (" (in shadow)" if one.shadow else ""),
    )


def line_style(one: Line) -> str | None:
    """Red where nothing is left, yellow where little is."""
    if one.limit == 0 or (one.share is not None and one.share >= 1):
        return "red"
    return "yellow" if one.share is not None and one.share >= 0.8 else None


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


CHANGE_COLUMNS: Final = ("when", "who", "what", "subject", "kind", "before", "after")


def change_row(one: Change, tenants: Mapping[str, str]) -> tuple[str, ...]:
    """The cells of `CHANGE_COLUMNS`."""
    kind = KINDS.get(one.kind)

    def cell(amount: int | None) -> str:
        return "-" if amount is None else shown(amount, kind.measure) if kind is not None else str(amount)

    return (
        moment(one.at),
        one.by,
        one.action,
        relabel(one.subject, tenants),
        kinds(one.kind),
        cell(one.before),
        cell(one.after),
    )


MODEL_COLUMNS: Final = ("model", "samples", "actual/estimated input", "factor", "mean output", "usual output")


def model_row(one: Model) -> tuple[str, ...]:
    """The cells of `MODEL_COLUMNS`."""
    return (
        one.model,
        f"{one.samples:,}",
        "-" if one.ratio is None else f"{one.ratio:.3f}",
        f"{one.factor:.3f}",
        f"{one.mean_output:,}",
        "-" if one.usual_output is None else f"{one.usual_output:,}",
    )


def kinds(named: str | Collection[str]) -> str:
    """Names of kinds, `all` where they are all of them."""
    listed = named.split(",") if isinstance(named, str) else list(named)
    return "all" if set(listed) >= set(KINDS) else ", ".join(listed)

"""A record in one line, and its values as people read them. Pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from policies.audit.record import Kind, Level, Name, Record

_WIDTHS: Final = (23, 12, 36, 23, 22, 30, 10, 11)
"""Users and applications are ids of 36 characters where Entra ID names them."""
_STYLES: Final = {Level.WARNING: "yellow", Level.ERROR: "red"}
_MICRO: Final = 1_000_000
_HAPPENED: Final = {Name.LEASE_EXPIRED: "charged as reserved"}


def line(record: Record) -> str:
    """One readable line: time, tenant, user, event, model, what was decided or how it ended, tokens, cost, latency."""
    cells = (
        clock(record.timestamp),
        record.tenant or record.tenant_id or "-",
        record.user_id or record.app_id or record.by or "-",
        record.event,
        record.model or "-",
        verdict(record),
        tokens(record) or "-",
        dollars(record.cost) or "-",
        latency(record),
    )
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip()


HEADING: Final = "  ".join(
    [
        name.ljust(width)
        for name, width in zip(
            ("time (UTC)", "tenant", "user", "event", "model", "decision", "tokens", "cost", "latency"),
            (*_WIDTHS, 0),
            strict=True,
        )
    ]
)
"""What stands over such lines."""


def style(record: Record) -> str:
    """The colour of its line on a terminal, or none."""
    if record.event == Name.JOURNAL_GAP:
        return "bold red"
    return next((colour for level, colour in _STYLES.items() if record.level == level), "")


def clock(timestamp: str) -> str:
    """`2026-11-01 09:30:00.123`: the time of a record to the millisecond."""
    return timestamp.replace("T", " ")[:23]


def verdict(record: Record) -> str:
    """What was decided, with the reason; of a closing how it ended, with the status; of an event what changed."""
    if record.kind == Kind.CLOSING:
        return " ".join(part for part in (record.ending or "ended", _number(record.status)) if part)
    if record.kind == Kind.DECISION:
        return " ".join(part for part in (record.decision, record.reason) if part) or "-"
    if record.event == Name.JOURNAL_GAP:
        return f"{record.lost:,} records lost"
    if record.event == Name.LIMIT_CHANGED:
        return _changed(record)
    if record.event in (Name.SESSION_BEGUN, Name.SESSION_ENDED) and record.session_id:
        return f"session {record.session_id}"
    if record.event in _HAPPENED:
        return _HAPPENED[Name(record.event)]
    if record.before or record.after:
        about = " ".join(part for part in (record.action, record.subject) if part)
        return f"{about}{': ' if about else ''}{record.before or 'nothing'} -> {record.after or 'nothing'}"
    return record.reason or record.action or record.result or "-"


def _changed(record: Record) -> str:
    """What was done to which limit, and of whom but the tenant: `set dollars_per_day: not set -> $5.00`.

    `not set`: at run time. What is configured counts then.
    """
    whose, _, kind = record.subject.rpartition(" ")
    whose = whose.removeprefix(record.tenant_id).removeprefix("/") if record.tenant_id else whose
    about = " ".join(part for part in (record.action, kind, whose and f"of {whose}") if part)
    if not record.before and not record.after:
        return about or "-"
    return f"{about}{': ' if about else ''}{_limit(kind, record.before)} -> {_limit(kind, record.after)}"


def _limit(kind: str, amount: str) -> str:
    if not (amount.isascii() and amount.isdigit()):
        return amount or "not set"
    return micro_dollars(int(amount)) if kind.startswith("dollars") else f"{int(amount):,}"


def tokens(record: Record) -> str:
    """What was used; of a decision what was reserved, as `<=`: it will not be more."""
    if record.tokens is not None:
        return f"{record.tokens.total:,}"
    if record.reserved is not None and record.reserved.tokens:
        return f"<= {record.reserved.tokens:,}"
    return ""


def dollars(cost: str) -> str:
    """`$0.00123` for a decimal of dollars, as `money` has it. Nothing for nothing known."""
    if not cost:
        return ""
    try:
        value = Decimal(cost)
    except InvalidOperation:
        return cost
    if not value.is_finite():
        return cost
    return money(value)


def micro_dollars(amount: int) -> str:
    """The same for an amount of micro-dollars."""
    return money(Decimal(amount) / _MICRO)


def money(amount: Decimal) -> str:
    """An amount of dollars: at least cents, and as many places as it has."""
    whole, _, rest = f"{amount:,.6f}".partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def latency(record: Record) -> str:
    """`842 ms`; `-` where nothing was measured."""
    if record.kind != Kind.CLOSING:
        return "-"
    millis = record.latency_ms or record.latency_us / 1000
    return f"{millis:,.0f} ms" if millis >= 1 or not record.latency_us else f"{record.latency_us:,} us"


def _number(value: int) -> str:
    return str(value) if value else ""


def several(count: int, one: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"

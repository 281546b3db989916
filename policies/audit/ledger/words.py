"""The ledger's answers, for people and for spreadsheets. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from extproc.printing import harmless_cell
from policies.audit.ledger.queries import By, Entry, Usage
from policies.audit.showing.words import money

COLUMNS: Final = ("requests", "refused", "open", "input", "cached", "output", "reasoning", "cost")
"""Of the table, after what is asked by."""
_CSV: Final = (
    *("requests", "refused", "open", "unpriced", "input", "output", "cached_input", "cache_write"),
    *("cache_write_1h", "audio_input", "audio_output", "reasoning", "total", "weighted", "cost"),
)

_DECIDED: Final = {"allow": "allowed", "respond": "the gateway answered", "none": "ended before there was a verdict"}


def dollars(amount: Decimal | None) -> str:
    """An amount in dollars: at least cents, and as many places as it has."""
    return "unknown" if amount is None else money(amount)


def usage_row(row: Usage) -> tuple[str, ...]:
    """A line of the table."""
    counts = (row.requests, row.refused, row.open, row.input, row.cached_input, row.output, row.reasoning)
    cost = dollars(row.cost) + (" and more" if row.unpriced else "")
    return (*(value or "-" for value in row.key), *(f"{count:,}" for count in counts), cost)


def usage_document(row: Usage, by: Sequence[By]) -> dict[str, Any]:
    """A row for programs. The cost is a text, in dollars: numbers of JSON are read as floats."""
    told = {name: getattr(row, name) for name in _CSV}
    return {**{str(one): value for one, value in zip(by, row.key, strict=True)}, **told, "cost": f"{row.cost:.6f}"}


def usage_csv(rows: Sequence[Usage], by: Sequence[By]) -> str:
    """All rows as RFC 4180 has it, with a header. What a spreadsheet would take for a formula begins with a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*by, *_CSV])
    for row in rows:
        told = usage_document(row, by)
        writer.writerow([harmless_cell(told[str(one)]) for one in by] + [told[name] for name in _CSV])
    return out.getvalue()


def entry_lines(entry: Entry) -> Iterator[tuple[str, str]]:
    """Name and value of all that is known of an exchange."""
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if value is None or value == "":
            continue
        if isinstance(value, datetime):
            yield name, value.isoformat(timespec="microseconds").replace("+00:00", "Z")
        elif isinstance(value, Decimal):
            yield name, dollars(value)
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        else:
            yield name, f"{value:,}" if isinstance(value, int) and name != "status" else str(value)
    if entry.closed and entry.cost is None and entry.total:
        yield "cost", "unknown"


def entry_document(entry: Entry) -> dict[str, Any]:
    """An exchange for programs; amounts of money are texts, in dollars."""
    told: dict[str, Any] = msgspec.to_builtins(entry)
    for name in ("cost", "reserved"):
        amount = getattr(entry, name)
        told[name] = None if amount is None else f"{amount:.6f}"
    return told


def headline(entry: Entry) -> str:
    """What became of an exchange, in a sentence."""
    who = entry.user_id or entry.app_id or "somebody"
    tenant = entry.tenant or entry.tenant_id or "no known tenant"
    asked = f"{who} of {tenant} asked for {entry.model or entry.operation or 'something'}"
    if entry.decision == "reject":
        refused = " ".join(part for part in (entry.policy, entry.reason) if part)
        return f"{asked}: refused by {refused}" + (f": {entry.why}" if entry.why else "")
    decided = _DECIDED.get(entry.decision or "", entry.decision)
    if not entry.closed:
        return f"{asked}: {decided}; its end is not known"
    # Nothing is unknown of what used no tokens.
    cost = f", {dollars(entry.cost)}" if entry.cost is not None or entry.total else ""
    return f"{asked}: {decided}; {entry.ending}{cost}"

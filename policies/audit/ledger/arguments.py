"""What is typed on the command line: what usage is told apart by, filters, a period. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from extproc.mistakes import hint
from policies.audit.ledger.queries import By, Filters, Question
from policies.audit.showing import times


class ArgumentError(ValueError):
    """What was typed cannot be meant. The message says what was expected."""


def dimensions(text: str) -> tuple[By, ...]:
    """What usage is told apart by, as `tenant,model`; nothing for an empty text.

    Raises:
        ArgumentError: one of them is not known, or stands there twice.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    found = tuple(_dimension(word) for word in words)
    if len(set(found)) < len(found):
        raise ArgumentError(f"--by {text}: one of them stands there twice")
    return found


def _dimension(word: str) -> By:
    try:
        return By(word)
    except ValueError:
        raise ArgumentError(f"--by {word!r}: expected some of {', '.join(By)}{hint(word, map(str, By))}") from None


def filters(given: Mapping[By, Sequence[str] | None]) -> Filters:
    """Only what was given."""
    return {by: tuple(values) for by, values in given.items() if values}


def question(by: str, since: str, until: str, given: Mapping[By, Sequence[str] | None], now: datetime) -> Question:
    """What is asked.

    Args:
        since, until: times as `policies.audit.showing.times` reads them; "" of `until` is now.
        now: with a time zone.

    Raises:
        ArgumentError: something is not to be understood, or the period is empty.
    """
    try:
        first, after = times.moment(since, "from", now), times.moment(until or "now", "to", now)
    except times.TimeError as error:
        raise ArgumentError(str(error)) from None
    if after <= first:
        raise ArgumentError(f"--to {until or 'now'} is not after --from {since}")
    return Question(dimensions(by), times.read(first), times.read(after), filters(given))

"""What a provider invoices: lines of a file, added up by day and model. Pure.

Amounts are held in whole parts of 10^-24 dollars: providers state some to forty places, and sums of a million lines must
not depend on their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import msgspec

FINEST: Final = 24
_MICRO: Final = 10**18
"""Such parts in a micro-dollar."""
_CONTEXT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN, Emin=-99_999, Emax=99_999)
_AMOUNT: Final = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,5})?")
_MOST: Final = Decimal(10) ** 15
_FIRST_YEAR: Final = 2015
_LAST_YEAR: Final = 2100
_DATED: Final = re.compile(r"(?:-[0-9]{4}-[0-9]{2}-[0-9]{2}|-20[0-9]{6}|@20[0-9]{6})$")


class InvoiceError(ValueError):
    """The file cannot be compared with anything. The message says where and why, for people."""


class Line(msgspec.Struct, frozen=True):
    """One line of an invoice.

    Attributes:
        day: `2026-11-20`, UTC.
        model: as `model_name` writes it; "" where the line is of all models.
        kind: of tokens, as in `extproc.price.Portions`; "" where it is not told.
        name: as it stands there.
        tier: `batch`, `priority`, `flex` or "".
        amount: in parts of 10^-24 dollars; None where the file tells tokens alone.
        tokens: by kind; empty where they are not told.
        requests: None where they are not told.
    """

    day: str
    model: str
    kind: str
    name: str
    tier: str = ""
    amount: int | None = None
    tokens: Mapping[str, int] = {}
    requests: int | None = None


class Billed(msgspec.Struct):
    """All lines of one day and model."""

    amount: int | None = None
    tokens: dict[str, int] = msgspec.field(default_factory=dict)
    requests: int | None = None
    kinds: set[str] = msgspec.field(default_factory=set)
    tiers: set[str] = msgspec.field(default_factory=set)

    def add(self, line: Line) -> None:
        """One more line."""
        if line.amount is not None:
            self.amount = (self.amount or 0) + line.amount
        if line.requests is not None:
            self.requests = (self.requests or 0) + line.requests
        for kind, count in line.tokens.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count
        if line.kind:
            self.kinds.add(line.kind)
        if line.tier:
            self.tiers.add(line.tier)

    @property
    def micro(self) -> int | None:
        """Micro-dollars, rounded half up once."""
        return None if self.amount is None else micro(self.amount)


class Invoice(msgspec.Struct):
    """A whole file.

    Attributes:
        provider: `openai` or `azure`.
        form: which export it is, for people.
        billed: by day and model.
        aside: what was left out, with its amount: other services, taxes, purchases. In parts of 10^-24 dollars.
    """

    provider: str
    form: str
    billed: dict[tuple[str, str], Billed] = msgspec.field(default_factory=dict)
    aside: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day.

        Raises:
            InvoiceError: there is none.
        """
        found = sorted({day for day, _ in self.billed})
        if not found:
            raise InvoiceError(f"no line of it is of a model ({self.form})")
        return found[0], found[-1]

    @property
    def by_model(self) -> bool:
        """Whether its lines name models."""
        return all(model for _, model in self.billed)


def collected(provider: str, form: str, lines: Iterable[Line | tuple[str, int]], alias: Mapping[str, str]) -> Invoice:
    """The invoice of these lines. A pair is what is left aside, and its amount.

    Args:
        alias: by the name of a model on the invoice, what it is called on record.
    """
    invoice = Invoice(provider, form)
    for line in lines:
        if isinstance(line, Line):
            model = alias.get(line.model, line.model)
            invoice.billed.setdefault((line.day, model), Billed()).add(line)
        else:
            invoice.aside[line[0]] = invoice.aside.get(line[0], 0) + line[1]
    return invoice


def micro(amount: int) -> int:
    """Micro-dollars of an amount in parts of 10^-24 dollars, rounded half up."""
    return (amount + _MICRO // 2) // _MICRO


def amount(text: str, rate: Decimal | None = None) -> int:
    """An amount as it stands in a file, in parts of 10^-24 dollars.

    Args:
        rate: dollars for one of its currency.

    Raises:
        ValueError: it is none, or not to be believed.
    """
    value = _CONTEXT.multiply(decimal(text), rate or Decimal(1))
    whole: Decimal = _CONTEXT.to_integral_value(_CONTEXT.scaleb(value, FINEST))
    return int(whole)


def decimal(text: str) -> Decimal:
    """A number as it stands in a file.

    Raises:
        ValueError: it is none, or not to be believed.
    """
    stripped = text.strip()
    if not _AMOUNT.fullmatch(stripped):
        raise ValueError("expected a number such as 12.5")
    try:
        value = _CONTEXT.create_decimal(stripped)
    except ArithmeticError:
        value = _MOST + 1
    if abs(value) > _MOST:
        raise ValueError("expected a number that is not so large")
    return value


def whole(text: str) -> int:
    """A count as it stands in a file; `10.0` is ten, and nothing is none.

    Raises:
        ValueError: it is no whole number.
    """
    value = decimal(text or "0")
    found = int(value)
    if found != value or found < 0:
        raise ValueError("expected a whole number")
    return found


def day(found: date) -> str:
    """A day of an invoice, `2026-11-20`.

    Raises:
        ValueError: nobody invoices it.
    """
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"the year {found.year} is not to be believed")
    return found.isoformat()


def model_name(name: str) -> str:
    """A model as both sides write it: in lower case, without the date of its version."""
    lowered = name.strip().lower()
    plain = _DATED.sub("", lowered).replace("gpt-35", "gpt-3.5")
    return plain or lowered

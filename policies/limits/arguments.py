"""What is typed on the command line: a subject, a kind, an amount, a caller. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from policies.limits.limit import KINDS, Kind, Measure
from policies.limits.plan import Caller
from policies.limits.subjects import EVERYONE, Level, Subject, SubjectError, parse

MOST: Final = 10**12
"""The largest amount, as in the settings."""
MOST_DOLLARS: Final = 10**9
_ORDER: Final = tuple(Level)
_SHOWN: Final = 5


class ArgumentError(ValueError):
    """What was typed cannot be meant. The message says what was expected."""


def subject(text: str, tenants: Mapping[str, str], *, unseen: bool = False) -> Subject:
    """The subject that is meant. A tenant's name stands for its id.

    Args:
        tenants: the name of every tenant that has been seen, by its id.
        unseen: a tenant that has not been seen is taken by its id as it stands there.

    Raises:
        ArgumentError: no subject, or no such tenant.
    """
    try:
        found = parse(text)
    except SubjectError as error:
        raise ArgumentError(f"{text!r} is no subject: {error}") from error
    if found.tenant == EVERYONE:
        return found
    return Subject(tenant(found.tenant, tenants, unseen=unseen), found.parts)


def tenant(text: str, tenants: Mapping[str, str], *, unseen: bool = False) -> str:
    """The id of the tenant that is meant by its id or its name.

    Raises:
        ArgumentError: there is none, or several bear the name.
    """
    if text in tenants:
        return text
    named = [one for one, name in tenants.items() if name == text]
    if len(named) == 1:
        return named[0]
    if named:
        raise ArgumentError(f"several tenants are called {text!r}: say which by its id: {_some(named)}")
    if unseen:
        return text
    known = {name or one for one, name in tenants.items()}
    near = difflib.get_close_matches(text, known, 1)
    hint = f": did you mean {near[0]!r}?" if near else f", known are {_some(known)}" if known else ""
    raise ArgumentError(f"no tenant {text!r} has been seen{hint}")


def kind(text: str) -> Kind:
    """The kind of this name.

    Raises:
        ArgumentError: there is none.
    """
    found = KINDS.get(text)
    if found is None:
        raise ArgumentError(f"{text!r} is no kind of limit: expected one of {', '.join(KINDS)}")
    return found


def amount(text: str, of: Kind) -> int:
    """The amount in the unit in which this kind is counted. Dollars are typed as dollars: `12.50`.

    Raises:
        ArgumentError: no such amount.
    """
    expected = f"{of.name}: expected a whole number from 0 to {MOST:,}, not {text!r}"
    if of.measure is Measure.DOLLARS:
        expected = f"{of.name}: expected US dollars from 0 to {MOST_DOLLARS:,} with at most six decimals, not {text!r}"
    decimals, most = (6, MOST_DOLLARS) if of.measure is Measure.DOLLARS else (0, MOST)
    try:
        value = Decimal(text) if text.isascii() else Decimal("nan")
    except InvalidOperation as error:
        raise ArgumentError(expected) from error
    exponent = value.as_tuple().exponent
    # By its digits, and bounded before anything is worked out with it: a product would be rounded to look whole.
    if not isinstance(exponent, int) or not 0 <= value <= most or exponent < -decimals:
        raise ArgumentError(expected)
    return int(value.scaleb(decimals))


def levels(text: str) -> tuple[Level, ...]:
    """Levels of subjects within a tenant: `user`, or a pair: `user,model`; `tenant` for the tenants themselves.

    Raises:
        ArgumentError: there are no such subjects.
    """
    allowed = [level for level in Level if level is not Level.EVERYONE]
    names = text.split(",")
    wrong = [name for name in names if name not in [level.value for level in allowed]]
    if wrong or len(names) > 2 or len(set(names)) < len(names) or (len(names) == 2 and Level.TENANT in names):
        raise ArgumentError(f"--level {text}: expected one of {', '.join(allowed)}, or two of them such as user,model")
    return tuple(sorted(map(Level, names), key=_ORDER.index))


def caller(
    of: Subject,
    tenants: Mapping[str, str],
    *,
    roles: Iterable[str] = (),
    model: str = "",
    app: str = "",
    department: str = "",
) -> Caller:
    """Somebody who is this subject, and of whom no more is known than is said here.

    Raises:
        ArgumentError: the subject says otherwise.
    """
    values = {level.value: value for level, value in of.parts}
    for level, said in (("model", model), ("app", app), ("department", department)):
        if said and values.setdefault(level, said) != said:
            raise ArgumentError(f"--{level} {said}: the subject says {level}={values[level]}")
    # Of everyone no tenant is known: entries for tenants are not about it.
    own = "" if of.tenant == EVERYONE else of.tenant
    return Caller(
        own,
        tenants.get(own, ""),
        values.get("department", ""),
        values.get("user", ""),
        values.get("app", ""),
        frozenset(roles),
        values.get("model", ""),
        values.get("agent", ""),
        values.get("session", ""),
    )


def _some(names: Iterable[str]) -> str:
    listed: Sequence[str] = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")

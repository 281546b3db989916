"""What is looked for: the classes of values that a record must not hold, and a finding of one. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """The classes. Each value is the name in the label that takes a value's place."""

    SECRET = "secret"  # noqa: S105
    """API keys, tokens, credentials, private keys, passwords."""
    CARD = "card"
    """Payment card numbers."""
    IBAN = "iban"
    NATIONAL_ID = "national_id"
    """What a state knows a person by."""
    EMAIL = "email"
    PHONE = "phone"


class Finding(NamedTuple):
    """A value that was found: where it stands in the text, its class, and its normal form, which is what is hashed."""

    start: int
    end: int
    kind: str
    value: str


LABEL: Final = re.compile(r"\[[a-z][a-z0-9_]{0,30}:[0-9a-f]{8}\]|\[too long: [0-9]{1,20} (?:characters|items)\]")
"""What stands in place of a value. It is never taken for a value itself."""


def label(kind: str, digest: str) -> str:
    """The text in place of a value, by its class and its keyed hash in hexadecimal."""
    return f"[{kind}:{digest[:8]}]"


def too_long(length: int) -> str:
    """The text in place of a string that is too long to be looked at."""
    return f"[too long: {length} characters]"


def looks_random(token: str, least: int) -> bool:
    """Whether a word is of `least` characters, and of letters and digits, or of both cases beyond its first letter."""
    if len(token) < least:
        return False
    digit = any(character.isdigit() for character in token)
    letter = any(character.isalpha() for character in token)
    inner = token[1:]
    return (digit and letter) or (inner != inner.lower() and inner != inner.upper())

"""Facts about the caller from claims that the configuration names: department, cost centre, tenant name.

They end up in header fields, metric labels and budget keys. A value that is not plainly a name is dropped and noted, not
repaired: guessing what it should have been could book costs on somebody else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from policies.entra.settings import ClaimNames

Notes: TypeAlias = tuple[str, ...]

FACTS: Final = ("department", "cost_centre", "tenant_name")
_VALUE: Final = re.compile(r"\w(?:[\w .,&/+:()'-]{0,62}[\w)])?")


def mapped(claims: Mapping[str, Any], names: ClaimNames) -> tuple[dict[str, str], Notes]:
    """The value of each fact ("" where there is none), and notes on values that were dropped."""
    values: dict[str, str] = {}
    notes: list[str] = []
    for fact in FACTS:
        name: str | None = getattr(names, fact)
        value = None if name is None else claims.get(name)
        if value is not None and not _is_name(value):
            notes.append(f"{fact} is dropped: the claim {name} is not a name of at most 64 letters")
            value = None
        values[fact] = value or ""
    return values, tuple(notes)


def _is_name(value: Any) -> bool:
    """Whether a value is a short, composed (NFC) name: two spellings that look alike would be two departments."""
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None and unicodedata.is_normalized("NFC", value)

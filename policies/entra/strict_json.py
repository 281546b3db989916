"""JSON objects, read so that nobody can read them otherwise: UTF-8, no name twice, no NaN, no bottomless nesting.

RFC 8725 section 2.4 and RFC 7515 section 4 ask for unique names: with duplicates, two readers of one token can see two
different tokens.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_object(data: bytes) -> dict[str, Any]:
    """The members of the JSON object in `data`.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, a name twice at any depth, or nested too deeply.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("expected an object")  # noqa: TRY004  (one kind of error for all that is wrong with the text)
    return value

"""JSON as compact text: what is not understood is counted by it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import orjson

_MOST: Final = 1_000_000
"""Values that are walked, of what has no JSON. A body holds half as many."""


def compact(value: object) -> str:
    """The value as JSON without spaces. Of a value that has none, or is nested too deeply, a text that is about as long.

    Never raises.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Integers beyond 64 bits, more than 254 levels, halves of surrogate pairs.
        return _walked(value)


def _walked(value: object) -> str:
    found: list[str] = []
    ahead = [value]
    while ahead and len(found) < _MOST:
        one = ahead.pop()
        if isinstance(one, str):
            found.append(json.dumps(one, ensure_ascii=False) + ",")
        elif isinstance(one, Mapping):
            found.append("{},")
            for key, held in one.items():
                ahead += (held, key)
        elif isinstance(one, list | tuple):
            found.append("[],")
            ahead.extend(one)
        elif isinstance(one, int) and one.bit_length() > 1_024:
            # Python refuses to print integers of many digits.
            found.append("9" * (one.bit_length() // 3) + ",")
        elif one is None or isinstance(one, int | float):
            found.append(f"{one},")
        else:
            found.append(f"{type(one).__name__},")
    return "".join(found)

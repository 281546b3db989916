"""Durations and sizes as Kubernetes writes them: `1m30s`, `500ms`, `50Mi`. Pure."""

from __future__ import annotations

import re
from typing import Final

from extproc.doctor.tree import Tree

_DURATION: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s)){1,4}")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(Ki|Mi|Gi|k|M|G|)")
_FACTORS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def seconds(tree: Tree, *path: str) -> float | None:
    """The duration under these names (GEP-2257, and Go's with fractions), in seconds; None where there is none.

    Raises:
        UnreadableError: it is none.
    """
    here = tree.at(*path)
    if here.value is None:
        return None
    if not isinstance(here.value, str) or not _DURATION.fullmatch(here.value):
        raise here.wrong("a duration such as 5s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(here.value))


def size(tree: Tree, *path: str) -> float | None:
    """The quantity under these names, in bytes; None where there is none.

    Raises:
        UnreadableError: it is none.
    """
    here = tree.at(*path)
    if here.value is None:
        return None
    text = str(here.value) if isinstance(here.value, int) and not isinstance(here.value, bool) else here.value
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise here.wrong("a quantity such as 50Mi")
    return float(match[1]) * _FACTORS[match[2]]

"""Patterns of names and of paths, checked when they are configured and compiled once.

Names (models, upstreams, tools) are exact or globs as in `fnmatch`: `*`, `?`, `[...]`, case-sensitive. Paths have two
wildcards: `*` stands for any characters within one segment, `**` for any number of whole segments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

MAX_NAME: Final = 256
_CLASS: Final = re.compile(r"\[!?\]?[^\]]*(\]?)")
_RANGE: Final = re.compile(r"(.)-(.)", re.DOTALL)
_PATH_PATTERN: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-F]{2})*")
# The host refuses such paths before any policy sees them. A wildcard must not be what lets one pass if it ever does not.
_ODD_PATH: Final = re.compile(r"//|\\|/\.{1,2}(?:[/;]|$)|[\x00-\x20\x7f]|%(?:00|2[eEfF]|5[cC])")


def is_glob(pattern: str) -> bool:
    """Whether `pattern` stands for more than itself."""
    return any(character in pattern for character in "*?[")


def is_plain_name(name: str) -> bool:
    """Whether `name` can be compared and shown: 1 to 256 characters, none of them a control or format character."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def check_name_glob(pattern: str) -> str:
    """The pattern itself.

    Raises:
        ValueError: it is empty, too long, holds control characters or outer spaces, or a class that is not well formed.
    """
    if not is_plain_name(pattern) or pattern != pattern.strip():
        raise ValueError("expected a name or glob of 1 to 256 printable characters, without outer spaces")
    for found in _CLASS.finditer(pattern):
        if not found[1]:
            raise ValueError(f"malformed glob {pattern!r}: the bracket is not closed")
        if any(first > last for first, last in _RANGE.findall(found[0][1:-1].removeprefix("!"))):
            raise ValueError(f"malformed glob {pattern!r}: a range that runs backwards matches nothing")
    return pattern


def check_path_glob(pattern: str) -> str:
    """The pattern itself.

    Raises:
        ValueError: it could never match a path in normal form, or it is more than the wildcards can say.
    """
    if not _PATH_PATTERN.fullmatch(pattern) or _ODD_PATH.search(pattern) or len(pattern) > MAX_NAME:
        raise ValueError("expected a path that begins with a slash, without query, empty or dot segments")
    segments = pattern.split("/")
    if any("**" in segment and segment != "**" for segment in segments):
        raise ValueError(f"malformed path {pattern!r}: `**` stands for whole segments, alone between slashes")
    # One of each keeps matching linear in the length of a hostile path.
    if segments.count("**") > 1 or any(segment != "**" and segment.count("*") > 1 for segment in segments):
        raise ValueError(f"malformed path {pattern!r}: expected at most one `**`, and one `*` in a segment")
    return pattern


class Names:
    """A set of names given by patterns; `in` asks whether one of them matches."""

    __slots__ = ("_all", "_exact", "_match", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._all = "*" in self.patterns
        self._exact = frozenset(pattern for pattern in self.patterns if not is_glob(pattern))
        globs = [translate(pattern) for pattern in self.patterns if is_glob(pattern)]
        self._match = re.compile("|".join(globs)).match if globs else None

    def __contains__(self, name: str) -> bool:
        if self._all or name in self._exact:
            return True
        return self._match is not None and self._match(name) is not None

    def __bool__(self) -> bool:
        return bool(self.patterns)


class Paths:
    """A set of paths given by patterns; `in` asks whether one of them matches."""

    __slots__ = ("_match",)

    def __init__(self, patterns: Iterable[str]) -> None:
        self._match = re.compile("|".join(_path_regex(pattern) for pattern in patterns)).fullmatch

    def __contains__(self, path: str) -> bool:
        return self._match(path) is not None and _ODD_PATH.search(path) is None


def _path_regex(pattern: str) -> str:
    """`/a/*` as `/a/[^/]+`, `/a/**` as everything below `/a/`, `/a/**/b` also as `/a/b`."""
    head, deep, tail = pattern.partition("/**")
    if not deep:
        return _segments(head)
    return _segments(head) + (r"(?:/[^/]+)*" + _segments(tail) if tail else r"/.*")


def _segments(pattern: str) -> str:
    return "/".join(_segment(segment) for segment in pattern.split("/"))


def _segment(segment: str) -> str:
    if segment == "*":
        return "[^/]+"
    return "[^/]*".join(re.escape(part) for part in segment.split("*"))

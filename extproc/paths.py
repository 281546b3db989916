"""The normal form of paths that are matched by rules.

What the gateway matches must be what the upstream serves. So a path that two servers could read differently is not
repaired but refused: dot segments, empty segments, encoded slashes, backslashes, encoded unreserved characters (RFC 3986
section 6.2.2.2 lets a server decode those), double encoding, escapes that are no UTF-8 (overlong forms hide dots and
slashes), anything outside the grammar of RFC 3986 section 3.3.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_PATH: Final = 2048
_PCHARS: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-F]{2})*")
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]|-]|%[0-9A-Fa-f]{2})*")
_REFUSED_ESCAPES: Final = re.compile(r"%(?:2[DEF5]|3[0-9]|4[1-9A-F]|5[0-9ACF]|6[1-9A-F]|7[0-9AEF]|0[0-9A-F]|1[0-9A-F])")
"""Escapes of unreserved characters, slash, backslash, percent and controls."""


def is_normal(path: str) -> bool:
    """Whether every server reads `path` as the same sequence of segments."""
    if not path.startswith("/") or len(path) > MAX_PATH or "//" in path:
        return False
    if not _PCHARS.fullmatch(path) or _REFUSED_ESCAPES.search(path):
        return False
    if "%" in path and not _is_utf8(unquote_to_bytes(path)):
        return False
    return not any(segment in (".", "..") for segment in path.split("/"))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_query(query: str) -> bool:
    """Whether `query` is a query of RFC 3986 section 3.4 (brackets and bars, which SDKs send, are let pass)."""
    return len(query) <= MAX_PATH and _QUERY.fullmatch(query) is not None

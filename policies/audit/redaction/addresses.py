"""E-mail addresses, in every script. Pure.

The part before the at sign is all that may stand there without quotes, and letters of every script; the domain has a top
level of letters (or is an address in brackets), so that `package@1.2.3` is none. Addresses without a dot in the domain,
and such as are told in words (`at`, `dot`), are not found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from policies.audit.redaction.kinds import Finding, Kind

_LOCAL: Final = r"\s@<>()\[\]{},;:\"|=&?/\\"
# A run begins where the one before ends, and is never looked at again: linear, however long it is.
_ADDRESS: Final = re.compile(
    rf"(?<![^{_LOCAL}])[^{_LOCAL}]++@(?:\[[0-9A-Fa-f.:]{{3,45}}\]"
    r"|(?:[\w-][^\s\x00-\x2c\x2f\x3a-\x40\x5b-\x60\x7b-\x7f.]{0,62}\.){1,8}"
    r"(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_][^\s\x00-\x40\x5b-\x60\x7b-\x7f]{1,62}))"
)
_QUOTED: Final = re.compile(r"\"[^\"\s@]{1,64}+\"@[\w-][\w.-]{0,200}\.[^\W\d_]{2,63}")
_EDGES: Final = "'`*.!#$%^~+-_"


def emails(text: str) -> Iterator[Finding]:
    """The addresses in a text. Their normal form is NFKC, in lower case."""
    if "@" not in text:
        return
    for found in (*_ADDRESS.finditer(text), *_QUOTED.finditer(text)):
        address = found[0].lstrip(_EDGES)
        if address.startswith("@"):
            address = found[0]
        normal = unicodedata.normalize("NFKC", address).casefold()
        yield Finding(found.end() - len(address), found.end(), Kind.EMAIL, normal)

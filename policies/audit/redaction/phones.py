"""Phone numbers. Pure.

Found are: international numbers that begin with `+` or `00` (E.164, seven to fifteen digits); numbers with a trunk zero
(most of Europe, Japan, Australia), in groups or of ten or eleven digits; numbers of North America with brackets, hyphens
or full stops; and seven to fifteen digits in any grouping right after a word such as `phone` or `tel`. Other numbers
without a sign that they are to be called are taken for ordinary numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policies.audit.redaction.digits import Run
from policies.audit.redaction.kinds import Finding, Kind

_INTERNATIONAL: Final = re.compile(
    r"(?<![0-9A-Za-z_+])(?:\+|00(?=[ \-./()]{0,2}[1-9]))[ ]?\(?[1-9](?:[ \-./()]{0,3}[0-9]){6,14}(?![0-9])"
)
_TRUNK: Final = re.compile(
    r"(?<![0-9A-Za-z_+])(?<![0-9][./\-])\(?0[1-9](?:[0-9]{8,9}|[0-9]{0,4}\)?(?:[ ./\-]{1,3}[0-9]{2,9}){1,5})"
    r"(?![0-9A-Za-z])"
)
_AMERICAN: Final = re.compile(
    r"(?<![0-9A-Za-z_+])(?<![0-9][.\-])(?:1[ .\-]?)?(?:\([2-9][0-9]{2}\)[ .\-]?|[2-9][0-9]{2}[.\-])"
    r"[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9A-Za-z])(?![.\-][0-9])"
)
_DATE: Final = re.compile(r"[0-9]{2}([./\-])[0-9]{2}\1(?:19|20)[0-9]{2}(?![0-9])")
_WORD: Final = re.compile(
    r"(?:phone|\btel|fax|mobile?|\bcell|whatsapp|\bsms|handy|festnetz|t[eé]l[eéè]f|m[oó]vil|celular|rufnummer|portable)"
    r"[^0-9]{0,16}$"
)
_MARKS: Final = (
    *("phone", "tel", "fax", "mobil", "cell", "whatsapp", "sms", "handy", "festnetz", "tél", "móvil", "movil", "celular"),
    *("rufnummer", "portable"),
)
_NO_DIGIT: Final = re.compile("[^0-9]+")


def phones(text: str) -> Iterator[Finding]:
    """The numbers in a text that look like ones to be called. Normal form: digits, with a plus if international."""
    for found in _INTERNATIONAL.finditer(text) if "+" in text or "00" in text else ():
        digits = _NO_DIGIT.sub("", found[0])
        yield Finding(found.start(), found.end(), Kind.PHONE, "+" + digits.removeprefix("00"))
    for found in _TRUNK.finditer(text):
        digits = _NO_DIGIT.sub("", found[0])
        if 9 <= len(digits) <= 12 and not _DATE.match(found[0]):
            yield Finding(found.start(), found.end(), Kind.PHONE, digits)
    for found in _AMERICAN.finditer(text) if "-" in text or "." in text or ")" in text else ():
        yield Finding(found.start(), found.end(), Kind.PHONE, _NO_DIGIT.sub("", found[0]).removeprefix("1"))


def names_phones(text: str) -> bool:
    """Whether there may be a word in a text that says that a number is to be called."""
    lowered = text.lower()
    return any(mark in lowered for mark in _MARKS)


def phone(run: Run) -> Finding | None:
    """The number that a run begins with, where a word before it says that it is one to be called."""
    if not run.alone or not _WORD.search(run.context):
        return None
    for count in range(min(15, len(run.digits)), 6, -1):
        end = run.end(count)
        if end is not None:
            return Finding(run.start, end, Kind.PHONE, run.digits[:count])
    return None

"""National identification numbers, by their form and check digits. Pure.

A number whose check passes for more than one in fifty of all numbers of its length, and that has no form of its own, is
found only behind a word that names it: bare US social security numbers, Dutch BSN, Indian Aadhaar numbers without spaces
and Swedish personal numbers without their hyphen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from policies.audit.redaction.checksums import codice_fiscale, cpf, luhn, mod_11_10, verhoeff, weighted
from policies.audit.redaction.digits import Run
from policies.audit.redaction.kinds import Finding, Kind

_US: Final = re.compile(r"\bssn|social.?sec|\bss ?#|\bitin\b")
_NL: Final = re.compile(r"\bbsn|burgerservice|sofi|citizen service")
_IN: Final = re.compile(r"a+dh?a+r|uidai|आधार")
_SE: Final = re.compile(r"person.{0,2}num|\bpnr|personal.{0,16}num|samordningsn")
_DE: Final = re.compile(r"steuer|\bidnr|tax.?id|tin\b")
_PL: Final = re.compile(r"pesel")
_NINO: Final = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]"
    r"[ \-.]?[0-9]{2}[ \-.]?[0-9]{2}[ \-.]?[0-9]{2}[ \-.]?[A-D](?![A-Za-z0-9])",
    re.IGNORECASE | re.ASCII,
)
_SPANISH: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}|[XYZ][ \-.]?[0-9]{7})[ \-.]?[A-HJ-NP-TV-Z](?![A-Za-z0-9])",
    re.IGNORECASE | re.ASCII,
)
_SPANISH_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_FISCALE: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{3} ?[A-Z]{3} ?[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}"
    r" ?[A-Z][0-9LMNP-V]{3}[A-Z](?![A-Za-z0-9])",
    re.IGNORECASE | re.ASCII,
)
_NIR: Final = re.compile(
    r"(?<![0-9A-Za-z])([1-478])[ .\-]?([0-9]{2})[ .\-]?(0[1-9]|1[0-2]|[2-9][0-9])[ .\-]?([0-9]{2}|2[ABab])"
    r"[ .\-]?([0-9]{3})[ .\-]?([0-9]{3})[ .\-/]{0,3}([0-9]{2})(?![0-9A-Za-z])"
)
_SWEDISH: Final = re.compile(r"(?<![0-9A-Za-z])(19|20)?([0-9]{2})([0-9]{2})([0-9]{2})[\-+]([0-9]{4})(?![0-9A-Za-z])")
_SEPARATOR: Final = re.compile(r"[ .\-/]+")


def identities(text: str) -> Iterator[Finding]:
    """The numbers that have letters or signs of their own: NINO, DNI, NIE, codice fiscale, NIR, personnummer."""
    for found in _NINO.finditer(text):
        yield _finding(found)
    for found in _SPANISH.finditer(text):
        number = _SEPARATOR.sub("", found[0]).upper()
        digits = number[:-1].translate({ord("X"): "0", ord("Y"): "1", ord("Z"): "2"})
        if _SPANISH_LETTERS[int(digits) % 23] == number[-1]:
            yield _finding(found)
    for found in _FISCALE.finditer(text):
        if codice_fiscale(_SEPARATOR.sub("", found[0]).upper()):
            yield _finding(found)
    count = sum(map(text.count, "0123456789"))
    if count >= 14:
        yield from _french(text)
    if count >= 10 and ("-" in text or "+" in text):
        yield from _swedish_with_sign(text)


def _french(text: str) -> Iterator[Finding]:
    for found in _NIR.finditer(text):
        number = "".join(found.groups()[:-1]).upper().replace("2A", "19", 1).replace("2B", "18", 1)
        if 97 - int(number) % 97 == int(found[7]):
            yield _finding(found)


def _swedish_with_sign(text: str) -> Iterator[Finding]:
    for found in _SWEDISH.finditer(text):
        digits = "".join(found.groups()[1:])
        if _born(digits[2:4], digits[4:6], 60) and luhn(digits) and not _moment(found, text):
            yield Finding(found.start(), found.end(), Kind.NATIONAL_ID, digits)


def _finding(found: re.Match[str]) -> Finding:
    return Finding(found.start(), found.end(), Kind.NATIONAL_ID, _SEPARATOR.sub("", found[0]).upper())


def _born(month: str, day: str, more: int = 0) -> bool:
    return 1 <= int(month) <= 12 and (1 <= int(day) <= 31 or 1 <= int(day) - more <= 31)


def _moment(found: re.Match[str], text: str) -> bool:
    """Whether it is as likely a date and a time of day, as in names of files and versions: `20241121-1338`."""
    recent = found[1] == "20" and int(found[2]) >= 15
    time = found[5] < "2400" and found[5][2:] < "60"
    return recent and time and not _SE.search(text[max(0, found.start() - 48) : found.start()].lower())


def identity(run: Run) -> Finding | None:
    """The national number of digits alone that a run begins with."""
    if run.is_fraction or not run.alone:
        return None
    for count, is_one in _FORMS:
        end = run.end(count)
        if end is not None and is_one(run, run.digits[:count], run.groups(count)):
            return Finding(run.start, end, Kind.NATIONAL_ID, run.digits[-10:] if count == 12 else run.digits[:count])
    return None


def _twelve(run: Run, digits: str, groups: tuple[int, ...]) -> bool:
    return _aadhaar(run, digits, groups) or (_SE.search(run.context) is not None and _swedish(digits[2:]))


def _aadhaar(run: Run, digits: str, groups: tuple[int, ...]) -> bool:
    if digits[0] in "01" or not (groups == (4, 4, 4) or _IN.search(run.context)):
        return False
    years = groups != (12,) and all(part[:2] in ("19", "20") for part in (digits[:4], digits[4:8], digits[8:]))
    return not years and verhoeff(digits)


def _eleven(run: Run, digits: str, groups: tuple[int, ...]) -> bool:
    if groups in ((11,), (3, 3, 3, 2)) and cpf(digits):
        return True
    if (groups in ((11,), (2, 3, 3, 3)) or _DE.search(run.context)) and _german(digits):
        return True
    return (len(groups) == 1 or _PL.search(run.context) is not None) and _polish(digits)


def _german(digits: str) -> bool:
    """Of the first ten digits one stands there twice or thrice, and every other at most once."""
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    return digits[0] != "0" and counts[0] in (2, 3) and counts[1] == 1 and mod_11_10(digits)


def _polish(digits: str) -> bool:
    month = int(digits[2:4]) % 20
    return _born(f"{month}", digits[4:6]) and (
        10 - weighted(digits[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    ) % 10 == int(digits[10])


def _ten(run: Run, digits: str, _groups: tuple[int, ...]) -> bool:
    return _SE.search(run.context) is not None and _swedish(digits)


def _swedish(digits: str) -> bool:
    return _born(digits[2:4], digits[4:6], 60) and luhn(digits)


def _nine(run: Run, digits: str, groups: tuple[int, ...]) -> bool:
    if groups == (3, 2, 4) or _US.search(run.context):
        area, group, serial = digits[:3], digits[3:5], digits[5:]
        if area not in ("000", "666") and group != "00" and serial != "0000" and area < "900":
            return True
    if not ((groups == (4, 2, 3) and "." in run.separators(9)) or _NL.search(run.context)):
        return False
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and digits != "000000000"


_FORMS: Final[tuple[tuple[int, Callable[[Run, str, tuple[int, ...]], bool]], ...]] = (
    (12, _twelve),
    (11, _eleven),
    (10, _ten),
    (9, _nine),
)

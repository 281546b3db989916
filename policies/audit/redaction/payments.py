"""Payment card numbers and IBANs. Pure.

Cards: 13 to 19 digits that begin as issuers' numbers do (ISO/IEC 7812: 22 to 27, 3 to 6, 81, 82) and whose last is right
by Luhn; in groups of one length, or in two groups, or as Diners and American Express print them; in other groups where a
word such as `card` stands before. The fraction of a decimal number is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from policies.audit.redaction.checksums import luhn, mod_97
from policies.audit.redaction.digits import Run
from policies.audit.redaction.kinds import Finding, Kind

_ISSUER: Final = re.compile("2[2-7]|[3-6]|8[12]")
_PRINTED: Final = frozenset({(4, 6, 5), (4, 6, 4), (6, 4, 4), (6, 4, 5)})
_CARD_WORDS: Final = re.compile(
    r"card|visa|amex|american express|credit|debit|\bpan\b|karte|carte|tarjeta|cart[aã]o|cc\b"
)
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:iban)?(?=([A-Za-z]{2}[0-9]{2}(?:[ \-.]?[A-Za-z0-9]){11,30}))", re.IGNORECASE
)
_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FO GL NL SD FK",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU XK MN",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ TL OM SO",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""The registry of SWIFT: how long an IBAN of each country is."""


def card(run: Run) -> Finding | None:
    """The card number that a run begins with."""
    if not _ISSUER.match(run.digits) or len(run.digits) < 13 or run.is_fraction or not run.alone:
        return None
    for count in range(min(19, len(run.digits)), 12, -1):
        digits = run.digits[:count]
        if count < 16 and digits[0] == "2":
            break
        end = run.end(count)
        if end is not None and luhn(digits) and _printed(run, count):
            return Finding(run.start, end, Kind.CARD, digits)
    return None


def _printed(run: Run, count: int) -> bool:
    groups = run.groups(count)
    if len(groups) <= 2:
        return run.separators(count) != "."
    even = len(set(groups[:-1])) == 1 and groups[-1] <= groups[0]
    return even or groups in _PRINTED or _CARD_WORDS.search(run.context) is not None


def ibans(text: str) -> Iterator[Finding]:
    """The IBANs in a text, of their country's length and with right check digits."""
    for found in _IBAN.finditer(text):
        written = found[1]
        length = _IBAN_LENGTHS.get(written[:2].upper())
        if length is None:
            continue
        places = [place for place, character in enumerate(written) if character.isalnum()]
        if len(places) < length:
            continue
        end = found.start(1) + places[length - 1] + 1
        if end < len(text) and text[end].isalnum() and text[end].isascii():
            continue
        iban = "".join(written[place] for place in places[:length])
        if (iban.isupper() or iban.islower()) and mod_97(iban.upper()):
            yield Finding(found.start(1), end, Kind.IBAN, iban.upper())

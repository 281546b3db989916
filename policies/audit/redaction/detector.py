"""All that is to be found in one text: every class that is on, in every view of it. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from policies.audit.redaction.addresses import emails
from policies.audit.redaction.assignments import assignments, is_marked
from policies.audit.redaction.credentials import credentials
from policies.audit.redaction.digits import ENOUGH, runs, without_ids
from policies.audit.redaction.identities import identities, identity
from policies.audit.redaction.kinds import LABEL, Finding, Kind
from policies.audit.redaction.payments import card, ibans
from policies.audit.redaction.phones import names_phones, phone, phones
from policies.audit.redaction.views import views

_RANKS: Final[dict[str, int]] = {kind.value: rank for rank, kind in enumerate(Kind)}


class _Ranked(NamedTuple):
    start: int
    end: int
    rank: int
    layer: int
    finding: Finding


class Detector:
    """Finds the values of some classes, and of patterns of one's own."""

    def __init__(self, kinds: Iterable[str], patterns: Mapping[str, str]) -> None:
        kinds = frozenset(kinds)
        self._secrets = Kind.SECRET in kinds
        self._emails = Kind.EMAIL in kinds
        self._ibans = Kind.IBAN in kinds
        self._identities = Kind.NATIONAL_ID in kinds
        self._phones = Kind.PHONE in kinds
        self._runs = tuple(
            (kind, find)
            for kind, find in ((Kind.CARD, card), (Kind.NATIONAL_ID, identity), (Kind.PHONE, phone))
            if kind in kinds
        )
        self._numbers = bool(kinds & {Kind.CARD, Kind.IBAN, Kind.NATIONAL_ID, Kind.PHONE})
        self._patterns = tuple((name, re.compile(pattern)) for name, pattern in patterns.items())

    def find(self, value: str) -> list[Finding]:
        """What is to be replaced in a text (sound: `policies.audit.redaction.views.sound`), by place, none in another."""
        found = []
        for layer, view in enumerate(views(value)):
            for finding in self._in(view.text):
                if finding.end > finding.start:
                    start, end = view.span(finding.start, finding.end)
                    found.append(_Ranked(start, end, _RANKS.get(finding.kind, -1), -layer, finding))
        return _merged(value, found) if found else []

    def _in(self, text: str) -> Iterator[Finding]:
        if self._secrets:
            lowered = text.lower()
            yield from credentials(text, lowered)
            if is_marked(lowered):
                yield from assignments(text)
        if self._emails:
            yield from emails(text)
        if self._numbers and ENOUGH.search(text):
            yield from self._numbers_in(without_ids(text))
        for name, pattern in self._patterns:
            for match in pattern.finditer(text):
                yield Finding(match.start(), match.end(), name, match[0])

    def _numbers_in(self, text: str) -> Iterator[Finding]:
        if not ENOUGH.search(text):
            return
        if self._ibans:
            yield from ibans(text)
        if self._identities:
            yield from identities(text)
        if self._phones:
            yield from phones(text)
        done = 0
        for run in runs(text, self._phones and names_phones(text)) if self._runs else ():
            if run.start < done:
                continue
            for _kind, find in self._runs:
                if finding := find(run):
                    done = finding.end
                    yield finding
                    break


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by place, those that overlap made one: of the class that is first in `Kind`, own patterns before all."""
    return _union(_Ranked(each.start, each.end, _RANKS.get(each.kind, -1), 0, each) for each in findings)


def _merged(value: str, found: list[_Ranked]) -> list[Finding]:
    labels = [stands.span() for stands in LABEL.finditer(value)] if "[" in value else []
    if labels:
        found = [each for each in found if not _within(labels, each.start)]
    # The password of a URL and its host look like an address; the host may stay.
    passwords = {each.end for each in found if each.finding.kind == Kind.SECRET and value[each.end : each.end + 1] == "@"}
    if passwords:
        found = [each for each in found if each.finding.kind != Kind.EMAIL or not _ends_in(value, each, passwords)]
    return _union(found)


def _within(spans: list[tuple[int, int]], place: int) -> bool:
    """Whether a place is in one of the spans, behind its beginning. They are in order."""
    last = bisect_left(spans, (place, 0)) - 1
    return last >= 0 and place < spans[last][1]


def _ends_in(value: str, each: _Ranked, passwords: set[int]) -> bool:
    return value.find("@", each.start, each.end) in passwords


def _union(found: Iterable[_Ranked]) -> list[Finding]:
    result: list[Finding] = []
    best: _Ranked | None = None
    for each in sorted(found):
        if best is not None and each.start < result[-1].end:
            end = max(result[-1].end, each.end)
            if (each.rank, each.layer) < (best.rank, best.layer):
                best = each
            result[-1] = Finding(result[-1].start, end, best.finding.kind, best.finding.value)
        else:
            best = each
            result.append(Finding(each.start, each.end, each.finding.kind, each.finding.value))
    return result

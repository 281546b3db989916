"""Any one thing that is done to the lines of a chain is found, and nothing where nothing was done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.audit.canonical import read
from policies.audit.journal.chain import Chain, Finding, Findings, What
from tests.policies.audit.journal.written import chain

LINES = chain(25)
PLACE = st.integers(0, len(LINES) - 1)


def followed(lines: list[bytes]) -> tuple[Chain, list[Finding]]:
    findings = Findings("gate.0")
    found = Chain("gate.0", findings)
    for line in lines:
        found.line("segment", line)
    return found, findings.listed


def test_a_whole_chain() -> None:
    found, findings = followed(LINES)
    assert findings == []
    assert (found.expected, found.hash, found.records, found.first) == (26, read(LINES[-1]).hash, 25, 1)


@given(place=PLACE, bit=st.integers(0, 10_000))
def test_a_bit_is_flipped(place: int, bit: int) -> None:
    line = bytearray(LINES[place])
    line[bit // 8 % len(line)] ^= 1 << bit % 8
    _, findings = followed([*LINES[:place], bytes(line), *LINES[place + 1 :]])
    assert (findings[0].sequence, findings[0].what) == (place + 1, What.EDITED)
    assert len(findings) == 1


@given(first=st.integers(0, 23), count=st.integers(1, 5))
def test_records_are_removed(first: int, count: int) -> None:
    left = LINES[:first] + LINES[first + count :]
    _, findings = followed(left)
    if first + count < len(LINES):
        assert [(one.sequence, one.what) for one in findings] == [(first + 1, What.MISSING)]
    else:
        # The end is another's to know: heads and seals.
        assert findings == []


@given(order=st.permutations(range(len(LINES))))
def test_records_are_reordered(order: list[int]) -> None:
    _, findings = followed([LINES[place] for place in order])
    if order == sorted(order):
        assert findings == []
    else:
        wrong = next(place for place, at in enumerate(order) if place != at)
        assert findings[0].sequence == wrong + 1
        assert findings[0].what in (What.REORDERED, What.MISSING)


@given(place=PLACE, where=PLACE)
def test_a_record_stands_twice(place: int, where: int) -> None:
    where = max(where, place)
    _, findings = followed([*LINES[: where + 1], LINES[place], *LINES[where + 1 :]])
    assert [(one.sequence, one.what) for one in findings] == [(place + 1, What.DUPLICATED)]


def test_declared_losses_are_no_faults() -> None:
    gap = chain(1, event="journal.gap", lost=7)
    more = chain(3, first=2, previous=read(gap[0]).hash)
    found, findings = followed(gap + more)
    assert (found.gaps, findings) == (7, [])


@given(lines=st.lists(st.binary(max_size=300), max_size=10))
def test_whatever_the_lines_are(lines: list[bytes]) -> None:
    found, findings = followed(lines)
    assert len(findings) == len(lines) == found.records


def test_findings_have_an_end() -> None:
    findings = Findings("gate.0")
    for number in range(5_000):
        findings.add("segment", number, What.EDITED, "")
    assert (len(findings.listed), findings.count) == (1_000, 5_000)

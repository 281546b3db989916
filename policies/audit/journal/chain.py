"""What is wrong with a chain of records: told line by line, in constant memory. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
import orjson

from policies.audit.canonical import FIRST, LineError, read
from policies.audit.record import Closed, Name

_MOST: Final = 1_000


class What(StrEnum):
    """What is wrong."""

    MISSING = "missing"
    EDITED = "edited"
    """Also where its hash was made to fit: the next record is bound to another."""
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    FOREIGN = "foreign"
    """It is of another chain."""
    SEGMENT_MISSING = "segment-missing"
    JOURNAL_MISSING = "journal-missing"
    CUT = "cut"
    """The end is missing: something names a later record than there is."""
    RECOMPUTED = "recomputed"
    """The chain holds, and is not the one that was sealed."""
    UNSIGNED = "unsigned"
    """A head or seal is missing, not signed, or signed by another."""
    UNREADABLE = "unreadable"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong, with the record that it begins with.

    Attributes:
        segment: the file's name; empty where none is to be named.
        sequence: of the record; 0 where none is to be named.
        why: a sentence.
    """

    journal: str
    segment: str
    sequence: int
    what: What
    why: str


class Findings:
    """What is wrong with one journal: the first so many, and how many there are."""

    def __init__(self, journal: str) -> None:
        self.journal = journal
        self.listed: list[Finding] = []
        self.count = 0

    def add(self, segment: str, sequence: int, what: What, why: str) -> None:
        self.count += 1
        if len(self.listed) < _MOST:
            self.listed.append(Finding(self.journal, segment, sequence, what, why))

    def instead(self, segment: str, sequence: int, what: What, why: str) -> None:
        """Say this instead of what was found last: more is known now."""
        if self.count == len(self.listed):
            self.listed[-1] = Finding(self.journal, segment, sequence, what, why)

    def reordered(self, sequence: int, segment: str) -> bool:
        """A record that was found missing turned up late. Whether it was one of those."""
        for place, one in enumerate(self.listed):
            if one.what is What.MISSING and one.sequence == sequence:
                why = f"record {sequence} stands behind later ones"
                self.listed[place] = Finding(self.journal, segment, sequence, What.REORDERED, why)
                return True
        return False


class Chain:
    """Follows one journal.

    Attributes:
        expected: the sequence of the next record.
        hash: that of the record before it; empty where it is not known.
        records, gaps, first: how many records were seen, how many were declared lost, and the first that was seen.
    """

    def __init__(self, journal: str, findings: Findings) -> None:
        self._journal = journal
        self._findings = findings
        self.expected = 1
        self.hash = FIRST
        # Of the record before the next: whether it was read, and so could be the one that was changed.
        self._seen_at = 0
        # The last that was found to be bound to another than the one before it.
        self._unbound_at = 0
        # Missing, and may yet turn up: (first, last), the latest so many.
        self._missing: list[tuple[int, int]] = []
        self.records = self.gaps = self.first = 0

    def skip(self, first: int, digest: str) -> None:
        """Go on with another record: those before it are known not to be there."""
        self.expected, self.hash, self._seen_at = first, digest, 0

    def line(self, segment: str, line: bytes) -> Closed | None:
        """Follow one line, without its newline: the record, if it is one."""
        try:
            closed = read(line)
        except LineError as error:
            self._spoilt(segment, line, str(error))
            return None
        record = closed.record
        self.records += 1
        self.first = self.first or record.sequence
        if record.event == Name.JOURNAL_GAP:
            self.gaps += record.lost
        if record.journal != self._journal:
            why = f"in the place of record {self.expected} is one of journal {record.journal!r}"
            self._findings.add(segment, self.expected, What.FOREIGN, why)
            return closed
        if record.sequence != self.expected and self.hash and record.previous == self.hash:
            why = f"record {self.expected} is bound to the one before it, and numbered {record.sequence}"
            self._findings.add(segment, self.expected, What.EDITED, why)
            self.skip(self.expected + 1, "")
            return closed
        if record.sequence < self.expected:
            self._late(segment, record.sequence)
            return closed
        if record.sequence > self.expected:
            self._absent(segment, record.sequence)
        elif self.hash and record.previous != self.hash:
            self._unbound(segment, record.sequence)
        self.expected, self.hash, self._seen_at = record.sequence + 1, closed.hash, record.sequence
        return closed

    def _spoilt(self, segment: str, line: bytes, why: str) -> None:
        sequence, previous = _said(line)
        # One that is bound to the record before it is the next, whatever its number says.
        if sequence > self.expected and not (self.hash and previous == self.hash):
            self._absent(segment, sequence)
        self._findings.add(segment, self.expected, What.EDITED, f"record {self.expected}: {why}")
        self.records += 1
        # To which hash the next is bound cannot be told: this one's content, its hash or both were changed.
        self.skip(self.expected + 1, "")

    def _absent(self, segment: str, found: int) -> None:
        first = self.expected
        last = found - 1
        which = f"record {first} is" if first == last else f"records {first} to {last} are"
        self._findings.add(segment, first, What.MISSING, f"{which} missing")
        self._missing = [*self._missing[-_MOST:], (first, last)]
        self.skip(found, "")

    def _late(self, segment: str, sequence: int) -> None:
        if any(first <= sequence <= last for first, last in self._missing):
            if not self._findings.reordered(sequence, segment):
                self._findings.add(segment, sequence, What.REORDERED, f"record {sequence} stands behind later ones")
            return
        self._findings.add(segment, sequence, What.DUPLICATED, f"record {sequence} stands there once more")

    def _unbound(self, segment: str, sequence: int) -> None:
        if self._unbound_at == sequence - 1 and sequence > 1:
            # Neither side of the record between is bound to it: it is the one that does not belong there.
            why = f"record {sequence - 1} is bound to no record beside it: it is of another chain"
            self._findings.instead(segment, sequence - 1, What.FOREIGN, why)
        elif sequence > 1 and self._seen_at == sequence - 1:
            why = f"record {sequence - 1} has a hash of its own content, and record {sequence} is bound to another"
            self._findings.add(segment, sequence - 1, What.EDITED, why)
            self._unbound_at = sequence
        else:
            why = f"record {sequence} is not bound to the one before it: it is of another chain"
            self._findings.add(segment, sequence, What.FOREIGN, why)


def _said(line: bytes) -> tuple[int, str]:
    """What a line that is no record says of itself: its sequence, and the hash of the one before it."""
    try:
        whole = orjson.loads(line)
    except orjson.JSONDecodeError:
        return 0, ""
    if not isinstance(whole, dict):
        return 0, ""
    sequence, previous = whole.get("sequence"), whole.get("previous")
    return sequence if type(sequence) is int else 0, previous if isinstance(previous, str) else ""

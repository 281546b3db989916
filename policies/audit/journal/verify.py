"""Whether journals are what was written: each record, its place, and the end. Streaming, in constant memory.

What nobody but the writer vouches for cannot be told from what it wrote: without signing, whoever can write all files
can make a chain anew; with it, only what came after the last head or seal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.audit.journal import segments as on_disk
from policies.audit.journal.chain import Chain, Finding, Findings, What
from policies.audit.journal.heads import Head, NoteError, Removal, Removed, parsed
from policies.audit.journal.links import may_hold
from policies.audit.journal.own_events import witness
from policies.audit.journal.segments import HEAD, REMOVED, UNREADABLE, Segment
from policies.audit.journal.signing import signed, signed_removal

T = TypeVar("T", bound=msgspec.Struct)
Witnesses: TypeAlias = dict[str, dict[int, tuple[str, str]]]
"""What journals say of others: by journal and sequence, the hash of that record, and which journal names it."""
_WITNESSES: Final = 1_000
"""Of one journal. Of more, only the latest counts."""


class JournalReport(msgspec.Struct, frozen=True):
    """What was found in one journal.

    Attributes:
        records: how many there are.
        first, last: sequences; 0 if there is none.
        gaps: how many records the writer says that it had to drop: no fault of the journal.
        removed: how many retention took away.
        findings: what is wrong, the first 1,000; `faults` is how many there are.
    """

    journal: str
    records: int = 0
    first: int = 0
    last: int = 0
    gaps: int = 0
    removed: int = 0
    faults: int = 0
    findings: tuple[Finding, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What was found in a folder."""

    journals: tuple[JournalReport, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not any(one.faults for one in self.journals)

    @property
    def findings(self) -> list[Finding]:
        """All that is listed as wrong."""
        return [finding for one in self.journals for finding in one.findings]


class Source(Protocol):
    """The files of one journal."""

    def segments(self) -> list[Segment]:
        """In order."""
        ...

    def lines(self, segment: Segment) -> Iterator[bytes]:
        """With their newlines."""
        ...

    def note(self, name: str) -> bytes | None:
        """The content of a small file beside the segments; None if there is none."""
        ...


class Folder:
    """A journal on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def segments(self) -> list[Segment]:
        return on_disk.segments(self._path)

    def lines(self, segment: Segment) -> Iterator[bytes]:
        return on_disk.lines(segment)

    def note(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None


def verify(path: Path, *, public_key: Ed25519PublicKey | None) -> Report:
    """Check a folder of journals, or one journal.

    Raises:
        OSError: the folder cannot be listed.
    """
    folders = [path] if on_disk.is_journal(path) else on_disk.journals(path)
    said: Witnesses = {}
    reports = {folder.name: check(folder.name, Folder(folder), public_key, said) for folder in folders}
    by_name = {folder.name: folder for folder in folders}
    for journal, named in sorted(said.items()):
        sequence = max(named)
        by = named[sequence][1]
        # What is named may have been written since that journal was read.
        report = reports.get(journal)
        folder = by_name.get(journal, path / journal)
        if report is None and folders != [path] and not folder.is_dir():
            why = f"journal {by} names record {sequence} of it, and it is not there"
            reports[journal] = _with(JournalReport(journal), Finding(journal, "", 0, What.JOURNAL_MISSING, why))
        elif report is not None and report.last < sequence and not may_hold(folder, sequence, named[sequence][0]):
            why = f"journal {by} names record {sequence}, and the last there is is {report.last}"
            reports[journal] = _with(report, Finding(journal, "", report.last + 1, What.CUT, why))
        elif report is not None and not report.faults and (finding := _unlike(folder, named)) is not None:
            reports[journal] = _with(report, finding)
    return Report(tuple(reports.values()))


def check(journal: str, source: Source, public_key: Ed25519PublicKey | None, said: Witnesses) -> JournalReport:
    """Check one journal. `said`: what its records say of others is added."""
    return _Check(journal, source, public_key).run(said)


def _unlike(folder: Path, named: dict[int, tuple[str, str]]) -> Finding | None:
    """The first record of a whole chain that is not the one which another journal names."""
    parts = on_disk.segments(folder)
    # Retention may have taken all of them.
    for part, after in zip_longest(parts, parts[1:]):
        end = max(named) + 1 if after is None else after.first
        if not any(part.first <= sequence < end for sequence in named):
            continue
        try:
            for sequence, line in enumerate(on_disk.lines(part), part.first):
                digest, by = named.get(sequence, ("", ""))
                if digest and line[-67:-3] != digest.encode():
                    why = f"journal {by} names another record {sequence}: the chain was made anew"
                    return Finding(folder.name, part.path.name, sequence, What.RECOMPUTED, why)
        except UNREADABLE:
            # It could be read just now.
            continue
    return None


def _with(report: JournalReport, finding: Finding) -> JournalReport:
    if any(one.what is What.CUT for one in report.findings):
        return report
    return msgspec.structs.replace(report, faults=report.faults + 1, findings=(*report.findings, finding))


class _Check:
    def __init__(self, journal: str, source: Source, public_key: Ed25519PublicKey | None) -> None:
        self._journal = journal
        self._source = source
        self._key = public_key
        self._findings = Findings(journal)
        self._chain = Chain(journal, self._findings)
        # The last record whose head or seal was found to be right.
        self._vouched = 0

    def run(self, said: Witnesses) -> JournalReport:
        removed = self._removed()
        # Before the records: while they are read, more are written.
        head = self._note(HEAD, Head)
        parts = self._source.segments()
        seal: Head | None = None
        for place, part in enumerate(parts):
            self._begin(part, removed, seal)
            # Before the lines: what is sealed gets no more of them.
            seal = self._note(part.seal.name, Head)
            self._read(part, head, said)
            self._ended(part, seal, last=place == len(parts) - 1)
        self._end(head, removed, parts)
        chain, findings = self._chain, self._findings
        last = chain.expected - 1 if chain.records else 0
        took = sum(one.sequence - one.first + 1 for one in removed.removed)
        return JournalReport(
            self._journal,
            chain.records,
            chain.first,
            max(last, removed.removed[-1].sequence if removed.removed else 0),
            chain.gaps,
            took,
            findings.count,
            tuple(findings.listed),
        )

    def _removed(self) -> Removed:
        removed = self._note(REMOVED, Removed) or Removed(())
        for one in removed.removed:
            self._signature(one, REMOVED)
        return removed

    def _note(self, name: str, kind: type[T]) -> T | None:
        try:
            data = self._source.note(name)
            return None if data is None else parsed(data, kind, name)
        except (NoteError, OSError):
            self._findings.add(name, 0, What.UNREADABLE, f"{name} cannot be read, or is not what it should be")
            return None

    def _signature(self, one: Head | Removal, name: str) -> bool:
        if self._key is None:
            return True
        if isinstance(one, Removal):
            right = signed_removal(self._key, one.signature, self._journal, one.first, one.sequence, one.hash)
        else:
            right = signed(self._key, one.signature, self._journal, one.sequence, one.hash)
        if not right:
            why = f"{name} names record {one.sequence}, and is not signed with the key"
            self._findings.add(name, one.sequence, What.UNSIGNED, why)
        return right

    def _begin(self, part: Segment, removed: Removed, seal: Head | None) -> None:
        """A segment begins: with the next record, or after what was removed."""
        chain = self._chain
        while chain.expected < part.first and (removal := removed.over(chain.expected)) is not None:
            chain.skip(removal.sequence + 1, removal.hash)
        if chain.expected >= part.first:
            return
        # The end of the segment before was already found to be missing.
        first = max(chain.expected, seal.sequence + 1 if seal is not None else 0)
        if first < part.first:
            why = f"records {first} to {part.first - 1} are missing, and their segment with them"
            self._findings.add(f"{first:020d}.jsonl", first, What.SEGMENT_MISSING, why)
        chain.skip(part.first, "")

    def _read(self, part: Segment, head: Head | None, said: Witnesses) -> None:
        try:
            for line in self._source.lines(part):
                if not line.endswith(b"\n"):
                    # It is being written, or was when the process ended: nobody was told that it is there.
                    break
                closed = self._chain.line(part.path.name, line[:-1])
                if closed is None:
                    continue
                if head is not None and closed.record.sequence == head.sequence:
                    self._compare(head, closed.hash, HEAD)
                for journal, (sequence, digest) in witness(closed).items():
                    self._witnessed(said.setdefault(journal, {}), sequence, digest)
        except UNREADABLE as error:
            why = f"the segment cannot be read: {type(error).__name__}"
            self._findings.add(part.path.name, self._chain.expected, What.UNREADABLE, why)

    def _witnessed(self, named: dict[int, tuple[str, str]], sequence: int, digest: str) -> None:
        """The first that names a record counts: a journal that is made anew can only be named later."""
        if sequence in named:
            return
        if len(named) >= _WITNESSES:
            latest = max(named)
            if sequence < latest:
                return
            del named[latest]
        named[sequence] = digest, self._journal

    def _compare(self, one: Head, digest: str, name: str) -> None:
        """A head or seal names this record."""
        if not self._signature(one, name):
            return
        if one.hash == digest:
            self._vouched = max(self._vouched, one.sequence)
            return
        why = f"{name} vouches for another record {one.sequence}: the chain was made anew after record {self._vouched}"
        self._findings.add(name, one.sequence, What.RECOMPUTED, why)

    def _ended(self, part: Segment, seal: Head | None, *, last: bool) -> None:
        """A segment ended: with what its seal names."""
        chain = self._chain
        if seal is None:
            if not last:
                why = "the seal of a segment that has ended is missing"
                self._findings.add(part.seal.name, chain.expected - 1, What.UNSIGNED, why)
            return
        if seal.sequence >= chain.expected:
            self._signature(seal, part.seal.name)
            why = f"the segment was sealed with record {seal.sequence}, and ends with record {chain.expected - 1}"
            self._findings.add(part.path.name, chain.expected, What.CUT, why)
        elif seal.sequence == chain.expected - 1 and chain.hash:
            self._compare(seal, chain.hash, part.seal.name)
        elif seal.sequence < chain.expected - 1:
            why = f"the segment was sealed with record {seal.sequence}, and goes on behind it"
            self._findings.add(part.path.name, seal.sequence + 1, What.FOREIGN, why)

    def _end(self, head: Head | None, removed: Removed, parts: list[Segment]) -> None:
        """The journal ended: not before what its head names."""
        chain = self._chain
        while (removal := removed.over(chain.expected)) is not None:
            chain.skip(removal.sequence + 1, removal.hash)
        if head is None:
            # A process that was killed with its first record has written none.
            if chain.expected > 2:
                self._findings.add(HEAD, chain.expected - 1, What.UNSIGNED, f"{HEAD} is missing")
            return
        if head.sequence >= chain.expected:
            self._signature(head, HEAD)
            name = parts[-1].path.name if parts else ""
            why = f"it was synced up to record {head.sequence}, and ends with record {chain.expected - 1}"
            # The seal of the last segment may have said so already.
            if not any(one.what is What.CUT and one.sequence == chain.expected for one in self._findings.listed):
                self._findings.add(name, chain.expected, What.CUT, why)
        elif removed.over(head.sequence) is not None:
            self._signature(head, HEAD)

"""Whether a path is what was written: a folder of journals, a journal, or one segment; and how that is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.audit.journal import segments as on_disk
from policies.audit.journal.chain import Chain, Findings, What
from policies.audit.journal.heads import Head, NoteError, read_head
from policies.audit.journal.segments import UNREADABLE, Segment
from policies.audit.journal.signing import public_key, signed
from policies.audit.journal.verify import JournalReport, Report, verify
from policies.audit.showing import words

_MOST: Final = 20
"""Findings of a journal that are printed; JSON has the first 1,000."""
INTACT, BROKEN, UNREAD = 0, 1, 2
"""Exit statuses."""


class NothingThereError(Exception):
    """The path holds no journal. The message says what was expected."""


def examine(path: Path, key: Path | None) -> Report:
    """Check what is there.

    Args:
        key: the file of the public key. None: signatures are not looked at.

    Raises:
        NothingThereError: no journal is there.
        SigningKeyError: the key is none.
        OSError: it cannot be read.
    """
    by = None if key is None else public_key(key.read_text("utf-8", "replace"))
    first = on_disk.named(path.name)
    if first is not None and path.is_file():
        return Report((_segment(Segment(first, path), by),))
    if not path.exists():
        raise NothingThereError(f"{path}: not there")
    report = verify(path, public_key=by) if path.is_dir() else Report(())
    # Any folder may have a name like a journal's.
    if not any(one.records or one.faults or one.removed for one in report.journals) and not on_disk.is_journal(path):
        raise NothingThereError(f"{path}: expected a folder of journals, a journal, or a segment (….jsonl, ….jsonl.gz)")
    return report


def _segment(segment: Segment, key: Ed25519PublicKey | None) -> JournalReport:
    """A segment alone: what is before it is not known, and is no fault."""
    journal = segment.path.absolute().parent.name
    findings = Findings(journal)
    chain = Chain(journal, findings)
    chain.skip(segment.first, "")
    name = segment.path.name
    try:
        for line in on_disk.lines(segment):
            if line.endswith(b"\n"):
                chain.line(name, line[:-1])
    except UNREADABLE as error:
        findings.add(name, chain.expected, What.UNREADABLE, f"the segment cannot be read: {type(error).__name__}")
    try:
        seal = read_head(segment.seal)
    except (NoteError, OSError):
        seal = None
        findings.add(segment.seal.name, 0, What.UNREADABLE, "its seal cannot be read, or is not what it should be")
    if seal is not None:
        _sealed(seal, chain, findings, segment, key)
    last = chain.expected - 1 if chain.records else 0
    return JournalReport(journal, chain.records, chain.first, last, chain.gaps, 0, findings.count, tuple(findings.listed))


def _sealed(seal: Head, chain: Chain, findings: Findings, segment: Segment, key: Ed25519PublicKey | None) -> None:
    last, name = chain.expected - 1, segment.path.name
    right = key is None or signed(key, seal.signature, findings.journal, seal.sequence, seal.hash)
    if not right:
        findings.add(segment.seal.name, seal.sequence, What.UNSIGNED, "its seal is not signed with the key")
    if seal.sequence > last:
        why = f"the segment was sealed with record {seal.sequence}, and ends with record {last}"
        findings.add(name, chain.expected, What.CUT, why)
    elif seal.sequence < last:
        why = f"the segment was sealed with record {seal.sequence}, and goes on behind it"
        findings.add(name, seal.sequence + 1, What.FOREIGN, why)
    elif right and chain.hash and chain.hash != seal.hash:
        why = f"its seal vouches for another record {seal.sequence}: the chain was made anew"
        findings.add(name, seal.sequence, What.RECOMPUTED, why)


def status(report: Report) -> int:
    """The exit status: 0 intact, 1 not, 2 where nothing is wrong but that something cannot be read."""
    if report.intact:
        return INTACT
    told = report.findings
    # What is not listed is more of the same kind or another: not intact in any case.
    unread = all(one.what is What.UNREADABLE for one in told) and len(told) == sum(one.faults for one in report.journals)
    return UNREAD if unread else BROKEN


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """What is told of each journal, with the colour of the line on a terminal."""
    for one in report.journals:
        yield (
            f"{one.journal}: {'intact' if not one.faults else 'NOT intact'}: {_counted(one)}",
            ("red" if one.faults else "green"),
        )
        if one.faults:
            first = min((each.sequence for each in one.findings if each.sequence), default=0)
            yield f"  {words.several(one.faults, 'fault')}" + (f", the first at record {first:,}" if first else ""), "red"
        for each in one.findings[:_MOST]:
            at = f" record {each.sequence:,}" if each.sequence else ""
            yield f"  {each.what.value}: {each.segment or one.journal}{at}: {each.why}", ""
        if one.faults > _MOST:
            yield f"  … and {one.faults - _MOST:,} more", ""


def _counted(one: JournalReport) -> str:
    found = f"{words.several(one.records, 'record')} ({one.first:,} to {one.last:,})" if one.records else "no records"
    if one.gaps:
        found += f", {words.several(one.gaps, 'record')} declared lost by the writer"
    if one.removed:
        found += f", {words.several(one.removed, 'record')} removed by retention"
    return found

"""Whatever is done to a journal is found, and where it begins is named."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from policies.audit.canonical import read, seal
from policies.audit.journal.chain import What
from policies.audit.journal.segments import Segment, lines, segments
from policies.audit.journal.signing import public_key
from policies.audit.journal.verify import Folder, JournalReport, verify
from policies.audit.record import Record
from tests.policies.audit.journal.written import chain, key_pair, put, stored, written


def edit(line: bytes) -> bytes:
    return line.replace(b'"tenant":"acme"', b'"tenant":"evil"')


def rehash(line: bytes, previous: str | None = None, tenant: str = "evil") -> bytes:
    """A line of other content, and with the hash of that."""
    content = json.loads(line)
    del content["hash"]
    content["tenant"] = tenant
    if previous is not None:
        content["previous"] = previous
    ordered = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return seal(msgspec.json.decode(ordered, type=Record))[0]


def remake(made: list[bytes], first: int) -> list[bytes]:
    """The chain made anew from a record on."""
    done = made[: first - 1]
    for line in made[first - 1 :]:
        done.append(rehash(line, read(done[-1]).hash))
    return done


def swap(made: list[bytes], one: int, other: int) -> list[bytes]:
    made = list(made)
    made[one - 1], made[other - 1] = made[other - 1], made[one - 1]
    return made


def changed(made: list[bytes], sequence: int, how: Callable[[bytes], bytes]) -> list[bytes]:
    return [*made[: sequence - 1], how(made[sequence - 1]), *made[sequence:]]


OTHER = chain(30, previous="a" * 64)
TAMPERED: list[tuple[str, Callable[[list[bytes]], list[bytes]], int, What]] = [
    ("edited", lambda made: changed(made, 5, edit), 5, What.EDITED),
    ("edited and numbered", lambda made: changed(made, 5, lambda line: line.replace(b":5,", b":99,")), 5, What.EDITED),
    ("no JSON", lambda made: changed(made, 5, lambda line: b"x" + line), 5, What.EDITED),
    ("an empty line", lambda made: changed(made, 5, lambda _: b""), 5, What.EDITED),
    ("not canonical", lambda made: changed(made, 5, lambda line: line.replace(b'":"', b'": "')), 5, What.EDITED),
    ("hash recomputed", lambda made: changed(made, 5, rehash), 5, What.EDITED),
    ("the first removed", lambda made: made[1:], 1, What.MISSING),
    ("removed", lambda made: made[:4] + made[5:], 5, What.MISSING),
    ("three removed", lambda made: made[:4] + made[7:], 5, What.MISSING),
    ("neighbours swapped", lambda made: swap(made, 5, 6), 5, What.REORDERED),
    ("swapped far apart", lambda made: swap(made, 5, 12), 5, What.REORDERED),
    ("duplicated", lambda made: [*made[:5], *made[4:]], 5, What.DUPLICATED),
    ("an old one once more", lambda made: [*made, made[2]], 3, What.DUPLICATED),
    ("of another journal", lambda made: changed(made, 5, lambda _: chain(5, "gate.1")[4]), 5, What.FOREIGN),
    ("of another chain", lambda made: changed(made, 5, lambda _: OTHER[4]), 5, What.FOREIGN),
    ("another chain", lambda _: OTHER, 1, What.FOREIGN),
    ("the tail cut", lambda made: made[:9], 10, What.CUT),
    ("everything cut", lambda _: [], 1, What.CUT),
    ("all made anew, not the head", lambda made: remake(made, 5), 22, What.RECOMPUTED),
]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize(("what", "how", "sequence", "expected"), TAMPERED, ids=[one[0] for one in TAMPERED])
def test_tampering(
    tmp_path: Path,
    what: str,
    how: Callable[[list[bytes]], list[bytes]],
    sequence: int,
    expected: What,
    packed: bool,
) -> None:
    journal = written(tmp_path, 20)
    [segment] = segments(journal)
    made = stored(journal)
    assert verify(tmp_path, public_key=None).intact
    put(segment.path, how(made))
    if packed:
        segment.path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(segment.path.read_bytes()))
        segment.path.unlink()
    report = verify(tmp_path, public_key=None)
    assert not report.intact
    assert (report.findings[0].sequence, report.findings[0].what) == (sequence, expected), report
    assert report.findings[0].journal == "gate.0"
    assert verify(journal, public_key=None) == report


def rotated(folder: Path, **more: object) -> tuple[Path, JournalReport]:
    journal = written(folder, 100, segment_bytes=4_000, **more)
    report = verify(folder, public_key=None)
    assert report.intact
    assert len(segments(journal)) > 3
    return journal, report.journals[0]


def test_a_report_says_what_there_is(tmp_path: Path) -> None:
    _, report = rotated(tmp_path)
    assert (report.journal, report.records, report.first, report.last, report.gaps) == ("gate.0", 102, 1, 102, 0)


@pytest.mark.parametrize("number", [0, 1])
def test_a_segment_is_missing(tmp_path: Path, number: int) -> None:
    journal, _ = rotated(tmp_path)
    gone = segments(journal)[number]
    gone.path.unlink()
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.what, finding.sequence) == (What.SEGMENT_MISSING, gone.first)
    assert finding.segment == gone.path.name


def test_the_last_segment_is_missing(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    gone = segments(journal)[-1]
    gone.path.unlink()
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.what, finding.sequence) == (What.CUT, gone.first)


def test_the_end_of_a_segment_in_the_middle_is_cut(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    part, after = segments(journal)[1:3]
    put(part.path, [line[:-1] for line in lines(part)][:-2])
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.what, finding.sequence) == (What.CUT, after.first - 2)
    assert finding.segment == part.path.name


def test_a_segment_that_ended_goes_on(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    parts = segments(journal)
    made = stored(journal)
    last = parts[-1].first
    # Its records stand in the segment before, and in no segment of their own.
    put(parts[-2].path, made[parts[-2].first - 1 :])
    parts[-1].path.unlink()
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.what, finding.sequence) == (What.FOREIGN, last)


def test_a_segment_that_cannot_be_unpacked(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    part = segments(journal)[1]
    half = gzip.compress(part.path.read_bytes())[:300]
    part.path.with_suffix(".jsonl.gz").write_bytes(half)
    part.path.unlink()
    finding = verify(tmp_path, public_key=None).findings[0]
    assert (finding.what, finding.segment) == (What.UNREADABLE, f"{part.name}.jsonl.gz")


@pytest.mark.parametrize("name", ["head.json", "removed.json", "00000000000000000001.seal.json"])
def test_a_note_that_is_none(tmp_path: Path, name: str) -> None:
    journal, _ = rotated(tmp_path)
    (journal / name).write_text("{")
    finding = verify(tmp_path, public_key=None).findings[0]
    assert (finding.what, finding.segment) == (What.UNREADABLE, name)


def test_a_seal_or_the_head_is_missing(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    segments(journal)[1].seal.unlink()
    (journal / "head.json").unlink()
    found = verify(tmp_path, public_key=None).findings
    assert [(one.what, one.segment) for one in found] == [
        (What.UNSIGNED, segments(journal)[1].seal.name),
        (What.UNSIGNED, "head.json"),
    ]


def test_a_chain_made_anew_is_found_by_its_signature(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path)
    journal, _ = rotated(tmp_path / "a", signing_key=secret)
    key = public_key(public)
    assert verify(tmp_path / "a", public_key=key).intact
    parts, made = segments(journal), remake(stored(journal), 30)
    for place, part in enumerate(parts):
        until = parts[place + 1].first - 1 if place + 1 < len(parts) else len(made)
        put(part.path, made[part.first - 1 : until])
        for note, last in ((part.seal, until), (journal / "head.json", len(made))):
            if note.exists():
                content = json.loads(note.read_bytes()) | {"hash": read(made[last - 1]).hash, "sequence": last}
                note.write_text(json.dumps(content))
    # Whoever has no key sees nothing: all files were made anew.
    assert verify(tmp_path / "a", public_key=None).intact
    finding = verify(tmp_path / "a", public_key=key).findings[0]
    assert finding.what is What.UNSIGNED
    assert parts[1].first < finding.sequence < 60


def test_a_chain_made_anew_is_found_by_what_was_sealed(tmp_path: Path) -> None:
    secret, public = key_pair(tmp_path)
    journal, _ = rotated(tmp_path / "a", signing_key=secret)
    made = remake(stored(journal), 30)
    parts = segments(journal)
    for place, part in enumerate(parts):
        until = parts[place + 1].first - 1 if place + 1 < len(parts) else len(made)
        put(part.path, made[part.first - 1 : until])
    finding = verify(tmp_path / "a", public_key=public_key(public)).findings[0]
    assert finding.what is What.RECOMPUTED
    assert f"after record {parts[1].first - 1}" in finding.why


def test_a_segment_that_was_taken_away_is_found_whatever_is_said_to_have_removed_it(tmp_path: Path) -> None:
    """The signature of its seal says that it was there, not that it may be missing."""
    secret, public = key_pair(tmp_path)
    journal, _ = rotated(tmp_path / "a", signing_key=secret)
    part = segments(journal)[1]
    said = json.loads(part.seal.read_bytes())
    forged = {"first": part.first, "when": said.pop("timestamp"), "why": "retention", **said}
    (journal / "removed.json").write_text(json.dumps({"removed": [forged]}))
    for path in (part.path, part.seal, part.index):
        path.unlink()
    # Whoever has no key sees nothing: it is what retention leaves.
    assert verify(tmp_path / "a", public_key=None).intact
    [finding] = verify(tmp_path / "a", public_key=public_key(public)).findings
    assert (finding.what, finding.segment, finding.sequence) == (What.UNSIGNED, "removed.json", said["sequence"])


def test_a_journal_without_signatures_and_one_signed_by_another(tmp_path: Path) -> None:
    written(tmp_path / "a", 3)
    (tmp_path / "other").mkdir()
    secret, public = key_pair(tmp_path)
    other, _ = key_pair(tmp_path / "other")
    written(tmp_path / "b", 3, signing_key=other)
    written(tmp_path / "c", 3, signing_key=secret)
    key = public_key(public)
    assert [one.what for one in verify(tmp_path / "a", public_key=key).findings] == [What.UNSIGNED]
    assert [one.what for one in verify(tmp_path / "b", public_key=key).findings] == [What.UNSIGNED]
    assert verify(tmp_path / "c", public_key=key).intact


def test_a_journal_is_witnessed_by_the_next(tmp_path: Path) -> None:
    first = written(tmp_path, 20)
    second = written(tmp_path, 0, instance="other").with_name("other.0")
    # Whoever cuts a journal off with all that it says of itself has not cut off what others say.
    [segment] = segments(first)
    put(segment.path, stored(first)[:9])
    head = json.loads((first / "head.json").read_bytes()) | {"sequence": 9, "hash": read(stored(first)[8]).hash}
    (first / "head.json").write_text(json.dumps(head))
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.journal, finding.what, finding.sequence) == ("gate.0", What.CUT, 10)
    assert "other.0" in finding.why
    for path in first.iterdir():
        path.unlink()
    first.rmdir()
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.journal, finding.what) == ("gate.0", What.JOURNAL_MISSING)
    # One journal alone is checked without the others.
    assert verify(second, public_key=None).intact


def test_what_is_written_while_it_is_verified_was_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one journal has been read it goes on, and another begins: the next to be read names both."""
    written(tmp_path, 20)
    written(tmp_path, 0, instance="other")
    before = Folder.segments

    def later(folder: Folder) -> list[Segment]:
        if folder._path.name == "other.0":
            for instance, count in (("gate", 5), ("new", 5), ("other", 0)):
                written(tmp_path, count, instance=instance)
        return before(folder)

    monkeypatch.setattr(Folder, "segments", later)
    report = verify(tmp_path, public_key=None)
    assert report.intact, report
    assert {one.journal: one.last for one in report.journals} == {"gate.0": 22, "other.0": 4}


def test_a_chain_made_anew_is_not_the_one_that_the_next_journal_witnessed(tmp_path: Path) -> None:
    journal, _ = rotated(tmp_path)
    written(tmp_path, 0, instance="other")
    assert verify(tmp_path, public_key=None).intact
    made = remake(stored(journal), 30)
    parts = segments(journal)
    for place, part in enumerate(parts):
        until = parts[place + 1].first - 1 if place + 1 < len(parts) else len(made)
        put(part.path, made[part.first - 1 : until])
        for note, last in ((part.seal, until), (journal / "head.json", len(made))):
            if note.exists():
                content = json.loads(note.read_bytes()) | {"hash": read(made[last - 1]).hash, "sequence": last}
                note.write_text(json.dumps(content))
    # It says the same of itself throughout.
    assert verify(journal, public_key=None).intact
    [finding] = verify(tmp_path, public_key=None).findings
    assert (finding.journal, finding.what, finding.sequence) == ("gate.0", What.RECOMPUTED, len(made))
    assert "other.0" in finding.why


def test_a_line_that_is_being_written_is_no_fault(tmp_path: Path) -> None:
    journal = written(tmp_path, 5)
    with segments(journal)[0].path.open("ab") as file:
        file.write(chain(1)[0][:50])
    report = verify(tmp_path, public_key=None)
    assert report.intact
    assert report.journals[0].records == 7


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    put(tmp_path / "gate.0" / "00000000000000000001.jsonl", chain(20_000))
    tracemalloc.start()
    report = verify(tmp_path, public_key=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.journals[0].records == 20_000
    # The lines are 6 MB.
    assert peak < 1_000_000

"""Whether a path is what was written."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.audit.journal.chain import Finding, What
from policies.audit.journal.verify import JournalReport, Report
from policies.audit.journal.writer import JournalWriter
from policies.audit.showing.keygen import make
from policies.audit.showing.times import stamp
from policies.audit.showing.verdicts import NothingThereError, examine, lines, status
from tests.policies.audit.journal.written import settings
from tests.policies.audit.showing.journaled import START

Change = Callable[[list[bytes]], list[bytes]]


async def _fill(folder: Path, key: Path) -> None:
    chosen = settings(folder, instance="gw", segment_bytes=2_048, signing_key={"file": str(key)})
    writer = JournalWriter(chosen, time.time)
    await writer.start()
    for number in range(20):
        fields = {"event": "request.allowed", "kind": "event", "level": "info", "timestamp": stamp(START)}
        writer.append({**fields, "request_id": f"r-{number}"})
        await writer.durable()
    await writer.stop(5)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make(tmp_path / "key.pem")[0]


@pytest.fixture
def folder(tmp_path: Path, key: Path) -> Path:
    """One journal of several segments, as the gateway writes it, signed."""
    place = tmp_path / "journal"
    asyncio.run(_fill(place, tmp_path / "key.pem"))
    return place


def parts(folder: Path) -> list[Path]:
    return sorted((folder / "gw.0").glob("*.jsonl"))


def test_what_is_whole(folder: Path, key: Path) -> None:
    assert len(parts(folder)) > 3
    for path in (folder, folder / "gw.0", *parts(folder)):
        for by in (None, key):
            report = examine(path, by)
            assert report.findings == []
            assert (report.intact, status(report)) == (True, 0)
    [line] = lines(examine(folder, key))
    assert line == ("gw.0: intact: 22 records (1 to 22)", "green")


def changed(part: Path, change: Change) -> int:
    """Change a segment; the sequence of its third record."""
    part.write_bytes(b"".join(change(part.read_bytes().splitlines(keepends=True))))
    return int(part.name.partition(".")[0]) + 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda all_: [*all_[:2], all_[2].replace(b'"r-', b'"s-'), *all_[3:]], What.EDITED),
        (lambda all_: [*all_[:2], *all_[3:]], What.MISSING),
        (lambda all_: [*all_[:2], all_[3], all_[2], *all_[4:]], What.REORDERED),
        (lambda all_: all_[:2], What.CUT),
        (lambda all_: [*all_[:2], all_[2][:-30] + b"\n", *all_[3:]], What.EDITED),
    ],
)
def test_what_is_not(folder: Path, key: Path, change: Change, what: What) -> None:
    part = parts(folder)[1]
    third = changed(part, change)
    for path in (folder, folder / "gw.0", part):
        for by in (None, key):
            report = examine(path, by)
            assert status(report) == 1
            assert (third, what) in {(one.sequence, one.what) for one in report.findings}
            assert min(one.sequence for one in report.findings) == third


def test_a_segment_that_was_made_anew_alone(folder: Path, key: Path, tmp_path: Path) -> None:
    make(tmp_path / "other.pem")
    part = parts(folder)[1]
    assert {one.what for one in examine(part, tmp_path / "other.pem.pub").findings} == {What.UNSIGNED}
    asyncio.run(_fill(tmp_path / "other", tmp_path / "other.pem"))
    part.write_bytes(parts(tmp_path / "other")[1].read_bytes())
    assert What.RECOMPUTED in {one.what for one in examine(part, key).findings}


def test_a_compressed_segment(folder: Path, key: Path) -> None:
    part = parts(folder)[1]
    packed = part.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(part.read_bytes()))
    part.unlink()
    assert status(examine(packed, key)) == status(examine(folder, key)) == 0
    packed.write_bytes(packed.read_bytes()[:100])
    assert {one.what for one in examine(packed, None).findings} >= {What.UNREADABLE}
    assert status(examine(packed, None)) == 1


def test_what_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "looks.0").mkdir()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file.txt"):
        with pytest.raises(NothingThereError):
            examine(path, None)


def finding(what: What, sequence: int) -> Finding:
    return Finding("gw.0", "segment", sequence, what, "so it is")


@pytest.mark.parametrize(
    ("faults", "findings", "expected"),
    [
        (0, (), 0),
        (1, (finding(What.EDITED, 1),), 1),
        (1, (finding(What.UNREADABLE, 0),), 2),
        (2, (finding(What.UNREADABLE, 0), finding(What.EDITED, 1)), 1),
        (2, (finding(What.UNREADABLE, 0),), 1),
    ],
)
def test_exit_statuses(faults: int, findings: tuple[Finding, ...], expected: int) -> None:
    assert status(Report((JournalReport("gw.0", faults=faults, findings=findings),))) == expected


def test_what_is_told() -> None:
    many = tuple(finding(What.EDITED, number) for number in range(30, 5, -1))
    report = Report((JournalReport("gw.0", 40, 1, 40, 3, 2, 1_200, many), JournalReport("gw.1")))
    told = [line for line, _ in lines(report)]
    assert told[:3] == [
        "gw.0: NOT intact: 40 records (1 to 40), 3 records declared lost by the writer, 2 records removed by retention",
        "  1,200 faults, the first at record 6",
        "  edited: segment record 30: so it is",
    ]
    assert told[-2:] == ["  … and 1,180 more", "gw.1: intact: no records"]

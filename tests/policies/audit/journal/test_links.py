"""Whether a journal still holds what was read of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.journal.heads import Removal, Removed, write
from policies.audit.journal.links import Link, link, may_hold
from policies.audit.journal.retention import compress
from policies.audit.journal.segments import REMOVED, plain, segments
from tests.policies.audit.journal.written import chain, put

LINES = chain(30)
OTHER = "e" * 64


def hash_of(sequence: int) -> str:
    known = link(LINES[sequence - 1])
    assert known is not None
    return known.hash


def test_a_line_says_its_place() -> None:
    assert link(LINES[4]) == Link(5, hash_of(4), hash_of(5))


@pytest.mark.parametrize("line", [b"", b"{", b"{}", b"\xff", LINES[4][:-9], LINES[4][9:], b"[" * 9_000])
def test_what_is_no_line_says_nothing(line: bytes) -> None:
    assert link(line) is None


@pytest.mark.parametrize(
    ("sequence", "digest", "held"),
    [
        (11, hash_of(11), True),
        (25, hash_of(25), True),
        (25, OTHER, False),
        (11, OTHER, False),
        # It ends before.
        (26, hash_of(26), False),
        (900, hash_of(26), False),
        # Removed; missing, and others stand behind it.
        (4, OTHER, True),
        (17, OTHER, True),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_journal(tmp_path: Path, sequence: int, digest: str, held: bool, packed: bool) -> None:
    journal = tmp_path / "gate.0"
    for first, last in ((11, 15), (21, 25)):
        put(plain(journal, first), LINES[first - 1 : last])
    if packed:
        for segment in segments(journal):
            compress(segment)
    assert may_hold(journal, sequence, digest) is held


def test_an_end_that_was_removed(tmp_path: Path) -> None:
    journal = tmp_path / "gate.0"
    put(plain(journal, 1), LINES[:10])
    assert not may_hold(journal, 12, hash_of(12))
    write(journal / REMOVED, Removed((Removal(11, 20, hash_of(20), "", ""),)))
    assert may_hold(journal, 12, hash_of(12))
    (journal / REMOVED).write_text("riddle")
    assert may_hold(journal, 12, hash_of(12))


def test_what_cannot_be_unpacked_is_not_known(tmp_path: Path) -> None:
    journal = tmp_path / "gate.0"
    put(plain(journal, 1), LINES[:10])
    compress(segments(journal)[0])
    segments(journal)[0].path.write_bytes(b"\x1f\x8bnonsense")
    assert may_hold(journal, 5, OTHER)

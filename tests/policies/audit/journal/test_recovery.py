"""Wherever a file is cut off, the next process goes on behind the last whole record. Evidence is not overwritten."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from policies.audit.canonical import FIRST, read
from policies.audit.journal.recovery import Tail, UnusableError, recover, unclean
from policies.audit.journal.segments import plain, segments
from policies.audit.journal.verify import verify
from tests.policies.audit.journal.written import chain, put, records, settings, stored, write, written

CHAIN = chain(12)
TEXT = b"".join(line + b"\n" for line in CHAIN)


def laid(folder: Path, text: bytes, first: int = 1) -> Path:
    journal = folder / "gate.0"
    journal.mkdir(exist_ok=True)
    plain(journal, first).write_bytes(text)
    return journal


def head(journal: Path, sequence: int, digest: str, name: str = "head.json") -> None:
    (journal / name).write_text(json.dumps({"sequence": sequence, "hash": digest, "timestamp": ""}))


@given(cut=st.integers(0, len(TEXT)))
@hypothesis(deadline=None, max_examples=60)
def test_a_file_is_cut_anywhere(cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal = laid(Path(name), TEXT[:cut])
        whole = TEXT[:cut].count(b"\n")
        torn = TEXT[:cut][TEXT[:cut].rfind(b"\n") + 1 :]
        asyncio.run(write(settings(Path(name)), 3))
        made = records(journal)
        assert [one.line for one in made[:whole]] == CHAIN[:whole]
        assert [one.record.event for one in made[whole:]] == [
            "journal.opened",
            *["request.allowed"] * 3,
            "journal.closed",
        ]
        assert verify(Path(name), public_key=None).intact
        kept = list(journal.glob("*.torn"))
        assert b"".join(path.read_bytes() for path in kept) == torn


@given(garbage=st.binary(max_size=200))
@hypothesis(deadline=None, max_examples=60)
def test_what_is_no_line_at_the_end(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal = laid(Path(name), TEXT + garbage)
        if b"\n" in garbage:
            with pytest.raises(UnusableError):
                recover(journal)
            assert plain(journal, 1).read_bytes().startswith(TEXT)
        else:
            tail = recover(journal)
            assert (tail.sequence, tail.hash) == (12, read(CHAIN[-1]).hash)
            assert plain(journal, 1).read_bytes() == TEXT


def test_nothing_is_there(tmp_path: Path) -> None:
    assert recover(tmp_path) == Tail(0, FIRST, None, 0)


def test_torn_lines_are_kept_beside_each_other(tmp_path: Path) -> None:
    for _ in range(3):
        with plain(laid(tmp_path, TEXT), 1).open("ab") as file:
            file.write(b"{")
        recover(tmp_path / "gate.0")
    assert len(list((tmp_path / "gate.0").glob("*.torn"))) == 3


def test_an_empty_last_segment_is_gone_on_with(tmp_path: Path) -> None:
    journal = laid(tmp_path, TEXT)
    head(journal, 12, read(CHAIN[-1]).hash, "00000000000000000001.seal.json")
    plain(journal, 13).touch()
    tail = recover(journal)
    assert (tail.sequence, tail.size) == (12, 0)
    assert tail.segment is not None
    assert tail.segment.first == 13


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "its last line was edited": lambda journal: laid(journal.parent, TEXT.replace(b"acme", b"evil")),
    "it is of another journal": lambda journal: put(plain(journal, 1), chain(3, "gate.7")),
    "records before an empty segment are missing": lambda journal: plain(journal, 20).touch(),
    "its head names a later record": lambda journal: head(journal, 13, "0" * 64),
    "its head names another record": lambda journal: head(journal, 12, "0" * 64),
    "its seal names a later record": lambda journal: head(journal, 13, "0" * 64, "00000000000000000001.seal.json"),
    "its head is none": lambda journal: (journal / "head.json").write_text("{"),
    "what was removed cannot be read": lambda journal: (journal / "removed.json").write_text("{"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_evidence_is_not_overwritten(tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    journal = laid(tmp_path, TEXT)
    UNUSABLE[what](journal)
    with pytest.raises(UnusableError):
        recover(journal)
    before = {path.name: path.read_bytes() for path in journal.iterdir()}
    asyncio.run(write(settings(tmp_path), 1))
    after = {path.name: path.read_bytes() for path in journal.iterdir() if path.name != "lock"}
    assert after == before
    assert len(records(tmp_path / "gate.1")) == 3
    assert "gate.0 is left as it is" in caplog.text


def test_what_a_process_left_undone(tmp_path: Path) -> None:
    journal = written(tmp_path, 30, segment_bytes=3_000)
    assert unclean(journal, 100) == []
    made = stored(journal)
    last = segments(journal)[-1]
    more = chain(20, first=33, previous=read(made[-1]).hash)
    with last.path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in more) + b'{"torn')
    assert [one.line for one in unclean(journal, 100)] == more
    assert [one.line for one in unclean(journal, 4)] == more[-4:]


def test_nothing_closed_it_ever(tmp_path: Path) -> None:
    journal = laid(tmp_path, TEXT)
    assert [one.line for one in unclean(journal, 5_000)] == CHAIN
    put(plain(journal, 1), [*CHAIN[:5], b"{}", *CHAIN[5:]])
    # What stands behind a record that is none is still to be looked at.
    assert [one.line for one in unclean(journal, 5_000)] == CHAIN[5:]

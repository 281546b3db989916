"""Which files are segments, which folders journals, and their lines from both ends."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from policies.audit.journal import segments as on_disk
from policies.audit.journal.segments import Segment, backwards, is_journal, journals, lines, named, plain, segments

NAME = "00000000000000000007"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (f"{NAME}.jsonl", 7),
        (f"{NAME}.jsonl.gz", 7),
        (f"{NAME}.jsonl.torn", None),
        (f"{NAME}.jsonl.gz.new", None),
        (f"{NAME}.seal.json", None),
        ("7.jsonl", None),
        ("head.json", None),
        (f"x{NAME}.jsonl", None),
    ],
)
def test_names(name: str, first: int | None) -> None:
    assert named(name) == first


def test_segments_stand_in_order_and_once(tmp_path: Path) -> None:
    for name in ("30.jsonl", "7.jsonl.gz", "12.jsonl", "12.jsonl.gz"):
        (tmp_path / f"{name.partition('.')[0]:0>20}.{name.partition('.')[2]}").touch()
    (tmp_path / "head.json").touch()
    found = segments(tmp_path)
    assert [(part.first, part.packed) for part in found] == [(7, True), (12, False), (30, False)]
    assert found[0].seal.name == f"{NAME}.seal.json"
    assert found[0].index.name == f"{NAME}.index.json"
    assert plain(tmp_path, 12) == found[1].path


def test_journals_stand_in_order(tmp_path: Path) -> None:
    assert journals(tmp_path / "nowhere") == []
    for name in ("gate.10", "gate.2", "a.b.0", "other", "gate.x"):
        (tmp_path / name).mkdir()
    (tmp_path / "file.0").touch()
    assert [path.name for path in journals(tmp_path)] == ["a.b.0", "gate.2", "gate.10"]


def test_one_journal_is_told_from_a_folder_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "audit.1"
    (folder / "gate.0").mkdir(parents=True)
    assert not is_journal(folder)
    assert not is_journal(folder / "gate.0")
    plain(folder / "gate.0", 1).touch()
    assert is_journal(folder / "gate.0")
    (tmp_path / "lock").touch()
    assert not is_journal(tmp_path)


@given(text=st.binary(max_size=300), long=st.integers(0, 3))
@hypothesis(deadline=None)
def test_lines_from_both_ends(text: bytes, long: int) -> None:
    text = text + b"\n" + b"x" * (long * 200_000) + b"\n" + text
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"{NAME}.jsonl"
        path.write_bytes(text)
        packed = path.with_suffix(".jsonl.gz")
        packed.write_bytes(gzip.compress(text, 1))
        for one in (Segment(7, path), Segment(7, packed)):
            forwards = list(lines(one))
            assert b"".join(forwards) == text
            whole = [line[:-1] for line in forwards if line.endswith(b"\n")]
            assert list(backwards(one)) == whole[::-1]


def test_an_empty_segment_has_no_lines(tmp_path: Path) -> None:
    plain(tmp_path, 7).touch()
    assert list(lines(segments(tmp_path)[0])) == list(backwards(segments(tmp_path)[0])) == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_that_was_made_to_fill_the_memory_is_none(
    tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_disk, "_LONGEST", 100)
    path = plain(tmp_path, 1)
    path.write_bytes(b"a" * 99 + b"\n" + b"b" * 100 + b"\n")
    if packed:
        path = path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(plain(tmp_path, 1).read_bytes()))
    found = lines(Segment(1, path))
    assert next(found) == b"a" * 99 + b"\n"
    with pytest.raises(EOFError):
        next(found)

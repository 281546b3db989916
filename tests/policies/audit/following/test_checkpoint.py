"""How far a sink has come."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.audit.following.checkpoint import Checkpoint, CheckpointError
from policies.audit.journal.reader import Position
from tests.policies.audit.following.rigs import position_at


def test_the_first_time_everything_is_to_be_read(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "siem")
    checkpoint.load()
    assert checkpoint.get("gw.0") == Position()
    assert checkpoint.all() == {}


def test_what_was_saved_is_there_for_the_next(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "siem")
    checkpoint.put("gw.0", position_at(7))
    checkpoint.put("gw.1", position_at(3))
    assert checkpoint.dirty
    checkpoint.save()
    dirty = [checkpoint.dirty]
    for sequence in (3, 4):
        checkpoint.put("gw.1", position_at(sequence))
        dirty.append(checkpoint.dirty)
    assert dirty == [False, False, True]
    other = Checkpoint(tmp_path, "siem")
    other.load()
    assert other.all() == {"gw.0": position_at(7), "gw.1": position_at(3)}
    third = Checkpoint(tmp_path, "other")
    third.load()
    assert third.all() == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"gw.0": 3}', b'{"gw.0": {"sequence": "3"}}', b'{"gw.0": {"sequence": -3}}', b"\xff\xfe"],
)
def test_an_unreadable_one_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    checkpoint = Checkpoint(tmp_path, "siem")
    checkpoint.path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"siem\.checkpoint\.json cannot be used: .*Put it back from a copy"):
        checkpoint.load()
    assert checkpoint.path.read_bytes() == content


def test_one_that_cannot_be_opened_is_an_error_too(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "siem")
    checkpoint.path.mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        checkpoint.load()

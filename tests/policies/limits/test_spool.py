"""What a process leaves behind is taken by the next, once, and nobody takes what another still holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits import spool as module
from policies.limits.spool import Spool

PROCESS = """
import sys
from pathlib import Path
from policies.limits.spool import Spool
spool = Spool(Path(sys.argv[1]))
for line in spool.take():
    print(line.decode(), flush=True)
for line in sys.argv[2:]:
    spool.keep(line.encode())
print("kept", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(directory: Path, *lines: str) -> Iterator[subprocess.Popen[str]]:
    """A process that takes what there is, keeps these lines, and then waits. It is killed in the end."""
    running = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(directory), *lines],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    with running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGKILL)


def told(running: subprocess.Popen[str]) -> list[str]:
    """What a process took, once it has kept its own lines."""
    assert running.stdout is not None
    return [line.rstrip("\n") for line in iter(running.stdout.readline, "kept\n")]


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_killed_process_leaves_its_lines_to_the_next(tmp_path: Path) -> None:
    here = Spool(tmp_path)
    with process(tmp_path, "a", "b") as running:
        assert told(running) == []
        assert here.take() == []  # it holds them
    assert here.take() == [b"a", b"b"]
    # They are held by this one now, also from another that starts.
    with process(tmp_path, "c") as running:
        assert told(running) == []
    assert sorted(here.take()) == [b"c"]
    here.clear()
    assert files(tmp_path) == []
    here.close()


def test_what_was_taken_and_not_cleared_is_taken_again(tmp_path: Path) -> None:
    with process(tmp_path, "a") as running:
        told(running)
    with process(tmp_path, "b") as running:
        assert told(running) == ["a"]
    last = Spool(tmp_path)
    assert sorted(last.take()) == [b"a", b"b"]
    last.close()


def test_what_was_cleared_is_not_taken_again(tmp_path: Path) -> None:
    one = Spool(tmp_path)
    one.keep(b"a")
    one.clear()
    one.keep(b"b")
    one.close()
    other = Spool(tmp_path)
    assert other.take() == [b"b"]
    other.clear()
    other.close()
    assert files(tmp_path) == []


def test_several_files_at_once(tmp_path: Path) -> None:
    spools = [Spool(tmp_path) for _ in range(5)]
    for number, one in enumerate(spools):
        one.keep(b"%d" % number)
    assert len(files(tmp_path)) == 5
    for one in spools[:4]:
        one.close()
    other = Spool(tmp_path)
    assert sorted(other.take()) == [b"0", b"1", b"2", b"3"]
    other.clear()
    assert len(files(tmp_path)) == 1
    other.close()
    spools[4].close()


def test_those_beside_each_other_are_cleared_each_by_itself(tmp_path: Path) -> None:
    one = Spool(tmp_path)
    beside = one.beside()
    one.keep(b"a")
    beside.keep(b"b")
    one.clear()
    one.close()
    beside.close()
    other = Spool(tmp_path)
    assert other.take() == [b"b"]
    other.close()


def test_a_file_that_was_taken_before_it_was_locked_is_left_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts finds a file that another has just made, and has not locked yet."""
    other, stolen = Spool(tmp_path), []
    lock = module._locked

    def after_a_theft(descriptor: int) -> bool:
        monkeypatch.setattr(module, "_locked", lock)
        stolen.extend(files(tmp_path))
        assert other.take() == []
        other.clear()
        return lock(descriptor)

    monkeypatch.setattr(module, "_locked", after_a_theft)
    one = Spool(tmp_path)
    one.keep(b"a")
    assert len(stolen) == 1
    assert len(files(tmp_path)) == 1
    assert not set(stolen) & set(files(tmp_path))
    one.close()
    assert other.take() == [b"a"]
    other.close()


@given(st.lists(st.binary(min_size=1, max_size=50).filter(lambda line: b"\n" not in line), max_size=20))
def test_lines_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("spool")
    one = Spool(directory)
    for line in lines:
        one.keep(line)
    one.close()
    other = Spool(directory)
    assert other.take() == lines
    other.close()


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Spool(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:4]))
    one.keep(b"abcdefgh")
    monkeypatch.undo()
    one.keep(b"whole")
    one.close()
    other = Spool(tmp_path)
    assert other.take() == [b"abc", b"whole"]
    other.close()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    one = Spool(tmp_path / "new" / "spool")
    one.keep(b"a")
    [path] = files(tmp_path / "new" / "spool")
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    one.close()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    one = Spool(tmp_path)
    assert one.take() == []
    one.clear()
    one.close()
    assert [path.name for path in files(tmp_path)] == ["README"]


def test_a_directory_that_cannot_be_used_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no directory")
    one = Spool(tmp_path / "file")
    assert one.take() == []
    for _ in range(3):
        one.keep(b"secret")
    one.clear()
    one.close()
    assert [record.message for record in caplog.records] == [
        "the spool of limits cannot be read: File exists",
        "the spool of limits cannot be written: File exists",
    ]
    assert "secret" not in caplog.text

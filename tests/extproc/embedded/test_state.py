from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from extproc.embedded.faults import StackError
from extproc.embedded.state import make_private, occupied, write_private


def test_it_makes_private_directories_and_removes_the_sockets(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    with occupied(state) as sockets:
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        (sockets / "policy.sock").touch()
        assert len(str(sockets / "policy.sock")) < 100
        assert (state / "run" / "sockets").resolve() == sockets.resolve()
        assert {stat.S_IMODE((state / name).stat().st_mode) for name in (".", "logs", "run", "valkey")} == {0o700}
    assert not sockets.exists()
    assert not (state / "run" / "sockets").is_symlink()


def test_it_is_free_again_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), occupied(tmp_path):
        raise RuntimeError
    with occupied(tmp_path) as sockets:
        assert sockets.is_dir()


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from extproc.embedded.state import occupied; "
    hold = code + "m = occupied(Path(sys.argv[1])); m.__enter__(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        (sys.executable, "-c", hold, str(tmp_path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StackError, match=rf"another `sluicegate up` \(process {holder.pid}\) runs in .*--state"):
            occupied(tmp_path).__enter__()
        # Killed outright it cannot remove its sockets: the next one does.
        left = (tmp_path / "run" / "sockets").resolve()
        holder.kill()
        holder.wait()
    assert left.is_dir()
    with occupied(tmp_path) as sockets:
        assert not left.exists()
        assert sockets.is_dir()


def test_it_removes_no_directory_that_is_not_its_own(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    make_private(tmp_path / "state" / "run")
    (tmp_path / "state" / "run" / "sockets").symlink_to(precious)
    with occupied(tmp_path / "state"):
        pass
    assert precious.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StackError, match="Permission denied"):
        occupied(tmp_path / "state").__enter__()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StackError, match=r"the state directory .*state"):
        occupied(tmp_path / "state").__enter__()


def test_what_is_written_is_private_also_over_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sockets_are_in_the_systems_temporary_directory(tmp_path: Path) -> None:
    with occupied(tmp_path) as sockets:
        assert sockets.parent == Path(tempfile.gettempdir())

"""A file is replaced whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from policies.audit.atomic import replace, sync_folder


@pytest.mark.parametrize("sync", [True, False])
def test_the_content_is_replaced_and_nothing_else_is_left(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "file.json"
    replace(path, b"first, and longer", sync=sync)
    replace(path, b"second", sync=sync)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_stays_where_it_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"file\.json"):
        replace(path, b"new", sync=True)
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "inside").is_dir()


def test_a_folder_that_is_not_synced_has_the_new_content_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    replace(path, b"new", sync=True, folder=False)
    assert path.read_bytes() == b"new"
    sync_folder(tmp_path)
    with pytest.raises(OSError, match="Not a directory"):
        sync_folder(path)

"""A small file that is replaced whole: readers see the former one or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes, *, sync: bool, folder: bool = True) -> None:
    """Write `content` as `path`, mode 0600. One at a time for each path.

    Args:
        sync: after a power cut the new one is there, else maybe an empty one.
        folder: False with `sync`: the former one may be there instead, until the folder is synced.

    Raises:
        OSError: it could not be written; what was there is there still.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if sync and folder:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make sure that files which were made, renamed or removed in a folder are so after the machine has failed.

    Raises:
        OSError: that cannot be said.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

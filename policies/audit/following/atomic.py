"""A small file that is replaced whole: readers see the former one or the new one."""

from __future__ import annotations

import os
from pathlib import Path

from policies.audit.journal.heads import sync_folder


def replace(path: Path, content: bytes, *, sync: bool) -> None:
    """Write `content` as `path`, mode 0600. `sync`: it is there after a power cut as well. One at a time for each path.

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
    if sync:
        sync_folder(path.parent)

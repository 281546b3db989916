"""Where the embedded stack keeps things.

`<state>/` (mode 0700) stays: keys, logs, Valkey's data, the configuration that was run. Sockets do not go there: the
path of a unix socket has at most 108 bytes (Linux; 104 elsewhere), so they go to a short directory of their own that is
removed at the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extproc.embedded.faults import StackError

_PREFIX: Final = "sluicegate-"


def make_private(path: Path) -> None:
    """Make a directory that only its owner can enter, and those above it.

    Raises:
        StackError: it cannot be made.
    """
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    try:
        for directory in reversed(missing):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(f"the state directory {path}: {error.strerror}") from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@contextlib.contextmanager
def occupied(state: Path) -> Iterator[Path]:
    """Hold the state directory: one stack at a time. Gives the directory for sockets, and removes it at the end.

    Raises:
        StackError: another stack holds it, or it cannot be written.
    """
    for name in ("logs", "run", "valkey"):
        make_private(state / name)
    try:
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(f"the state directory {state}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise StackError(
                f"another `sluicegate up` (process {holder or 'unknown'}) runs in {state}: "
                "stop it, or choose another directory with --state"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        with _sockets(state / "run" / "sockets") as directory:
            yield directory
    finally:
        os.close(lock)


@contextlib.contextmanager
def _sockets(link: Path) -> Iterator[Path]:
    # A stack that was killed outright has left its directory behind: the link in the state directory finds it.
    if link.is_symlink():
        _remove(Path(os.readlink(link)))
        link.unlink()
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        link.symlink_to(directory)
        yield directory
    finally:
        link.unlink(missing_ok=True)
        _remove(directory)


def _remove(directory: Path) -> None:
    """Remove a directory of sockets; never anything that is not one of ours."""
    if directory.name.startswith(_PREFIX) and directory.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(directory, ignore_errors=True)

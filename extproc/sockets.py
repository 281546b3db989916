"""Listening sockets: bound so that nobody else can answer in our place, or ask us."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BACKLOG: Final = 1024
"""Connections that may wait to be accepted: while a worker is being replaced, those of its callers do."""
_PROBE_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 5.0
_GLANCE: Final = 0.01


def bind(address: str) -> socket.socket:
    """A socket that listens on `unix:/path` or `host:port`, not blocking. Unix sockets have mode 0600.

    A stale unix socket, left by a server that was killed, is replaced.

    Raises:
        OSError: the address cannot be bound, a server listens there, or others could put a socket of their own in its
            place.
    """
    if address.startswith("unix:"):
        return _bind_unix(Path(address.removeprefix("unix:")))
    host, _, port = address.rpartition(":")
    family, _, _, _, where = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    return listening


def _bind_unix(path: Path) -> socket.socket:
    _make_directory(path)
    # A socket that is bound and does not listen yet looks like a stale one: two servers that start at once would each
    # remove the other's.
    with _turn(path.parent):
        clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Whoever can connect can ask for verdicts and write completions. The mode must be right from the first moment.
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise OSError(error.errno, f"cannot listen on unix:{path}: {error.strerror}") from error
        finally:
            os.umask(before)
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a bound socket listens: `unix:/path` or `host:port`."""
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Mark:
    """Tells the file of a unix socket that we have bound from one that somebody else has put in its place since."""

    def __init__(self, address: str) -> None:
        """`address` is bound; of `host:port` there is no file."""
        self._path = Path(address.removeprefix("unix:")) if address.startswith("unix:") else None
        self._facts = _facts(self._path) if self._path else None

    def remove(self) -> None:
        """Remove the file, if it is still ours: another server may listen there by now, and would never be found."""
        if self._path is not None and self._facts is not None and _facts(self._path) == self._facts:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _facts(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.lstat()
    except OSError:
        return None
    # Numbers of inodes are used again, often at once. Who is given the file, or may use it, does not change this time.
    return (facts.st_dev, facts.st_ino, facts.st_mtime_ns)


def clear(path: Path) -> None:
    """Make way for a unix socket: its directory, and no stale socket of a server that was killed.

    Raises:
        OSError: a server listens there, or others could put a socket of their own in the place of ours: Envoy would ask
            them for verdicts.
    """
    _make_directory(path)
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        # One that hangs accepts nobody, and its queue may be full.
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on unix:{path}: {error.strerror}") from error
    raise OSError(f"cannot listen on unix:{path}: a server listens there already")


def _make_directory(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_directory(path.parent)


def _check_directory(directory: Path) -> None:
    facts = directory.stat()
    if facts.st_uid not in (0, os.geteuid()):
        raise OSError(f"cannot listen in {directory}: the directory belongs to another user")
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise OSError(f"cannot listen in {directory}: everybody may write there; name a directory below it, to be made")


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """One server at a time binds in a directory. The lock is on the directory itself: no file is left, and the system
    takes it back from whoever dies."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _TURN_SECONDS
        while not _locked(held):
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, f"cannot listen in {directory}: somebody else holds it locked")
            time.sleep(_GLANCE)
        yield
    finally:
        os.close(held)


def _locked(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

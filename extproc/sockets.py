"""Listening sockets: bound so that nobody else can answer in our place, or ask us."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

_BACKLOG: Final = 1024


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
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    return listening


def _bind_unix(path: Path) -> socket.socket:
    clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Whoever can connect can ask for verdicts and write completions. The mode must be right from the first moment.
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(_BACKLOG)
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


def clear(path: Path) -> None:
    """Make way for a unix socket: its directory, and no stale socket of a server that was killed.

    Raises:
        OSError: a server listens there, or others could put a socket of their own in the place of ours: Envoy would ask
            them for verdicts.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_directory(path.parent)
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
        else:
            raise OSError(f"cannot listen on unix:{path}: a server listens there already")


def _check_directory(directory: Path) -> None:
    facts = directory.stat()
    if facts.st_uid not in (0, os.geteuid()):
        raise OSError(f"cannot listen in {directory}: the directory belongs to another user")
    if facts.st_mode & stat.S_IWOTH and not facts.st_mode & stat.S_ISVTX:
        raise OSError(f"cannot listen in {directory}: everybody may write there; name a directory below it, to be made")

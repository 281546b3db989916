"""`sluicegate up` as a process, and what is left of it afterwards: processes, sockets, an open port."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.ai_gateway import PROFILE

PR_SET_CHILD_SUBREAPER = 36
PROGRAM = Path(sys.executable).with_name("sluicegate")
SERVES = "Ctrl-C ends it."


@dataclass(slots=True)
class Up:
    """A started `sluicegate up`. Its sockets go to `sockets`, and nothing else does."""

    process: subprocess.Popen[str]
    state: Path
    sockets: Path
    output: Path

    def until_it_serves(self) -> str:
        """What it has printed."""
        deadline = time.monotonic() + 60
        while SERVES not in (text := self.output.read_text()):
            assert self.process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        return text

    @property
    def url(self) -> str:
        found = re.search(r"gateway \((?:Envoy|AI Gateway)\) +(http://127\.0\.0\.1:\d+)", self.output.read_text())
        assert found is not None
        return found[1]

    def child(self, name: str) -> int:
        """The process id of a child, by its log: the file that its standard output is."""
        log = (self.state / "logs" / f"{name}.log").resolve()
        for pid in children(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/fd/1").readlink() == log:
                    return pid
        raise LookupError(name)

    def until_settled(self) -> None:
        """Until no reservation is open: a worker whose store is killed before it waits five seconds for those."""
        [path] = self.sockets.rglob("valkey.sock")
        deadline = time.monotonic() + 10
        with redis.Redis(unix_socket_path=str(path)) as store:
            while found := list(store.scan_iter("sg:*:leases")):
                assert time.monotonic() < deadline, found
                time.sleep(0.02)

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def left_behind(self) -> list[str]:
        """Processes and sockets that are still there. Processes get a moment to be gone."""
        deadline = time.monotonic() + 3
        while (orphans := _reap(children(os.getpid()) - self._before)) and time.monotonic() < deadline:
            time.sleep(0.02)
        processes = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in orphans]
        return processes + [str(path) for path in self.sockets.rglob("*")]

    _before: frozenset[int] = frozenset()


def children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def _reap(pids: set[int]) -> set[int]:
    """Those that still run."""
    running = set()
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                running.add(pid)
    return running


@contextlib.contextmanager
def up(state: Path, *arguments: str) -> Iterator[Up]:
    """Start it; its orphans, if it leaves any, become our own children, so that none can hide."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    sockets = Path(tempfile.mkdtemp(prefix="sg-up-"))
    output = sockets.with_suffix(".out")
    before = frozenset(children(os.getpid()))
    with output.open("w") as file:
        process = subprocess.Popen(
            (PROGRAM, "up", "--state", str(state), "--profile", PROFILE, *arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(sockets)},
        )
    started = Up(process, state, sockets, output)
    started._before = before | {process.pid}
    try:
        yield started
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()
        for orphan in _reap(children(os.getpid()) - started._before):
            os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)
        shutil.rmtree(sockets, ignore_errors=True)
        output.unlink()


def listens(url: str) -> bool:
    """Whether anybody accepts connections there."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0

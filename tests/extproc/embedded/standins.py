"""Small programs that stand in for the parts of the stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from extproc.embedded.child import Plan

SERVES = "print('ready', flush=True); import time; time.sleep(600)"
DIES = "print('one'); print('two', flush=True); raise SystemExit(3)"
SERVES_THEN_DIES = (
    "import time; print('ready', flush=True); time.sleep(.3); print('that was it', flush=True); raise SystemExit(4)"
)
NEVER_READY = "print('still thinking', flush=True); import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
SLOW = f"import time; time.sleep(.5); {SERVES}"
WITH_A_CHILD = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    f"print('child', p.pid, flush=True); {SERVES}"
)


async def is_ready(log: Path) -> bool:
    return "ready" in log.read_text()


def plan(
    name: str,
    code: str,
    *,
    patience: float = 20.0,
    grace: float = 5.0,
    retire: Callable[[], Awaitable[None]] | None = None,
) -> Plan:
    return Plan(name, (sys.executable, "-c", code), is_ready, patience=patience, grace=grace, retire=retire)


def lives(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


def pids_with(word: str) -> set[int]:
    """The processes whose command line or environment has this word in it."""
    found = set()
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                if word.encode() in (directory / "cmdline").read_bytes() and lives(int(directory.name)):
                    found.add(int(directory.name))
            except OSError:
                continue
    return found

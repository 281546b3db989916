"""One process of the stack: started on a leash, in a session of its own, with its output in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LEASH: Final = Path(__file__).with_name("leash.py")
_TAIL_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and how to tell that it serves.

    Attributes:
        program: the executable and its arguments.
        ready: asked again and again until it says True; given the path of the child's log.
        where: the address, for people.
        retire: lets the child finish its work before it is ended, in its own time limit.
        patience: seconds until it must be ready.
        grace: seconds from SIGTERM to SIGKILL.
        again: where it dies it is started again; the others do without it meanwhile.
    """

    name: str
    program: tuple[str, ...]
    ready: Callable[[Path], Awaitable[bool]] = field(repr=False)
    where: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    retire: Callable[[], Awaitable[None]] | None = field(default=None, repr=False)
    patience: float = 30.0
    grace: float = 10.0
    again: bool = False


class Child:
    """A started process.

    It is started in one synchronous step: there is no moment in which it exists and nobody knows of it.
    """

    def __init__(self, plan: Plan, logs: Path) -> None:
        self.plan = plan
        self.log = logs / f"{plan.name}.log"
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".previous.log"))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *plan.program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **plan.environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        """Whether it has ended. What it may have started itself is ended with it."""
        if self._process.returncode is None and self._process.poll() is not None:
            self._sweep()
        return self._process.returncode is not None

    async def has_ended(self) -> bool:
        """`ended`, for `until`."""
        return self.ended()

    def terminate(self) -> None:
        """Ask it to end."""
        if not self.ended():
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, with all that it has started."""
        if not self.ended():
            self._sweep()
            self._process.wait()

    def fate(self) -> str:
        """How it ended, in words."""
        status = self._process.returncode
        if status is None:
            return "still runs"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def last_lines(self, count: int = 12) -> tuple[str, ...]:
        """The end of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-count:]

    def _sweep(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

"""What a stack is doing while it starts and stops: one moving line on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.status import Status

from extproc.printing import is_terminal, say

TITLES: Final[Mapping[str, str]] = {
    "envoy": "gateway (Envoy)",
    "aigw": "gateway (AI Gateway)",
    "policy": "policy server",
    "identity": "demo identity provider",
    "simulator": "upstream simulator",
    "valkey": "Valkey",
}


class Progress:
    """A context manager; `report` is what a supervisor tells."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._busy: dict[str, None] = {}
        self._status: Status | None = Console().status("") if is_terminal() else None
        self._moving = False

    def report(self, name: str, what: str) -> None:
        """Something happens to a child."""
        title = TITLES.get(name, name)
        match what:
            case "starting":
                self._begun[name] = time.monotonic()
                self._busy[title] = None
                self._show("starting", f"starting {title}")
            case "ready":
                self._busy.pop(title, None)
                self._show("starting", f"{title} is ready ({time.monotonic() - self._begun[name]:.1f} s)")
            case "stopping":
                self._busy = {title: None}
                self._show("stopping", f"stopping {title}")
            case _:
                self._busy.pop(title, None)

    def pause(self) -> None:
        """Clear the moving line: something is about to be printed."""
        if self._status is not None and self._moving:
            self._status.stop()
            self._moving = False

    def _show(self, doing: str, line: str) -> None:
        if self._status is None:
            say(line)
        elif self._busy:
            self._status.update(f"{doing} {', '.join(self._busy)}")
            if not self._moving:
                self._status.start()
                self._moving = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

"""What has come of an exchange so far: what the chain writes down while it asks the policies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from extproc.completion import Decision
from extproc.exchange import Exchange

if TYPE_CHECKING:
    from extproc.chain import Link


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy said in one phase, for `sluicegate explain`."""

    policy: str
    phase: str
    outcome: str
    code: str = ""
    notes: tuple[str, ...] = ()


class Course(msgspec.Struct):
    """What has come of one exchange so far: the chain's mutable half of it."""

    exchange: Exchange
    decisions: list[Decision] = msgspec.field(default_factory=list)
    set_headers: dict[str, str] = msgspec.field(default_factory=dict)
    remove_headers: set[str] = msgspec.field(default_factory=set)
    members: dict[str, Any] = msgspec.field(default_factory=dict)
    body_changed: bool = False
    steps: list[Step] | None = None
    unasked: Iterator[Link] | None = None
    """The policies whose `on_request_body` is still to be asked. None: none was, or all has been said about it."""
    deadline: float | None = None
    """Until when the policies may be waited for on the present message, on the event loop's clock. None: nobody waits."""
    ahead: bool = False
    """The headers were answered before they were judged: Envoy may have sent the body by then, and waits since."""

    def has_body(self) -> None:
        """The next message has come, and what is waited for on it has a time of its own: if Envoy's own began with it."""
        if self.deadline is not None and not (self.ahead and self.deadline > asyncio.get_running_loop().time()):
            self.deadline = None

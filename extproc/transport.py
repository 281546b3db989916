"""The seam between transport and thought.

A transport carries three services for Envoy: ext_proc streams, access log streams, health. It knows gRPC and sockets;
what the messages mean is behind `Services`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from extproc.conversation import Conversation
from extproc.protos import Message

MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Services:
    """What a transport serves.

    Attributes:
        converse: a new conversation, for a new ext_proc stream.
        log: takes one message of an access log stream; returns at once.
        healthy: whether the server can decide, for `grpc.health.v1`.
    """

    converse: Callable[[], Conversation]
    log: Callable[[Message], None]
    healthy: Callable[[], bool]


class Transport(Protocol):
    """A listening gRPC server."""

    async def start(self, address: str) -> str:
        """Listen on `unix:/path` or `host:port` and serve; the address bound (a port of 0 is replaced).

        Raises:
            OSError: the address cannot be bound.
        """
        ...

    async def stop(self, grace: float) -> None:
        """Take no new streams, let those in flight finish for at most `grace` seconds, then end them with errors."""
        ...

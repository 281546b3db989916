"""The seam between transport and thought.

A transport carries three services for Envoy: ext_proc streams, access log streams, health. It knows gRPC and sockets, and
no message: bytes in, bytes out. What they mean is behind `Services`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
PROCESS: Final = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
ACCESS_LOGS: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
HEALTH_WATCH: Final = "/grpc.health.v1.Health/Watch"


class ProtocolError(RuntimeError):
    """The peer sent what no legal conversation holds. The stream must end with an error."""


class Dialogue(Protocol):
    """One ext_proc stream. **A clean end before the verdict would let the request pass**: see `may_end`."""

    @property
    def may_end(self) -> bool:
        """Whether the stream may end cleanly now."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come that needs an answer: the transport may end the stream."""
        ...

    def receive(self, data: bytes) -> bytes | Awaitable[bytes]:
        """The answer to a `ProcessingRequest`: a `ProcessingResponse`, at once or when a policy has been waited for.

        Called for one message at a time.

        Raises:
            ProtocolError: the message is not legal here. Anything else that is raised is a fault of ours.
        """
        ...

    def abandon(self) -> None:
        """The answer to the last message is not sent: it is not waited for any longer, or could not be made. Returns at
        once, and may be called again. What was awaited has ended before."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What a transport serves.

    Attributes:
        converse: a new dialogue, for a new ext_proc stream.
        log: takes one `StreamAccessLogsMessage`; returns at once.
        healthy: whether the server can decide, for `grpc.health.v1`.
    """

    converse: Callable[[], Dialogue]
    log: Callable[[bytes], None]
    healthy: Callable[[], bool]


class Transport(Protocol):
    """A listening gRPC server."""

    async def start(self, address: str, inherited: socket.socket | None = None) -> str:
        """Listen on `unix:/path` or `host:port` and serve; the address bound (a port of 0 is replaced).

        `inherited`: a socket that listens on `address` already, and outlives the transport.

        Raises:
            OSError: the address cannot be bound.
        """
        ...

    async def stop(self, grace: float) -> None:
        """Take no new streams, let those in flight finish for at most `grace` seconds, then end them with errors."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What has happened since the start: `connections`, `streams`, `violation_…` by kind, ever growing; and what is
        there now: `connections_open`, `streams_open`."""
        ...

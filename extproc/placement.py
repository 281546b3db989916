"""Where the processes of a policy server listen: from `server.listen` and `server.workers` to addresses. Pure.

One process decides and settles at one address. Several decide each at an address of its own, so that Envoy balances
requests and not connections, and one more settles: the access log comes on a few connections that last, and would pile up
on whichever worker happened to take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Final

MAX_WORKERS: Final = 64
_MAX_PORT: Final = 65_535
_MAX_PATH: Final = 103
"""Bytes of a unix socket's path, where it is shortest (sockaddr_un: 104 with the final zero on BSD and macOS)."""


class Role(Enum):
    """What a process is there for."""

    BOTH = "both"
    DECIDE = "decide"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of one process: another may take it over, the address stays.

    Attributes:
        index: 1 to N for those that decide, 0 for one that only settles.
        address: `unix:/path` or `host:port`.
    """

    index: int
    role: Role
    address: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where Envoy asks for verdicts, and where it sends its access log."""

    deciding: tuple[str, ...]
    settling: str

    def seats(self) -> tuple[Seat, ...]:
        """A seat for each process. Those that decide come first."""
        if self.deciding == (self.settling,):
            return (Seat(1, Role.BOTH, self.settling),)
        return (
            *(Seat(index, Role.DECIDE, address) for index, address in enumerate(self.deciding, 1)),
            Seat(0, Role.SETTLE, self.settling),
        )


def place(listen: str, workers: int) -> Placement:
    """The addresses of `workers` processes that decide, and of the one that settles.

    `unix:/run/policy.sock` becomes `/run/policy.1.sock` … and `/run/policy.settle.sock`; a port becomes that port and
    those after it, the last of them for settlement.

    Raises:
        ValueError: there is no room for them; says why.
    """
    if workers == 1:
        return Placement((listen,), listen)
    *deciding, settling = _several(listen, workers)
    return Placement(tuple(deciding), settling)


def _several(listen: str, workers: int) -> Iterator[str]:
    if listen.startswith("unix:"):
        path = PurePosixPath(listen.removeprefix("unix:"))
        for name in (*range(1, workers + 1), "settle"):
            one = str(path.with_name(f"{path.stem}.{name}{path.suffix}"))
            if len(one.encode()) > _MAX_PATH:
                raise ValueError(f"{one} is too long for the path of a unix socket: at most {_MAX_PATH} bytes")
            yield f"unix:{one}"
        return
    host, _, first = listen.rpartition(":")
    port = int(first)
    if port == 0:
        raise ValueError("several workers need a port that is known: port 0 is any free one")
    if port + workers > _MAX_PORT:
        raise ValueError(
            f"{workers} workers and settlement take the ports {port} to {port + workers}: there are {_MAX_PORT}"
        )
    for number in range(port, port + workers + 1):
        yield f"{host}:{number}"

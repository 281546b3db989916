"""TCP ports: free ones, and whether one is taken."""

from __future__ import annotations

import atexit
import errno
import random
import socket
import sys
from collections import deque
from typing import Final

from extproc.embedded.faults import StackError

_LOWEST: Final = 10_240
_LIMIT: Final = 18_000
"""From here on `aigw run` takes some as they come, whoever has them (`extproc.ai_gateway.running`). Linux takes ports for
outgoing connections from 32,768 on (`net.ipv4.ip_local_port_range`), others higher; a node of a Redis cluster listens
10,000 above its port as well."""
_ATTEMPTS: Final = 100
# Not the shared generator: who seeds that one in two processes at once gets the same ports twice.
_CHANCE: Final = random.SystemRandom()
_KEPT: Final = 64
"""Ports that a process keeps to itself after it was given them: by then the first is in use."""
_kept: Final[deque[socket.socket]] = deque()


@atexit.register
def _let_go() -> None:
    while _kept:
        _kept.popleft().close()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, that no outgoing connection takes before we do, and that (on Linux)
    nobody else who asks here is given meanwhile.

    Raises:
        StackError: a hundred ports, chosen by chance, were all taken.
    """
    for _ in range(_ATTEMPTS):
        port = _CHANCE.randrange(_LOWEST, _LIMIT)
        mark = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":
                # A name of unix(7)'s abstract namespace: it belongs to one process, and goes when that ends.
                mark.bind(f"\0sluicegate-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _kept.append(mark)
        if len(_kept) > _KEPT:
            _kept.popleft().close()
        return port
    raise StackError(f"no free port was found from {_LOWEST} to {_LIMIT - 1}")


def claim(address: str, port: int) -> None:
    """Make sure that we can listen there.

    Envoy shares its ports (SO_REUSEPORT), so that a second one on the same port would be silent about it.

    Raises:
        StackError: with the port and what to do.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        # As a server would: connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise StackError(_reason(error, address, port)) from error


def _reason(error: OSError, address: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {address} is in use: stop what listens there, or choose another port with --port"
        case errno.EACCES:
            return f"port {port} on {address} is reserved for the system: choose another with --port, such as 8080"
        case errno.EADDRNOTAVAIL:
            return f"this machine has no address {address}: see listen.address in the configuration"
    return f"cannot listen on {address} port {port}: {error.strerror or error}"

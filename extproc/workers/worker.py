"""The program of a worker, started by its supervisor (see the package).

python -P -m extproc.workers.worker --fd SOCKET --status-fd PIPE --role both|decide|settle
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from extproc.placement import Role


def main(arguments: Sequence[str] | None = None) -> int:
    """The process; its exit status."""
    # The terminal sends these to everybody. When a worker ends is its supervisor's to say.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="extproc.workers.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    parser.add_argument("--role", choices=[role.value for role in Role], required=True)
    given = parser.parse_args(arguments)
    # After the signals: this takes a while.
    from extproc.workers.duty import serve

    return serve(Role(given.role), given.fd, given.status_fd)


if __name__ == "__main__":
    sys.exit(main())

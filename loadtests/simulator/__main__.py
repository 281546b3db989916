"""Serve the simulator: `python -m loadtests.simulator --port N | --uds PATH`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from loadtests.simulator.app import Simulator


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulator", description="A simulated LLM upstream.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="TCP port to listen on")
    where.add_argument("--uds", help="path of the unix socket to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    # After its graceful stop uvicorn raises the signal again: as an exit, so that the socket is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        uvicorn.run(
            Simulator(),
            host=chosen.host,
            port=chosen.port or 0,
            uds=chosen.uds,
            access_log=False,
            server_header=False,
            # Cuts on request are no errors; uvicorn would report each.
            log_level="critical",
            timeout_keep_alive=300,
            timeout_graceful_shutdown=1,
        )
    finally:
        if chosen.uds:
            Path(chosen.uds).unlink(missing_ok=True)


if __name__ == "__main__":
    main()

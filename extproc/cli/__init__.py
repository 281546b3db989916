"""The command line. One module per command; commands of policies are found by entry point."""

from __future__ import annotations

import sys


def main() -> None:
    """The command `sluicegate`."""
    try:
        # Imported here: it takes a moment, in which somebody may change their mind.
        from extproc.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)

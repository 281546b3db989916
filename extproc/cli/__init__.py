"""The command line. One module per command; commands of policies are found by entry point."""

from __future__ import annotations

import sys


def main() -> None:
    """The command `sluicegate`."""
    from extproc.cli.app import run

    sys.exit(run(sys.argv[1:]))

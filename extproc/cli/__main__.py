"""`python -m extproc.cli`: the command line where no `sluicegate` is on the path."""

from __future__ import annotations

from extproc.cli import main

main()

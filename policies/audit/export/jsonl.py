"""Records as they stand in the journal, a line each, to the byte: whoever has the lines can check the chain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from policies.audit.record import Closed


def export(records: Iterable[Closed], out: BinaryIO) -> None:
    """Write them to `out`, which stays open."""
    for closed in records:
        out.write(closed.line + b"\n")

"""`reconciled.json` in the journal's folder: what `ledger reconcile --tell` found last, for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from policies.audit.atomic import replace

FILE: Final = "reconciled.json"
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=10**12)]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        time: when that was, in seconds since the epoch.
        differences: that nothing explains.
        broken: journals that could not be read to their end.
    """

    time: Moment
    differences: Count
    broken: Count


def write_result(folder: Path, result: Result) -> None:
    """
    Raises:
        OSError: it could not be written.
    """
    replace(folder / FILE, msgspec.json.encode(result), sync=False)


def read_result(folder: Path) -> Result | None:
    """What was written last; None where there is nothing, or nothing readable."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None

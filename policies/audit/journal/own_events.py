"""What a journal writes of itself, and of the journals beside it: it names how far they are, and who cuts one leaves a
trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from policies.audit.journal.heads import NoteError, read_head
from policies.audit.journal.segments import HEAD, journals
from policies.audit.moments import moment
from policies.audit.record import Closed, Kind, Level, Name

_log = logging.getLogger(__name__)
_MOST: Final = 1_000
_WITNESS: Final = "witness"
_NAMES_OTHERS: Final = frozenset({Name.JOURNAL_OPENED.value, Name.JOURNAL_WITNESSED.value})


def opened(now: float, others: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The journal was opened."""
    return _event(Name.JOURNAL_OPENED, now) | _naming(others)


def witnessing(now: float, others: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """How far other journals are now."""
    return _event(Name.JOURNAL_WITNESSED, now) | _naming(others)


def _naming(others: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    if not others:
        return {}
    heads = {journal: {"hash": digest, "sequence": sequence} for journal, (sequence, digest) in others.items()}
    return {"params": {_WITNESS: heads}}


def closed(now: float) -> dict[str, Any]:
    """It was closed: nothing was left to be done."""
    return _event(Name.JOURNAL_CLOSED, now)


def gap(now: float, lost: int) -> dict[str, Any]:
    """Records were lost here."""
    return _event(Name.JOURNAL_GAP, now) | {"level": Level.ERROR.value, "lost": lost, "result": "failure"}


def _event(name: str, now: float) -> dict[str, Any]:
    return {
        "event": str(name),
        "kind": Kind.EVENT.value,
        "level": Level.INFO.value,
        "result": "success",
        "timestamp": moment(now),
    }


def witnessed(folder: Path, journal: str) -> dict[str, tuple[int, str]]:
    """How far the journals beside one are: sequence and hash. What cannot be read is left out."""
    found = {}
    for path in journals(folder)[:_MOST]:
        try:
            head = read_head(path / HEAD) if path.name != journal else None
        except (OSError, NoteError) as error:
            _log.warning("the head of journal %s cannot be read: %s", path.name, type(error).__name__)
            continue
        if head is not None:
            found[path.name] = head.sequence, head.hash
    return found


def witness(record: Closed) -> dict[str, tuple[int, str]]:
    """What a record says of other journals; nothing if it is none that does."""
    if record.record.event not in _NAMES_OTHERS:
        return {}
    said = record.record.params.get(_WITNESS)
    if not isinstance(said, dict):
        return {}
    return {
        name: (one["sequence"], one["hash"])
        for name, one in said.items()
        if isinstance(one, dict) and isinstance(one.get("sequence"), int) and isinstance(one.get("hash"), str)
    }


def log_end(journal: str, unwritten: int, ended: bool) -> None:
    """Say what became of a journal that was closed, unless all went well."""
    if unwritten:
        _log.error("journal %s was closed, and its last %d records were not written", journal, unwritten)
    elif not ended:
        _log.error("journal %s was closed, and its thread still waits for the disk", journal)

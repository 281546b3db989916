"""How far all journals are is written down from time to time: who cuts one back to where a segment was sealed leaves no
other trace, until another journal is opened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from policies.audit.journal.own_events import witnessed

_log = logging.getLogger(__name__)
_EVERY: Final = 3_600.0
"""Seconds: what is cut off unseen is no older than that."""


class Witnessing:
    """What was said of other journals, and when it is time to say more."""

    def __init__(self, folder: Path, now: float) -> None:
        """`now`: seconds, of a clock that does not go back."""
        self._folder = folder
        self._at = now
        self._said: dict[str, tuple[int, str]] = {}

    def is_due(self, now: float) -> bool:
        """Whether it is time."""
        return now - self._at >= _EVERY

    def look(self, own: str) -> dict[str, tuple[int, str]]:
        """Those of which something else is to be said than before: sequence and hash. Blocking.

        Raises:
            OSError: the folder cannot be listed.
        """
        found = witnessed(self._folder, own)
        for journal, (sequence, _) in found.items():
            before = self._said.get(journal, (0, ""))[0]
            if sequence < before:
                _log.error("journal %s was synced up to record %d, and now says %d", journal, before, sequence)
        return {journal: head for journal, head in found.items() if head != self._said.get(journal)}

    def said(self, found: Mapping[str, tuple[int, str]], now: float) -> None:
        """It is on record."""
        self._said.update(found)
        self._at = now

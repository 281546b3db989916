"""How records of a journal are bound to each other, read from their lines without taking them for records."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policies.audit.journal.heads import NoteError, read_removed
from policies.audit.journal.segments import REMOVED, UNREADABLE, lines, segments


class Link(msgspec.Struct, frozen=True):
    """What a line says of its place in the chain."""

    sequence: int
    previous: str
    hash: str


_decoder = msgspec.json.Decoder(Link)


def link(line: bytes) -> Link | None:
    """What a line says of its place; None if it says none."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def may_hold(folder: Path, sequence: int, digest: str) -> bool:
    """Whether record `sequence` of a journal has this hash. True as well where that cannot be told: it was removed, or is
    missing while later ones are there; False where the journal ends before it.

    Raises:
        OSError: the folder cannot be listed.
    """
    parts = segments(folder)
    place = next((part for part in reversed(parts) if part.first <= sequence), None)
    if place is None:
        return True
    try:
        for line in lines(place):
            known = link(line)
            if known is not None and known.sequence == sequence:
                return known.hash == digest
        return place != parts[-1] or read_removed(folder / REMOVED).over(sequence) is not None
    except (*UNREADABLE, NoteError):
        return True

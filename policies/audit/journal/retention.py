"""How long records stay: segments are compressed when they are old, and removed when all in them may go.

What is removed leaves a trace in `removed.json`: where the chain goes on, when it was done and why.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from collections.abc import Collection, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from policies.audit.atomic import sync_folder
from policies.audit.canonical import LineError
from policies.audit.journal import heads
from policies.audit.journal.heads import Head, NoteError, Removal, Removed, read_head, read_removed
from policies.audit.journal.index import Index, indexed
from policies.audit.journal.recovery import UnusableError, recover
from policies.audit.journal.segments import PACKED, REMOVED, UNREADABLE, Segment, journals, segments
from policies.audit.journal.signing import Signer
from policies.audit.journal.slots import hold
from policies.audit.moments import moment

_log = logging.getLogger(__name__)
_DAY: Final = 86_400.0
_FAR: Final = 1 << 62
WHY: Final = "retention"


class RetentionRules(BaseModel):
    """How long records stay, in days."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[float, Field(gt=0, le=36_525, description="For events that nothing else is said of")] = 90
    events: Annotated[
        Mapping[str, Annotated[float, Field(gt=0, le=36_525)]],
        Field(description="Days by name of the event, or a glob of names; the first that matches counts"),
    ] = {}
    compress_after: Annotated[float, Field(ge=0, le=36_525, description="Days after which segments are compressed")] = 1

    def days_of(self, event: str) -> float:
        """For how long records of an event stay."""
        return next((days for glob, days in self.events.items() if fnmatchcase(event, glob)), self.days)


class Fate(StrEnum):
    """What becomes of a segment."""

    KEPT = "kept"
    COMPRESSED = "compressed"
    REMOVED = "removed"


class Done(msgspec.Struct, frozen=True):
    """What was done, or would be, with one segment.

    Attributes:
        sequence: of its first record.
        why: a sentence.
    """

    journal: str
    segment: str
    sequence: int
    fate: Fate
    why: str


def decide(index: Index, packed: bool, rules: RetentionRules, now: float, holds: Collection[str]) -> tuple[Fate, str]:
    """What becomes of a segment that has ended, and why. Pure.

    `holds`: names or ids of tenants whose records must stay.
    """
    held = sorted(set(index.tenants) & set(holds))
    old = not any(stamp > moment(now - rules.days_of(event) * _DAY) for event, stamp in index.events.items())
    if old and not held:
        return Fate.REMOVED, "every record in it is older than its event is kept"
    latest = max(index.events.values(), default="")
    if not packed and latest <= moment(now - rules.compress_after * _DAY):
        return Fate.COMPRESSED, f"it ended more than {rules.compress_after:g} days ago"
    if old:
        return Fate.KEPT, f"held for {', '.join(held)}"
    return Fate.KEPT, "a record in it is younger than its event is kept"


def retain(
    folder: Path,
    rules: RetentionRules,
    now: float,
    holds: Collection[str],
    signer: Signer | None = None,
    *,
    do: bool = True,
    needed: Mapping[str, int] | None = None,
) -> list[Done]:
    """Apply the rules to all journals of a folder: what was done with each segment that has ended. `do`: or only say it.

    `needed`: of journals the first record that somebody has yet to read: it stays, and all behind it. Of a journal that
    is not named all may go.

    A segment that cannot be read or changed is kept, and said to be: another does not wait for it. One process at a time.

    Raises:
        OSError: the folder cannot be listed.
    """
    done: list[Done] = []
    for journal in journals(folder):
        for segment in segments(journal):
            try:
                seal = read_head(segment.seal)
                if seal is None:
                    seal = _abandoned(segment, rules, now, holds, signer) if do else None
                if seal is None:
                    continue
                index = _index(segment, seal)
                fate, why = decide(index, segment.packed, rules, now, holds)
                if fate is Fate.REMOVED and needed is not None and seal.sequence >= needed.get(journal.name, _FAR):
                    fate, why = Fate.KEPT, "somebody who follows the journal has yet to read it"
                if do:
                    _apply(segment, seal, fate, now, signer)
            except (LineError, NoteError, *UNREADABLE) as error:
                _log.error("segment %s of journal %s is kept: %s", segment.name, journal.name, error)
                fate, why = Fate.KEPT, f"it cannot be dealt with: {error}"
            done.append(Done(journal.name, segment.path.name, segment.first, fate, why))
    return done


def _abandoned(
    segment: Segment, rules: RetentionRules, now: float, holds: Collection[str], signer: Signer | None
) -> Head | None:
    """Seal the last segment of a journal that nobody writes any more, if it may go: nobody else would ever end it."""
    journal = segment.path.parent
    lock = hold(journal)
    if lock is None:
        return None
    try:
        tail = recover(journal)
        index = indexed(segment) if tail.segment == segment and tail.size else None
        if index is None or decide(index, True, rules, now, holds)[0] is not Fate.REMOVED:
            return None
        seal = heads.head(journal.name, tail.sequence, tail.hash, now, signer)
        heads.write(segment.seal, seal)
    except UnusableError as error:
        raise NoteError(str(error)) from None
    finally:
        os.close(lock)
    return seal


def _index(segment: Segment, seal: Head) -> Index:
    """What a segment is about, as it was said when it ended, or else from its lines."""
    try:
        found = msgspec.json.decode(segment.index.read_bytes(), type=Index)
        if (found.sequence, found.hash) == (seal.sequence, seal.hash):
            return found
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    made = indexed(segment)
    if made is None or (made.sequence, made.hash) != (seal.sequence, seal.hash):
        raise NoteError("its last record is not the one that its seal names")
    heads.write(segment.index, made)
    return made


def _apply(segment: Segment, seal: Head, fate: Fate, now: float, signer: Signer | None) -> None:
    if fate is Fate.REMOVED:
        _remove(segment, seal, now, signer)
    elif fate is Fate.COMPRESSED:
        compress(segment)
    elif not segment.packed:
        # It was being compressed, and is not: nobody reads the half.
        segment.path.with_name(f"{segment.name}{PACKED}").unlink(missing_ok=True)


def compress(segment: Segment) -> None:
    """Put a segment in the place of itself, compressed: it is there at any time, also if the machine fails.

    Raises:
        OSError: it is as it was.
    """
    packed = segment.path.with_name(f"{segment.name}{PACKED}")
    half = packed.with_name(f"{packed.name}.new")
    made = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with segment.path.open("rb") as lines, open(made, "wb") as file:
        with gzip.GzipFile("", "wb", 6, file, 0) as pack:
            shutil.copyfileobj(lines, pack, 1 << 18)
        file.flush()
        os.fsync(file.fileno())
    half.replace(packed)
    sync_folder(packed.parent)
    segment.path.unlink()


def _remove(segment: Segment, seal: Head, now: float, signer: Signer | None) -> None:
    """The trace first: what is there although it says that it is not, does no harm."""
    folder = segment.path.parent
    removed = read_removed(folder / REMOVED)
    one = Removal(segment.first, seal.sequence, seal.hash, moment(now), WHY)
    heads.write(folder / REMOVED, joined(removed, one) if signer is None else signed(folder.name, removed, one, signer))
    sync_folder(folder)
    for path in (segment.path, segment.path.with_name(f"{segment.name}{PACKED}"), segment.seal, segment.index):
        path.unlink(missing_ok=True)


def signed(journal: str, removed: Removed, one: Removal, signer: Signer) -> Removed:
    """One more removal, signed as one with those that this signer has signed. Any other stays what it is. Pure."""
    own = tuple(
        each
        for each in removed.removed
        if signer.has_signed_removal(each.signature, journal, each.first, each.sequence, each.hash)
    )
    made = [
        each
        if each in own
        else msgspec.structs.replace(
            each, signature=signer.sign_removal(journal, each.first, each.sequence, each.hash), key=signer.key_id
        )
        for each in joined(Removed(own), one).removed
    ]
    others = [each for each in removed.removed if each not in own]
    return Removed(tuple(sorted((*made, *others), key=lambda each: (each.first, each.sequence))))


def joined(removed: Removed, one: Removal) -> Removed:
    """One more removal, in order, and as one with those it follows or precedes. Pure."""
    found: list[Removal] = []
    for each in sorted({*removed.removed, one}, key=lambda each: (each.first, each.sequence)):
        if found and each.first <= found[-1].sequence + 1:
            if each.sequence >= found[-1].sequence:
                found[-1] = msgspec.structs.replace(each, first=found[-1].first)
        else:
            found.append(each)
    return Removed(tuple(found))

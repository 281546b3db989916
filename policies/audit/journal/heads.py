"""What stands beside the segments: heads and seals, and what retention took away. Small JSON files, replaced whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from policies.audit import atomic
from policies.audit.journal.signing import Signer
from policies.audit.moments import moment
from policies.audit.record import Hash


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a journal reached: `head.json` as it was last synced, `<segment>.seal.json` at the end of a segment.

    Attributes:
        timestamp: when this was written.
        signature, key: where signing is on, an Ed25519 signature in base 64, and which key made it.
    """

    sequence: int
    hash: Hash
    timestamp: str
    signature: str = ""
    key: str = ""


class Removal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Records that retention took away, from the first to the last, and the hash of the last: there the chain goes on."""

    first: int
    sequence: int
    hash: Hash
    when: str
    why: str
    signature: str = ""
    key: str = ""


class Removed(msgspec.Struct, frozen=True):
    """`removed.json`: in order. There is more than one where a segment between them had to be kept."""

    removed: tuple[Removal, ...]

    def over(self, sequence: int) -> Removal | None:
        """The removal that took this record away, if one did."""
        return next((one for one in self.removed if one.first <= sequence <= one.sequence), None)


T = TypeVar("T", bound=msgspec.Struct)
_encoder: Final = msgspec.json.Encoder()


class NoteError(ValueError):
    """A file beside the segments holds something else than it should. The message names it."""


def head(journal: str, sequence: int, digest: str, now: float, signer: Signer | None) -> Head:
    """A head, signed if there is a signer."""
    if signer is None:
        return Head(sequence, digest, moment(now))
    return Head(sequence, digest, moment(now), signer.sign(journal, sequence, digest), signer.key_id)


def read_head(path: Path) -> Head | None:
    """The head or seal in a file; None if there is no such file.

    Raises:
        NoteError: it is none.
        OSError: it cannot be read.
    """
    return _read(path, Head)


def read_removed(path: Path) -> Removed:
    """What retention took away: nothing if there is no such file.

    Raises:
        NoteError, OSError: as `read_head`.
    """
    return _read(path, Removed) or Removed(())


def parsed(data: bytes, kind: type[T], name: str) -> T:
    """What such a file holds.

    Raises:
        NoteError: something else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise NoteError(f"{name} is not what it should be") from None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return parsed(data, kind, path.name)


def write(path: Path, content: msgspec.Struct) -> None:
    """Replace a file: whoever reads it sees the former content or the new one, also after the machine has failed.

    Raises:
        OSError: it cannot be written; the former content is still there.
    """
    atomic.replace(path, _encoder.encode(content) + b"\n", sync=True, folder=False)


def latest(heads: Iterable[Head | None]) -> Head | None:
    """The one that names the latest record."""
    return max((one for one in heads if one is not None), key=lambda one: one.sequence, default=None)

"""The files of a journal: their names, which there are, and their lines."""

from __future__ import annotations

import errno
import gzip
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

LOCK: Final = "lock"
HEAD: Final = "head.json"
REMOVED: Final = "removed.json"
PLAIN: Final = ".jsonl"
PACKED: Final = ".jsonl.gz"
_JOURNAL: Final = re.compile(r"(.+)\.(\d{1,6})")
_SEGMENT: Final = re.compile(r"(\d{20})\.jsonl(\.gz)?")
_BLOCK: Final = 1 << 18
_LONGEST: Final = 1 << 26
"""Bytes of a line: more than a record can have."""
UNREADABLE: Final = (OSError, EOFError, zlib.error)
"""What reading a segment may raise."""


class Segment(msgspec.Struct, frozen=True):
    """A file of lines, named by the sequence of the first."""

    first: int
    path: Path

    @property
    def name(self) -> str:
        """Its name without what says how it is stored: it stays when the segment is compressed."""
        return f"{self.first:020d}"

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self.path.suffix == ".gz"

    @property
    def seal(self) -> Path:
        """Where the seal of its end is."""
        return self.path.with_name(f"{self.name}.seal.json")

    @property
    def index(self) -> Path:
        """Where is told what it is about."""
        return self.path.with_name(f"{self.name}.index.json")


def plain(folder: Path, first: int) -> Path:
    """The path of a segment that is being written."""
    return folder / f"{first:020d}{PLAIN}"


def named(name: str) -> int | None:
    """The first sequence of the segment that a file of this name is; None if it is none."""
    found = _SEGMENT.fullmatch(name)
    return None if found is None else int(found[1])


def segments(folder: Path) -> list[Segment]:
    """The segments of a journal, in order. Of one that is there twice (it was being compressed), the plain one.

    Raises:
        OSError: the folder cannot be listed.
    """
    found: dict[int, Segment] = {}
    for path in folder.iterdir():
        first = named(path.name)
        if first is not None and (first not in found or found[first].packed):
            found[first] = Segment(first, path)
    return [found[first] for first in sorted(found)]


def journals(folder: Path) -> list[Path]:
    """The journals in a folder, by name; none where there is no folder.

    Raises:
        OSError: the folder cannot be listed.
    """
    try:
        inside = [path for path in folder.iterdir() if _JOURNAL.fullmatch(path.name) and path.is_dir()]
    except FileNotFoundError:
        return []
    return sorted(inside, key=_order)


def is_journal(folder: Path) -> bool:
    """Whether it is the folder of one journal."""
    return _JOURNAL.fullmatch(folder.name) is not None and (
        any((folder / name).exists() for name in (LOCK, HEAD, REMOVED)) or bool(segments(folder))
    )


def _order(path: Path) -> tuple[str, int]:
    found = _JOURNAL.fullmatch(path.name)
    return (found[1], int(found[2])) if found else (path.name, 0)


def must_be_file(segment: Segment) -> None:
    """Look at it before it is opened: to open a pipe that has the name of a segment would wait for ever.

    Raises:
        OSError: it is no file, or is not there.
    """
    if not stat.S_ISREG(segment.path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(segment.path))


def lines(segment: Segment) -> Iterator[bytes]:
    """The lines of a segment with their newlines; the last may have none.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read.
    """
    must_be_file(segment)
    if segment.packed:
        with gzip.open(segment.path, "rb") as unpacked:
            yield from _bounded(unpacked)
    else:
        with segment.path.open("rb") as file:
            yield from _bounded(file)


def _bounded(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    """The lines of a file. One that was made to fill the memory, as a little file can when it is unpacked, is none."""
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST and not line.endswith(b"\n"):
            raise EOFError("a line does not end")
        yield line


def backwards(segment: Segment) -> Iterator[bytes]:
    """The whole lines of a segment without their newlines, the last first. What follows the last newline is left out.

    Raises:
        OSError, EOFError, zlib.error: it cannot be read.
    """
    if segment.packed:
        yield from reversed([line[:-1] for line in lines(segment) if line.endswith(b"\n")])
        return
    must_be_file(segment)
    with segment.path.open("rb") as file:
        position = file.seek(0, 2)
        rest, torn = b"", True
        while position:
            size = min(_BLOCK, position)
            position -= size
            file.seek(position)
            parts = (file.read(size) + rest).split(b"\n")
            rest = parts[0]
            for part in reversed(parts[1:]):
                if torn:
                    torn = False
                else:
                    yield part
        if not torn:
            yield rest

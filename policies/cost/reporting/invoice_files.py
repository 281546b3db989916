"""From a file of comma-separated values to its rows, strictly: what is not understood is said, with its line.

Exports go through spreadsheets and mail before they get here: other encodings, semicolons, cut ends.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from extproc.printing import harmless
from policies.cost.reporting.invoices import InvoiceError

MOST_BYTES: Final = 1 << 30
_DELIMITERS: Final = (",", ";", "\t")
_MOST_COLUMNS: Final = 500
_LONGEST: Final = 1 << 20
"""Characters of a line."""
_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_OTHER: Final = {b"PK\x03\x04": "a ZIP archive or a workbook", b"\x1f\x8b": "compressed by gzip", b"PAR1": "Parquet"}


class Row:
    """One row: its cells by the name of their column, in lower case; `line` is where it ends in the file."""

    __slots__ = ("_at", "_cells", "line")

    def __init__(self, at: Mapping[str, int], cells: list[str], line: int) -> None:
        self._at = at
        self._cells = cells
        self.line = line

    def __getitem__(self, column: str) -> str:
        return self._cells[self._at[column]]

    def get(self, column: str) -> str:
        """The cell, or "" where there is no such column."""
        at = self._at.get(column)
        return "" if at is None else self._cells[at]


class Sheet:
    """A file that is open: its columns, then its rows."""

    def __init__(self, path: Path) -> None:
        """Raises InvoiceError or OSError."""
        self.path = path
        self._file = _opened(path)
        self._width = 0
        try:
            with self._told():
                first = next(self._lines(), "")
            self._delimiter = max(_DELIMITERS, key=first.count)
            self.columns = self._heading(first)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Sheet:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _heading(self, first: str) -> dict[str, int]:
        if not first.strip():
            raise InvoiceError(f"{self.path}: it is empty")
        with self._told():
            names = [name.strip().lower() for name in next(csv.reader([first], delimiter=self._delimiter, strict=True))]
        if len(names) > _MOST_COLUMNS:
            raise InvoiceError(f"{self.path}:1: {len(names):,} columns: expected those of an export")
        named = [name for name in names if name]
        if not named:
            raise InvoiceError(f"{self.path}:1: no column has a name")
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise InvoiceError(f"{self.path}:1: two columns are called {harmless(twice[0])!r}")
        self._width = len(names)
        return {name: index for index, name in enumerate(names) if name}

    def _lines(self) -> Iterator[str]:
        """Its lines: one without an end is not held in memory."""
        while line := self._file.readline(_LONGEST):
            if len(line) == _LONGEST:
                raise InvoiceError(f"{self.path}: a line is longer than {_LONGEST:,} characters: it is no export")
            yield line

    def rows(self) -> Iterator[Row]:
        """The rows, without empty ones.

        Raises:
            InvoiceError: one of them is not to be understood.
        """
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        wanted = max(self.columns.values()) + 1
        while True:
            with self._told(reader):
                cells = next(reader, None)
            if cells is None:
                return
            if not any(cells):
                continue
            if len(cells) < wanted:
                told = f"{len(cells)} fields where there are {wanted} columns: is the end cut off?"
                raise InvoiceError(f"{self.path}:{reader.line_num + 1}: {told}")
            if any(cells[self._width :]):
                # Those behind it stand under the wrong name: an amount of `1,234.50` would be one of 1.
                told = f"{len(cells)} fields where there are {self._width} columns: is one with a comma not in quotes?"
                raise InvoiceError(f"{self.path}:{reader.line_num + 1}: {told}")
            yield Row(self.columns, cells, reader.line_num + 1)

    def _told(self, reader: object = None) -> _Told:
        return _Told(self.path, reader)


class _Told:
    """Faults of a file in words, with the line."""

    def __init__(self, path: Path, reader: object) -> None:
        self._path = path
        self._reader = reader

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        line = getattr(self._reader, "line_num", 0) + 1
        if isinstance(error, csv.Error):
            raise InvoiceError(f"{self._path}:{line}: {error}") from None
        if isinstance(error, UnicodeError):
            raise InvoiceError(f"{self._path}: not UTF-8 about line {line}: save it as CSV in UTF-8") from None


def _opened(path: Path) -> IO[str]:
    if not path.is_file():
        raise InvoiceError(f"{path}: {'not a file' if path.exists() else 'not there'}")
    if path.stat().st_size > MOST_BYTES:
        raise InvoiceError(f"{path}: larger than {MOST_BYTES >> 30} GiB: export fewer days")
    raw = path.open("rb")
    start = raw.read(4)
    other = next((name for mark, name in _OTHER.items() if start.startswith(mark)), None)
    if other is not None:
        raw.close()
        raise InvoiceError(f"{path}: it is {other}: expected the CSV in it")
    raw.seek(0)
    encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")
    return io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="")

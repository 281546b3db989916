"""Where an export goes: a file that is there whole or not at all, or standard output."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, cast

from policies.audit.record import Closed
from policies.audit.showing.filters import FilterError
from policies.audit.showing.printing import HarmlessLines

FORMATS: Final = ("ecs", "cef", "jsonl", "parquet")
_BINARY: Final = ("parquet",)
Export: TypeAlias = Callable[[Iterable[Closed], BinaryIO], object]


def writer(form: str) -> Export:
    """What writes this format.

    Raises:
        FilterError: there is no such format, or what it needs is not installed.
    """
    if form not in FORMATS:
        raise FilterError(f"--format {form}: expected one of {', '.join(FORMATS)}")
    try:
        found: Export = importlib.import_module(f"policies.audit.export.{form}").export
    except ModuleNotFoundError as error:
        raise FilterError(f"--format {form} needs {error.name}: pip install 'sluicegate[{form}]'") from error
    return found


def to_file(path: Path, export: Export, records: Iterable[Closed]) -> None:
    """Write the file, readable for its owner alone. It takes its name when it is whole.

    Raises:
        OSError: it cannot be written; a former file of this name is there still.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            export(records, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def to_terminal(form: str, export: Export, records: Iterable[Closed]) -> None:
    """Write to standard output, where a terminal gets nothing that it could obey.

    Raises:
        FilterError: the format is not for terminals.
    """
    if not sys.stdout.isatty():
        export(records, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    if form in _BINARY:
        raise FilterError(f"{form} is not for a terminal: name a file with -o")
    lines = HarmlessLines(sys.stdout.buffer)
    export(records, cast(BinaryIO, lines))
    lines.close()

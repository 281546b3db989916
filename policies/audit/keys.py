"""The key of the keyed hashes in records: configured, or made once for a folder of journals."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from extproc.secret import SecretError, read_secret
from policies.audit.journal.settings import JournalError
from policies.audit.redaction import RedactionSettings

FILE: Final = "redaction.key"
_BYTES: Final = 32


def redaction_key(settings: RedactionSettings, folder: Path) -> bytes:
    """The key. Where none is configured, that of the folder: every process that writes there replaces alike.

    Raises:
        JournalError: it cannot be read, or made.
    """
    if settings.key is not None:
        try:
            return read_secret(settings.key).encode()
        except SecretError as error:
            raise JournalError(f"redaction.key: {error}") from None
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        found = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "expected hexadecimal digits"
        raise JournalError(f"{path}: {why}") from None
    if len(found) < _BYTES:
        raise JournalError(f"{path}: expected {_BYTES} bytes as hexadecimal digits")
    return found


def _make(path: Path) -> None:
    """Whole or not at all: two processes may start at once, and the first one's counts."""
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink(missing_ok=True)

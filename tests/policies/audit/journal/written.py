"""Journals to test with: written by the real writer, or line by line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from extproc.secret import Secret
from policies.audit.canonical import FIRST, seal
from policies.audit.journal import JournalReader, JournalSettings, JournalWriter, Position
from policies.audit.journal.segments import lines, segments
from policies.audit.moments import moment
from policies.audit.record import SCHEMA, Closed, Record

STAMP = "2026-11-21T13:38:23.000000Z"


def fields(**more: Any) -> dict[str, Any]:
    """A record as the policy would give it."""
    said = {"event": "request.allowed", "kind": "decision", "level": "info", "timestamp": STAMP, "tenant": "acme"}
    return said | more


def options(folder: Path, **more: Any) -> dict[str, Any]:
    """A journal in `folder`, as it is configured. It waits as long as it may: the disk of a machine may be slow."""
    return {"folder": str(folder), "instance": "gate", "strict_timeout": 60, **more}


def settings(folder: Path, **more: Any) -> JournalSettings:
    return JournalSettings.model_validate(options(folder, **more))


def chain(count: int, journal: str = "gate.0", first: int = 1, previous: str = FIRST, **more: Any) -> list[bytes]:
    """Lines of a chain, without newlines."""
    made = []
    for sequence in range(first, first + count):
        record = Record(journal=journal, sequence=sequence, previous=previous, schema=SCHEMA, **fields(**more))
        line, previous = seal(record)
        made.append(line)
    return made


async def write(chosen: JournalSettings, count: int, each: int = 10, **more: Any) -> None:
    """Open a journal, append records (`each` of them between waits), and close it.

    They are of now, like those that the journal writes of itself: retention asks how old each is.
    """
    more = {"timestamp": moment(time.time()), **more}
    writer = JournalWriter(chosen, time.time)
    await writer.start()
    for number in range(count):
        writer.append(fields(request_id=f"r{number}", **more))
        if number % each == each - 1:
            await writer.written()
    await writer.stop(10)


def written(folder: Path, count: int, **more: Any) -> Path:
    """The folder of a journal of so many records and two: it was opened and closed."""
    asyncio.run(write(settings(folder, **more), count))
    return folder / "gate.0"


def records(journal: Path, most: int = 7) -> list[Closed]:
    """All records, read as a follower does."""
    reader, position, found = JournalReader(journal), Position(), list[Closed]()
    while True:
        more, position = reader.read(position, most)
        if not more:
            reader.close()
            return found
        found += more


def stored(journal: Path) -> list[bytes]:
    """All lines of all segments."""
    return [line[:-1] for segment in segments(journal) for line in lines(segment)]


def put(path: Path, made: Sequence[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in made))


def key_pair(folder: Path) -> tuple[Secret, str]:
    """A private key in a file, and the public one in PEM."""
    key = Ed25519PrivateKey.generate()
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Secret(file=str(path)), public.decode()

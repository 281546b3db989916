"""What is done beside the sinks while journals are followed: what is missing is written, what is old is removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from extproc.secret import read_secret
from extproc.tasks import aside, spawn
from policies.audit.finishing.finisher import Finisher, FinisherError
from policies.audit.following.checkpoint import Checkpoint
from policies.audit.holds import changing, held
from policies.audit.journal import JournalError, JournalWriter, journals
from policies.audit.journal.retention import Done, Fate, retain
from policies.audit.journal.settings import JournalSettings
from policies.audit.journal.signing import Signer
from policies.audit.settings import AuditSettings

_log = logging.getLogger(__name__)
_GRACE: Final = 30.0
"""Seconds that a closing waits for its decision: both are written within milliseconds, unless a process was killed."""
_AGAIN: Final = 5.0
_ROUND: Final = 3_600.0
"""Seconds between looks at what is old."""
_END: Final = 5.0
_NAME: Final = 55
"""Characters of the instance in the names of the finisher's journals."""


@contextlib.asynccontextmanager
async def tending(settings: AuditSettings) -> AsyncIterator[None]:
    """Tend the journals of these settings meanwhile. What cannot be done now is tried again."""
    folder = Path(settings.journal.folder)
    finishing = spawn(_finish(settings, folder), name="audit: finish")
    retaining = spawn(_retain(settings, folder), name="audit: retain")
    try:
        yield
    finally:
        for task in (finishing, retaining):
            task.cancel()
        await asyncio.wait((finishing, retaining))


async def _finish(settings: AuditSettings, folder: Path) -> None:
    while True:
        finisher = Finisher(
            folder,
            JournalWriter(_own(settings.journal), time.time),
            longest=settings.close_after,
            grace=min(_GRACE, settings.close_after),
            idle=settings.session_idle,
            clock=time.time,
        )
        try:
            await finisher.start()
        except (JournalError, FinisherError, OSError) as error:
            _log.error("the journals cannot be completed: %s", error)
            await asyncio.sleep(_AGAIN)
            continue
        try:
            await finisher.run()
        finally:
            # Cancelled: what it knows is remembered all the same.
            await asyncio.shield(finisher.stop(_END))


def _own(journal: JournalSettings) -> JournalSettings:
    """Nobody waits for what it writes; and what it cannot write it must know. Its journals have a name of their own: one
    that a worker has left must be taken by a worker, which settles the last of it again."""
    instance = f"{journal.instance[:_NAME]}-finisher"
    return journal.model_copy(update={"durability": "batch", "full": "closed", "instance": instance})


def _retained(settings: AuditSettings, folder: Path) -> list[Done]:
    key = settings.journal.signing_key
    signer = Signer.from_pem(read_secret(key)) if key is not None else None
    needed: dict[str, int] = {}
    for sink in settings.sinks:
        checkpoint = Checkpoint(folder, sink.name)
        checkpoint.load()
        for journal in journals(folder):
            first = checkpoint.get(journal.name).sequence
            needed[journal.name] = min(first, needed.get(journal.name, first))
    # Nobody places a hold meanwhile.
    with changing(folder):
        return retain(folder, settings.retention, time.time(), held(folder), signer, needed=needed)


async def _retain(settings: AuditSettings, folder: Path) -> None:
    while True:
        try:
            done = await aside(lambda: _retained(settings, folder), name="audit: retain")
        except Exception as error:
            _log.error("what is old cannot be removed: %s", type(error).__name__, exc_info=error)
        else:
            for one in done:
                if one.fate is not Fate.KEPT:
                    _log.info("journal %s: segment %s is %s: %s", one.journal, one.segment, one.fate.value, one.why)
        await asyncio.sleep(_ROUND)

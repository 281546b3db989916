"""What is done by hand goes on record as well: in a journal of the command's own, beside those of the gateway."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from policies.audit.journal.settings import JournalSettings
from policies.audit.journal.writer import JournalWriter
from policies.audit.record import Kind, Level, Name
from policies.audit.showing import times
from policies.audit.showing.configured import Configured, section

INSTANCE: Final = "commands"
"""Whose journals these are: `commands.0`, and more where several commands run at once."""
HOLD_PLACED: Final = Name.HOLD_PLACED.value
HOLD_RELEASED: Final = Name.HOLD_RELEASED.value
RETENTION_APPLIED: Final = Name.RETENTION_APPLIED.value
_GRACE: Final = 5.0


def record(configured: Configured, fields: dict[str, Any]) -> None:
    """Write one record, and return when it is on the disk.

    Args:
        fields: of the record: `event`, and what else it tells.

    Raises:
        JournalError: it is not on the disk.
        ConfigurationError: the journal's settings are wrong.
    """
    settings = section(
        configured,
        JournalSettings,
        "journal",
        instance=INSTANCE,
        durability="strict",
        strict_timeout=_GRACE,
        full="closed",
    )
    now = times.stamp(datetime.now(UTC))
    own = {"kind": Kind.EVENT.value, "level": Level.INFO.value, "result": "success", "timestamp": now}
    asyncio.run(_record(settings, own | fields))


async def _record(settings: JournalSettings, fields: dict[str, Any]) -> None:
    writer = JournalWriter(settings, time.time)
    await writer.start()
    try:
        writer.append(fields)
        await writer.durable()
    finally:
        await writer.stop(_GRACE)

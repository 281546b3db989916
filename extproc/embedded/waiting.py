"""Waiting for what happens in other processes: nobody sets an event for it, so it is looked at again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

GLANCE: Final = 0.05
"""Seconds between two looks."""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as `condition` says True."""
    while not await condition():  # noqa: ASYNC110  (see above)
        await asyncio.sleep(GLANCE)

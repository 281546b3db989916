"""Requests of every kind that a dashboard tells apart, one round after the other, until they are told to end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from extproc.tasks import spawn
from tests.limited import CHAT
from tests.observability.watched import HASTY, UNPRICED, Watched

_STREAM: Final = {"stream": True}
_PAUSE: Final = 0.05


async def good_ones(gateway: Watched) -> None:
    """What goes well, of several models, tenants, users and projects."""
    many = random.randint
    await asyncio.gather(
        gateway.ask("alice", project="apollo", tokens=many(20, 80)),
        gateway.ask("bob", model="gpt-4o-mini", members=_STREAM, tokens=many(10, 40), chunk_delay_ms=2),
        gateway.ask("carl", tenant="fabrikam", model="gpt-5", reasoning_tokens=30, cached_tokens=1, tokens=many(10, 30)),
        gateway.ask("dora", tenant="fabrikam", project="gemini", members=_STREAM, tokens=30, latency_ms=many(5, 60)),
    )


async def refused_ones(gateway: Watched) -> None:
    """What policies refuse."""
    await asyncio.gather(
        gateway.ask("erin", model="no-such-model"),
        gateway.ask(HASTY),
        gateway.ask(HASTY),
        gateway.client.post(CHAT, json={}, headers={"authorization": "Bearer nobody"}),
        gateway.client.post(CHAT, json={}, headers=gateway.headers("fay")),
    )


async def odd_ones(gateway: Watched) -> None:
    """What happens now and then: a failure of the upstream, an answer that breaks off, a model without a price."""
    await gateway.ask("alice", status=500)
    await gateway.ask("bob", members=_STREAM, cut_after=3, tokens=20)
    await gateway.ask("carl", model=UNPRICED)


async def steady(gateway: Watched) -> None:
    """Rounds of what goes well, for ever."""
    while True:
        await gateway.ask("alice", tokens=random.randint(5, 60))
        await gateway.ask("dora", tenant="fabrikam", model="gpt-5", members=_STREAM, tokens=10)
        await asyncio.sleep(_PAUSE)


@contextlib.asynccontextmanager
async def flowing(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Do this beside the block, until that ends."""

    task = spawn(work(), name="traffic")
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()

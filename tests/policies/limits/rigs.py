"""The stores under test, each with what a test wants to see and do beside the port."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Protocol

import pytest

from policies.limits.memory_store import MemoryStore
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_store import RedisStore, script
from policies.limits.redis_survey import connected
from policies.limits.store import Store
from policies.limits.windows import Counter
from tests.redis_servers import KINDS, NotInstalledError, running_cluster, running_redis

# Their failures are to be explained like those of tests. Test modules import this one first.
pytest.register_assert_rewrite(*(f"tests.policies.limits.store_contract{part}" for part in ("", "_grants", "_windows")))

CLUSTER: Final = "cluster"
SERVERS: Final = (*KINDS, CLUSTER)
PATIENCE: Final = 10.0
_RESET: Final = script("reset")


class Rig(Protocol):
    """A store, and its counters from behind."""

    store: Store

    async def counter(self, key: str, name: str) -> Counter | None:
        """A counter as it is written."""

    async def counters(self, key: str, names: Sequence[str]) -> list[Counter | None]:
        """Those counters of a subject, as they are written, at once."""

    async def reset(self, key: str, names: Sequence[str]) -> int:
        """Set counters of a subject back to nothing, as an operator does; how many there were."""


class MemoryRig:
    """A store in memory, on the clock of this machine unless another is given."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.memory = store if store is not None else MemoryStore(lambda: time.time_ns() // 1_000_000)
        self.store: Store = self.memory

    async def counter(self, key: str, name: str) -> Counter | None:
        return self.memory.counter(key, name)

    async def counters(self, key: str, names: Sequence[str]) -> list[Counter | None]:
        return [self.memory.counter(key, name) for name in names]

    async def reset(self, key: str, names: Sequence[str]) -> int:
        found = [one for one in (self.memory.counter(key, name) for name in names) if one is not None]
        for one in found:
            one.window = one.current = one.before = one.carried = one.reserved = 0
            one.generation += 1
        return len(found)


class RedisRig:
    """A store in Redis."""

    def __init__(self, client: RedisClient) -> None:
        self.client = client
        self.store: Store = RedisStore(client, deadline=PATIENCE)

    async def counter(self, key: str, name: str) -> Counter | None:
        (found,) = await self.counters(key, [name])
        return found

    async def counters(self, key: str, names: Sequence[str]) -> list[Counter | None]:
        texts = await self.client.command(key, "HMGET", key, *names, deadline=PATIENCE)
        found = [None if text is None else Counter.read(text) for text in texts]
        for name, text, counter in zip(names, texts, found, strict=True):
            assert text is None or counter is not None, f"{key} {name} holds {text!r}, which is no counter"
        return found

    async def reset(self, key: str, names: Sequence[str]) -> int:
        return int(await self.client.script(_RESET, key, [key], names, deadline=PATIENCE))


@contextlib.contextmanager
def serving(kind: str) -> Iterator[RedisSettings]:
    """A server of this kind, or a cluster, while the block runs. Skips the test where it is not installed."""
    with contextlib.ExitStack() as stack:
        try:
            settings = (
                stack.enter_context(running_cluster()).settings()
                if kind == CLUSTER
                else stack.enter_context(running_redis(kind)).settings()
            )
        except NotInstalledError as error:
            pytest.skip(str(error))
        yield settings


@contextlib.asynccontextmanager
async def redis_rig(settings: RedisSettings) -> AsyncIterator[RedisRig]:
    """A store on this server, once it is connected."""
    client = RedisClient(settings)
    await client.start()
    try:
        await connected(client, "k", PATIENCE)
        yield RedisRig(client)
    finally:
        await client.stop()

"""What the command line reads in Redis beside the registry: the clock, open reservations, counters by the thousand.

Nothing here is on the path of an exchange. Everything is asked in small pieces, so that exchanges are not held up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

from policies.limits import redis_record
from policies.limits.redis_client import RedisClient
from policies.limits.store import StoreUnavailableError
from policies.limits.subjects import EVERYONE, Level, tag
from policies.limits.tables import Charge

_PATIENCE: Final = 1.0
"""Seconds for each call."""
_STEP: Final = 1_000
"""Keys that one SCAN looks at: less than a millisecond of the server's time."""
_AT_ONCE: Final = 500
MOST_KEYS: Final = 5_000_000
"""Keys that a survey looks at on each master."""
MOST_RESERVATIONS: Final = 10_000

_NAMELESS: Final = (Level.EVERYONE, Level.TENANT)


class Survey:
    """Reads counters and reservations. `client` is started, and stopped, by who owns it."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def now(self, key: str) -> int:
        """Milliseconds since the epoch, by the clock of the server that has this key."""
        seconds, micros = await self._client.command(key, "TIME", deadline=_PATIENCE)
        return int(seconds) * 1000 + int(micros) // 1000

    async def charges(self, tenant: str, most: int = MOST_RESERVATIONS) -> tuple[list[Charge], bool]:
        """What is reserved under a tenant's limits and not settled; False if there is more than was looked at."""
        prefix = f"sg:{tag(tenant)}:"
        leases = f"{prefix}leases"
        ids = await self._client.command(leases, "ZRANGE", leases, 0, most, deadline=_PATIENCE)
        found: list[Charge] = []
        for start in range(0, min(most, len(ids)), _AT_ONCE):
            keys = [f"{prefix}r:".encode() + one for one in ids[start : start + min(_AT_ONCE, most - start)]]
            for record in await self._client.command(leases, "MGET", *keys, deadline=_PATIENCE):
                found += _charges(record)
        return found, len(ids) <= most

    async def counters(
        self,
        levels: Sequence[Level],
        counter: str,
        tell: Callable[[str, bytes], None],
        *,
        tenants: Iterable[str],
        within: str | None,
        most: int = MOST_KEYS,
    ) -> bool:
        """Tell key and counter of every subject of these levels, some perhaps twice.

        False if there are more keys than were looked at.

        Args:
            counter: the counter's name.
            tenants: all that there are: they lead to every master that has keys of them.
            within: of this tenant alone; None for all.
        """
        whole = True
        for place in [_place(within)] if within is not None else await self._places(tenants):
            looked = 0
            async for keys in self._scan(place, _pattern(levels, within)):
                looked += _STEP
                wanted = [key for key in keys if _is_of(key, levels)]
                for start in range(0, len(wanted), _AT_ONCE):
                    batch = wanted[start : start + _AT_ONCE]
                    values = await asyncio.gather(*(self._field(key, counter) for key in batch))
                    for key, value in zip(batch, values, strict=True):
                        if value is not None:
                            tell(key, value)
                if looked >= most:
                    whole = False
                    break
        return whole

    async def _places(self, tenants: Iterable[str]) -> list[str]:
        """For each master one key that it has."""
        if len(await self._client.on_each_master("PING")) == 1:
            return [_place(EVERYONE)]
        found: dict[bytes, str] = {}
        keys = [_place(tenant) for tenant in (EVERYONE, *tenants)]
        for start in range(0, len(keys), _AT_ONCE):
            batch = keys[start : start + _AT_ONCE]
            masters = await asyncio.gather(*(self._on(key, "CLUSTER", "MYID") for key in batch))
            found.update(zip(masters, batch, strict=True))
        return list(found.values())

    async def _scan(self, place: str, pattern: str) -> AsyncIterator[list[str]]:
        cursor = b"0"
        while True:
            cursor, keys = await self._on(place, "SCAN", cursor, "MATCH", pattern, "COUNT", _STEP)
            yield [key.decode("utf-8", "replace") for key in keys]
            if cursor == b"0":
                return

    async def _field(self, key: str, counter: str) -> bytes | None:
        value = await self._on(key, "HGET", key, counter)
        return value if isinstance(value, bytes) else None

    async def _on(self, key: str, *words: str | bytes | int) -> Any:
        return await self._client.command(key, *words, deadline=_PATIENCE)


async def connected(client: RedisClient, key: str, seconds: float) -> None:
    """Wait until Redis answers.

    Raises:
        StoreUnavailableError: it has not for so many seconds.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        try:
            await client.command(key, "PING", deadline=seconds)
        except StoreUnavailableError as error:
            if loop.time() >= until:
                # What hinders a connection says more than that there is none.
                raise StoreUnavailableError(client.readiness() or str(error)) from None
            await asyncio.sleep(0.02)
        else:
            return


def _charges(record: bytes | None) -> list[Charge]:
    """None of a reservation that is settled by now, or that another version has written."""
    if record is None or record == redis_record.SETTLED:
        return []
    try:
        charged = redis_record.in_record(record)
    except ValueError:
        return []
    return [Charge(one.key, one.counter, one.window, one.reserved, one.generation) for one in charged]


def _place(tenant: str) -> str:
    return f"sg:{tag(tenant)}:leases"


def _pattern(levels: Sequence[Level], within: str | None) -> str:
    name = ",".join(level if level in _NAMELESS else f"{level}=*" for level in levels)
    # No encoded name holds a character that means something in a pattern, but for the asterisk of everyone.
    return f"sg:{'{*}' if within is None else tag(within)}:s:{name}"


def _is_of(key: str, levels: Sequence[Level]) -> bool:
    """Whether it is a subject of these levels: an asterisk matches the commas between two as well."""
    _, _, name = key.partition("}:s:")
    return tuple(part.partition("=")[0] for part in name.split(",")) == tuple(level.value for level in levels)

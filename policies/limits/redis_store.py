"""The counters in Redis: one script for each operation, one round trip for each script.

All keys of a tenant are in one slot of a cluster (`{tenant}` is their hash tag): `sg:{tenant}:s:<subject>`, a hash with
a field for each counter; `sg:{tenant}:r:<id>`, the record of a reservation; `sg:{tenant}:leases`, a sorted set of ids by
the end of their leases. What they hold is said in `scripts/reserve.lua`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final

import hiredis
import msgspec

from policies.limits import redis_record
from policies.limits.memory_store import KEEP, TOMBSTONE
from policies.limits.redis_client import RedisClient, Script
from policies.limits.store import Answer, Ask, Overdue, Standing, StoreUnavailableError, Used
from policies.limits.subjects import tag

_SCRIPTS: Final = Path(__file__).with_name("scripts")
_AT_ONCE: Final = 16
"""Settlements of one call: meanwhile the server serves nobody else."""
_DONE: Final = b"1"
_MOST: Final = 2**53
"""The largest count that scripts can read."""
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[int, int, tuple[Standing, ...]])


def script(name: str) -> Script:
    """The script of this name, from the file beside this module."""
    return Script((_SCRIPTS / f"{name}.lua").read_text("utf-8"))


RESERVE: Final = script("reserve")
SETTLE: Final = script("settle")
EXPIRE: Final = script("expire")
OVERDUE: Final = script("overdue")


class RedisStore:
    """See `policies.limits.store.Store`."""

    __slots__ = ("_client", "_deadline")

    def __init__(self, client: RedisClient, *, deadline: float | None = None) -> None:
        """`deadline`: seconds for each call; None for the client's own."""
        self._client = client
        self._deadline = deadline

    async def reserve(self, ask: Ask) -> Answer:
        prefix = f"sg:{tag(ask.tenant)}:"
        record = f"{prefix}r:{ask.id}"
        keys = [record, f"{prefix}leases"]
        arguments = _packed(ask)
        # `script`, but for a coroutine less: this is on the path of every exchange.
        try:
            answer = await self._client.begin(RESERVE, record, keys, arguments, self._deadline)
        except StoreUnavailableError:
            self._client.count_failure()
            raise
        if isinstance(answer, hiredis.ReplyError):
            # A script that it does not know, perhaps: asked again by itself.
            answer = await self._client.script(RESERVE, record, keys, arguments, deadline=self._deadline)
        return _answer(answer, len(ask.demands))

    async def settle(self, tenant: str, reservation: str, used: Used) -> bool:
        keys, arguments = _settling(tenant, [(tenant, reservation, used)])
        done = await self._client.script(SETTLE, keys[0], keys, arguments, deadline=self._deadline)
        return bool(done == _DONE)

    async def settle_all(self, settlements: Sequence[tuple[str, str, Used]]) -> Sequence[bool | None]:
        by_tenant: dict[str, list[int]] = {}
        for at, one in enumerate(settlements):
            by_tenant.setdefault(one[0], []).append(at)
        # All are on their way before the first is waited for: a task for each would cost twice as much.
        pending = []
        for tenant, places in by_tenant.items():
            for first in range(0, len(places), _AT_ONCE):
                batch = places[first : first + _AT_ONCE]
                pending.append((batch, self._begin(tenant, [settlements[at] for at in batch])))
        done: list[bool | None] = [None] * len(settlements)
        for batch, awaited in pending:
            try:
                answer = await awaited if awaited is not None else None
            except StoreUnavailableError:
                continue
            if isinstance(answer, hiredis.ReplyError):
                # A script that it does not know, or one of them that it cannot settle: each by itself then.
                for at in batch:
                    done[at] = await self._alone(*settlements[at])
            elif answer is not None:
                for at, digit in zip(batch, answer, strict=True):
                    done[at] = digit == _DONE[0]
        return done

    async def _alone(self, tenant: str, reservation: str, used: Used) -> bool | None:
        try:
            return await self.settle(tenant, reservation, used)
        except StoreUnavailableError:
            return None

    def _begin(self, tenant: str, settlements: Sequence[tuple[str, str, Used]]) -> Awaitable[Any] | None:
        keys, arguments = _settling(tenant, settlements)
        try:
            return self._client.begin(SETTLE, keys[0], keys, arguments, self._deadline)
        except StoreUnavailableError:
            return None

    async def overdue(self, tenant: str, most: int) -> Sequence[Overdue]:
        prefix = f"sg:{tag(tenant)}:"
        leases = f"{prefix}leases"
        arguments = (most, f"{prefix}r:")
        found = await self._client.script(OVERDUE, leases, [leases], arguments, deadline=self._deadline)
        return [
            Overdue(tenant, _text(found[at]), _text(found[at + 1]), *_charged(found[at + 2]))
            for at in range(0, len(found), 3)
        ]

    async def expire(self, tenant: str, reservation: str) -> bool:
        prefix = f"sg:{tag(tenant)}:"
        record = f"{prefix}r:{reservation}"
        keys = [record, f"{prefix}leases"]
        done = await self._client.script(EXPIRE, record, keys, [reservation, KEEP], deadline=self._deadline)
        return bool(done == 1)


def _packed(ask: Ask) -> tuple[bytes, bytes]:
    """The arguments of `reserve.lua`."""
    zone, demands = ask.zone, ask.demands
    head = (
        *(ask.id, ask.request_id, int(ask.lease * 1000), KEEP, zone.offset, zone.until, zone.next_offset),
        *(ask.output, ask.expected, ask.floor, ask.force, ask.at, len(demands)),
    )
    return _encoder.encode(head), _encoder.encode(demands)


def _settling(tenant: str, settlements: Sequence[tuple[str, str, Used]]) -> tuple[list[str], tuple[int, bytes]]:
    """Keys and arguments of `settle.lua`, for settlements of one tenant."""
    prefix = f"sg:{tag(tenant)}:"
    keys = [f"{prefix}leases"]
    told: list[str | int] = []
    for _, reservation, used in settlements:
        keys.append(f"{prefix}r:{reservation}")
        told += (reservation, used.requests, min(used.tokens, _MOST), min(used.dollars, _MOST))
    return keys, (TOMBSTONE, _encoder.encode(told))


def _answer(told: Any, count: int) -> Answer:
    try:
        code, output, standings = _decoder.decode(told)
    except (TypeError, ValueError):
        raise StoreUnavailableError("the answer of a script cannot be read") from None
    if code >= 2:
        return Answer(code == 2, output, (), settled=code == 3)
    if len(standings) != count:
        raise StoreUnavailableError("the answer of a script cannot be read")
    return Answer(code == 1, output, standings)


def _charged(packed: bytes) -> tuple[Used, tuple[str, ...]]:
    """What a reservation is charged, and the keys of the subjects on whose counters."""
    amounts = dict.fromkeys("rtdp", 0)
    try:
        charges = redis_record.alone(packed) if packed else []
        for charge in charges:
            amounts[charge.measure] = max(charge.reserved, amounts[charge.measure])
    except (KeyError, ValueError):
        # Another version's: it is charged all the same.
        return Used(), ()
    keys = dict.fromkeys(charge.key for charge in charges)
    return Used(amounts["r"], amounts["t"], amounts["d"]), tuple(keys)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

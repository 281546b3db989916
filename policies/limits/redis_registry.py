"""The registry in Redis. Keys of all tenants together live in one slot of a cluster, apart from those of any tenant:

`sg:{sg}:tenants` (hash: id to name), `sg:{sg}:since` (hash: id to when it was first seen), `sg:{sg}:overrides` (hash:
subject and kind to amount), `sg:{sg}:version`, `sg:{sg}:changes` (stream), `sg:{sg}:told` (the last of them that was
written down elsewhere), `sg:{sg}:learned` (hash: model to sums), `sg:{sg}:reaper` (who reaps); and, wherever it falls,
`sg:ended:<request id>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import astuple

from policies.limits.limit import KINDS
from policies.limits.plan import Override
from policies.limits.redis_client import RedisClient
from policies.limits.redis_store import script
from policies.limits.registry import Change
from policies.limits.subjects import Subject, SubjectError, parse
from policies.limits.tokens.learned import FADING, Learned

_TENANTS: Final = "sg:{sg}:tenants"
_SINCE: Final = "sg:{sg}:since"
_OVERRIDES: Final = "sg:{sg}:overrides"
_VERSION: Final = "sg:{sg}:version"
_CHANGES: Final = "sg:{sg}:changes"
_TOLD: Final = "sg:{sg}:told"
_REAPER: Final = "sg:{sg}:reaper"
_LEARNED: Final = "sg:{sg}:learned"
_CHANGE: Final = script("change")
_RESET: Final = script("reset")
_ELECT: Final = script("elect")
_LEARN: Final = script("learn")
_REMEMBER: Final = script("remember")
_MOST: Final = 10**15
"""The largest amount: a billion dollars, in micro-dollars."""
_PATIENCE: Final = 1.0
"""Seconds: none of this is on the path of an exchange."""


class RedisRegistry:
    """See `policies.limits.registry.Registry`; and what the command line does beside it."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def remember(self, tenant: str, name: str) -> None:
        await self._client.script(_REMEMBER, _TENANTS, [_TENANTS, _SINCE], [tenant, name], deadline=_PATIENCE)

    async def tenants(self) -> Mapping[str, str]:
        found = await self._client.command(_TENANTS, "HGETALL", _TENANTS, deadline=_PATIENCE)
        return _pairs(found)

    async def since(self) -> Mapping[str, int]:
        """When tenants were first seen, in milliseconds since the epoch. Of some that is not known."""
        found = _pairs(await self._client.command(_SINCE, "HGETALL", _SINCE, deadline=_PATIENCE))
        return {tenant: int(at) for tenant, at in found.items() if at.isdecimal()}

    async def version(self) -> int:
        return int(await self._client.command(_VERSION, "GET", _VERSION, deadline=_PATIENCE) or 0)

    async def overrides(self) -> Sequence[Override]:
        found = _pairs(await self._client.command(_OVERRIDES, "HGETALL", _OVERRIDES, deadline=_PATIENCE))
        read = (_override(field, amount) for field, amount in found.items())
        return [one for one in read if one is not None]

    async def witness(self, request_id: str, seconds: float) -> None:
        key = f"sg:ended:{request_id}"
        await self._client.command(key, "SET", key, "1", "PX", int(seconds * 1000), deadline=_PATIENCE)

    async def witnessed(self, request_id: str) -> bool:
        key = f"sg:ended:{request_id}"
        return bool(await self._client.command(key, "EXISTS", key, deadline=_PATIENCE))

    async def learn(self, model: str, sums: Learned) -> None:
        await self._client.script(_LEARN, _LEARNED, [_LEARNED], [model, FADING, *astuple(sums)], deadline=_PATIENCE)

    async def learned(self) -> Mapping[str, Learned]:
        found = _pairs(await self._client.command(_LEARNED, "HGETALL", _LEARNED, deadline=_PATIENCE))
        read = {model: _learned(sums) for model, sums in found.items()}
        return {model: sums for model, sums in read.items() if sums is not None}

    async def elected(self, candidate: str, seconds: float) -> bool:
        told = await self._client.script(_ELECT, _REAPER, [_REAPER], [candidate, int(seconds * 1000)], deadline=_PATIENCE)
        return bool(told == 1)

    async def change(self, subject: Subject, kind: str, amount: int | None, by: str) -> int | None:
        """Set a limit, or unset it (None): the configured one counts again. The amount that was set before."""
        arguments = [
            *(_field(subject, kind), "" if amount is None else amount, by, "unset" if amount is None else "set"),
            *(str(subject), kind),
        ]
        keys = [_OVERRIDES, _VERSION, _CHANGES]
        before = await self._client.script(_CHANGE, _OVERRIDES, keys, arguments, deadline=_PATIENCE)
        return int(before) if before else None

    async def reset(self, subject: Subject, kinds: Sequence[str], by: str) -> int:
        """Set counters of a subject back to nothing; how many there were."""
        key = subject.key()
        counters = [KINDS[kind].counter for kind in kinds]
        count = await self._client.script(_RESET, key, [key], counters, deadline=_PATIENCE)
        arguments = ["", "", by, "reset", str(subject), ",".join(kinds)]
        await self._client.script(_CHANGE, _OVERRIDES, [_OVERRIDES, _VERSION, _CHANGES], arguments, deadline=_PATIENCE)
        return int(count)

    async def changes(self, most: int) -> list[Change]:
        """The last changes, the newest first."""
        entries = await self._client.command(_CHANGES, "XREVRANGE", _CHANGES, "+", "-", "COUNT", most, deadline=_PATIENCE)
        return [_change(_text(at), _pairs(fields)) for at, fields in entries]

    async def untold(self, most: int) -> Sequence[Change]:
        last = _text(await self._client.command(_TOLD, "GET", _TOLD, deadline=_PATIENCE) or "0")
        asked = ("XRANGE", _CHANGES, f"({last}" if "-" in last else last, "+", "COUNT", most)
        entries = await self._client.command(_CHANGES, *asked, deadline=_PATIENCE)
        return [_change(_text(at), _pairs(fields)) for at, fields in entries]

    async def told(self, change: str) -> None:
        await self._client.command(_TOLD, "SET", _TOLD, change, deadline=_PATIENCE)

    async def counters(self, subject: Subject) -> Mapping[str, bytes]:
        """The subject's counters as they are written, by their names."""
        key = subject.key()
        found = await self._client.command(key, "HGETALL", key, deadline=_PATIENCE)
        return {_text(name): value for name, value in _both(found) if isinstance(value, bytes)}


def _field(subject: Subject, kind: str) -> str:
    return f"{subject} {kind}"


def _override(field: str, amount: str) -> Override | None:
    """What stands there; None where another version has written what this one does not know."""
    text, _, kind = field.rpartition(" ")
    try:
        # Whatever stands there: a script can count no further, and less than nothing is nothing.
        return Override(parse(text), kind, max(0, min(int(amount), _MOST))) if kind in KINDS else None
    except (SubjectError, ValueError):
        return None


def _learned(sums: str) -> Learned | None:
    """The sums that stand there; None where they are none: one model's keep nobody from reading the others."""
    words = sums.split()
    if len(words) != len(Learned.__struct_fields__) or not all(word.isdecimal() for word in words):
        return None
    return Learned(*map(int, words))


def _change(at: str, fields: Mapping[str, str]) -> Change:
    def amount(name: str) -> int | None:
        return int(fields[name]) if fields.get(name) else None

    return Change(
        int(at.partition("-")[0]) / 1000,
        fields.get("by", ""),
        fields.get("action", ""),
        fields.get("subject", ""),
        fields.get("kind", ""),
        amount("before"),
        amount("after"),
        at,
    )


def _pairs(found: object) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in _both(found)}


def _both(found: object) -> Iterable[tuple[Any, Any]]:
    """Fields and values, in RESP2's form or RESP3's."""
    if isinstance(found, dict):
        return found.items()
    return zip(found[::2], found[1::2], strict=True) if isinstance(found, list) else ()


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

"""Which server is asked: the one there is, the master that Sentinels name, or the node of a cluster that has a slot."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from extproc.secret import SecretError, read_secret
from extproc.tasks import spawn
from policies.limits.redis_link import Address
from policies.limits.redis_settings import RedisSettings, RedisTls
from policies.limits.store import StoreUnavailableError

_CLIENT_NAME: Final = "sluicegate"

Range = tuple[int, int, tuple[str, int]]
"""The first and the last of some slots, and the master that has them."""


def greeting(settings: RedisSettings) -> tuple[tuple[str | int, ...], ...]:
    """The commands that begin a connection. They hold the password, read anew each time: not to be shown.

    Raises:
        StoreUnavailableError: the password cannot be read.
    """
    commands: list[tuple[str | int, ...]] = []
    if settings.password is not None:
        try:
            secret = read_secret(settings.password)
        except SecretError as error:
            raise StoreUnavailableError(str(error)) from None
        commands.append(("AUTH", settings.username, secret) if settings.username else ("AUTH", secret))
    if settings.database:
        commands.append(("SELECT", settings.database))
    commands.append(("CLIENT", "SETNAME", _CLIENT_NAME))
    return tuple(commands)


def first_address(settings: RedisSettings) -> Address:
    """Where the only server is."""
    return settings.addresses()[0]


async def master_by_sentinels(settings: RedisSettings, tls: ssl.SSLContext | None) -> Address:
    """The master of the configured name, as the first of the Sentinels tells that knows it.

    All are asked at once: one that is down must not keep us from the others.

    Raises:
        StoreUnavailableError: no Sentinel knows one.
    """
    asked = [spawn(_told_by(where, settings, tls), name="limits: sentinel") for where in settings.sentinel_addresses()]
    try:
        for told in asyncio.as_completed(asked):
            master = await told
            if master is not None:
                return master
    finally:
        for task in asked:
            task.cancel()
    raise StoreUnavailableError("no Sentinel knows the master")


async def _told_by(where: tuple[str, int], settings: RedisSettings, tls: ssl.SSLContext | None) -> Address | None:
    """The master by this Sentinel; None where it knows none, or does not answer."""
    options: dict[str, Any] = {
        "socket_timeout": settings.connect_timeout,
        "socket_connect_timeout": settings.connect_timeout,
        # Its own ten would take longer than anybody waits. We are asked again.
        "retry": Retry(NoBackoff(), 0),
    }
    if tls is not None:
        files = settings.tls or RedisTls()
        options |= {"ssl": True, "ssl_ca_certs": files.ca, "ssl_certfile": files.certificate, "ssl_keyfile": files.key}
    sentinel = Sentinel([where], sentinel_kwargs=options)  # type: ignore[no-untyped-call]
    try:
        host, port = await sentinel.discover_master(settings.master_name or "")
    except (RedisError, OSError):
        return None
    finally:
        for client in sentinel.sentinels:
            await client.aclose()
    return str(host), int(port)


def moved_to(told: str, asked: Address) -> Address:
    """The node that a redirection names, `host:port`; without a host (or with `?`) it is at the one that was asked.

    Raises:
        StoreUnavailableError: it names none.
    """
    host, _, port = told.rpartition(":")
    if not port.isdecimal():
        raise StoreUnavailableError("a redirection of the cluster cannot be read")
    return _host(host.strip("[]"), asked), int(port)


def ranges_of(answer: Any, asked: Address) -> tuple[Range, ...]:
    """First slot, last slot and master, in order, from an answer to `CLUSTER SLOTS`.

    Raises:
        StoreUnavailableError: it is no such answer.
    """
    try:
        ranges = [
            (int(first), int(last), (_host(bytes(master[0] or b"").decode(), asked), int(master[1])))
            for first, last, master, *_ in answer
        ]
    except (TypeError, ValueError, LookupError):
        raise StoreUnavailableError("the slots of the cluster cannot be read") from None
    if not all(0 <= first <= last < REDIS_CLUSTER_HASH_SLOTS for first, last, _ in ranges):
        raise StoreUnavailableError("the cluster tells of slots that there cannot be")
    return tuple(sorted(ranges))


def slots_in(ranges: Sequence[Range]) -> dict[int, Address]:
    """The node of every slot."""
    slots: dict[int, Address] = {}
    for first, last, where in ranges:
        slots.update(dict.fromkeys(range(first, last + 1), where))
    return slots


def _host(told: str, asked: Address) -> str:
    return asked[0] if told in ("", "?") and isinstance(asked, tuple) else told

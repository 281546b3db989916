"""Which server is asked: the one there is, the master that Sentinels name, or the node of a cluster that has a slot."""

from __future__ import annotations

import ssl
from typing import Any, Final

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from extproc.secret import SecretError, read_secret
from policies.limits.redis_link import Address
from policies.limits.redis_settings import RedisSettings
from policies.limits.store import StoreUnavailableError

_CLIENT_NAME: Final = "sluicegate"


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
    """The master of the configured name.

    Raises:
        StoreUnavailableError: no Sentinel knows one.
    """
    tls_options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": settings.tls.ca if settings.tls else None} if tls else {}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        list(settings.sentinel_addresses()),
        socket_timeout=settings.connect_timeout,
        sentinel_kwargs={"socket_timeout": settings.connect_timeout, **tls_options},
    )
    try:
        host, port = await sentinels.discover_master(settings.master_name or "")
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(f"no Sentinel knows a master: {type(error).__name__}") from None
    finally:
        for sentinel in sentinels.sentinels:
            await sentinel.aclose()
    return str(host), int(port)


def moved_to(told: str, asked: Address) -> Address:
    """The node that a redirection names, `host:port`; without a host it is at the one that was asked."""
    host, _, port = told.rpartition(":")
    return (host.strip("[]") or (asked[0] if isinstance(asked, tuple) else "")), int(port)


def slots_of(answer: Any, asked: Address) -> dict[int, Address]:
    """The node of every slot, from an answer to `CLUSTER SLOTS`.

    Raises:
        StoreUnavailableError: it is no such answer.
    """
    slots: dict[int, Address] = {}
    try:
        for first, last, master, *_ in answer:
            host = bytes(master[0] or b"").decode() or (asked[0] if isinstance(asked, tuple) else "")
            where: Address = (host, int(master[1]))
            slots.update(dict.fromkeys(range(int(first), int(last) + 1), where))
    except (TypeError, ValueError, LookupError):
        raise StoreUnavailableError("the slots of the cluster cannot be read") from None
    return slots

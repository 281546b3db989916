"""Which server is asked, and what is kept when a replica takes the master's place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from extproc.embedded.ports import free_port
from extproc.tasks import spawn
from policies.limits.redis_client import RedisClient
from policies.limits.redis_settings import RedisSettings
from policies.limits.redis_store import RedisStore
from policies.limits.redis_topology import greeting, master_by_sentinels, moved_to, ranges_of, slots_in
from policies.limits.settling import Settlement, Settler
from policies.limits.store import StoreUnavailableError, Used
from policies.limits.windows import Counter
from tests.policies.limits.world import ask, demand, limit
from tests.redis_servers import running_redis, running_sentinel
from tests.servers import HOST


@pytest.mark.parametrize(
    ("told", "asked", "where"),
    [
        ("10.0.0.7:6381", ("10.0.0.1", 6379), ("10.0.0.7", 6381)),
        (":6381", ("10.0.0.1", 6379), ("10.0.0.1", 6381)),
        ("?:6381", ("10.0.0.1", 6379), ("10.0.0.1", 6381)),
        ("[::1]:6381", ("::2", 6379), ("::1", 6381)),
        ("::1:6381", ("::2", 6379), ("::1", 6381)),
    ],
)
def test_where_a_redirection_points(told: str, asked: Any, where: Any) -> None:
    assert moved_to(told, asked) == where


@pytest.mark.parametrize("told", ["", "nowhere", "host:", "host:x", "host:-1"])
def test_a_redirection_that_points_nowhere(told: str) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        moved_to(told, ("10.0.0.1", 6379))


def test_the_slots_of_a_cluster() -> None:
    answer = [[3, 4, [b"", 2, b"id"]], [0, 2, [b"a", 1, b"id"], [b"replica", 9]], [5, 5, [None, 3]]]
    ranges = ranges_of(answer, ("asked", 7))
    assert ranges == ((0, 2, ("a", 1)), (3, 4, ("asked", 2)), (5, 5, ("asked", 3)))
    slots = slots_in(ranges)
    assert [slots[slot] for slot in range(6)] == [*[("a", 1)] * 3, *[("asked", 2)] * 2, ("asked", 3)]


@pytest.mark.parametrize(
    "answer", [None, 7, [[0]], [[0, 1, None]], [["x", 1, [b"a", 1]]], [[0, 16_384, [b"a", 1]]], [[2, 1, [b"a", 1]]]]
)
def test_what_are_no_slots(answer: Any) -> None:
    with pytest.raises(StoreUnavailableError):
        ranges_of(answer, ("asked", 7))


@contextlib.contextmanager
def deaf() -> Iterator[str]:
    """Where connections are accepted by the system, and nobody ever answers."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen(8)
        yield f"{HOST}:{listening.getsockname()[1]}"


async def test_sentinels_that_are_down_or_deaf_keep_nobody_from_the_others() -> None:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running_redis(port=free_port(), repl_diskless_sync_delay="0"))
        stack.enter_context(running_redis(port=free_port(), replicaof=f"{HOST} {master.port}"))
        knows = stack.enter_context(running_sentinel(master))
        silent = stack.enter_context(deaf())
        for sentinels in ([f"{HOST}:{free_port()}", knows], [silent, knows]):
            settings = RedisSettings.model_validate({"mode": "sentinel", "sentinels": sentinels, "master_name": "main"})
            assert await master_by_sentinels(settings, None) == (HOST, master.port)
        unknown = RedisSettings.model_validate({"mode": "sentinel", "sentinels": [knows], "master_name": "another"})
        with pytest.raises(StoreUnavailableError, match="no Sentinel"):
            await master_by_sentinels(unknown, None)


def test_how_a_connection_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS_PASSWORD", "pw")
    settings = RedisSettings.model_validate(
        {"url": "redis://h", "password": {"env": "LIMITS_PASSWORD"}, "username": "u", "database": 3}
    )
    assert greeting(settings) == (("AUTH", "u", "pw"), ("SELECT", 3), ("CLIENT", "SETNAME", "sluicegate"))
    monkeypatch.delenv("LIMITS_PASSWORD")
    with pytest.raises(StoreUnavailableError, match="LIMITS_PASSWORD"):
        greeting(settings)


async def test_a_replica_is_promoted_and_nothing_is_counted_twice_or_not_at_all() -> None:
    tokens = limit("tokens_per_day", 10**9)
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running_redis(port=free_port(), repl_diskless_sync_delay="0"))
        replica = stack.enter_context(running_redis(port=free_port(), replicaof=f"{HOST} {master.port}"))
        sentinel = stack.enter_context(running_sentinel(master))
        client = RedisClient(
            RedisSettings.model_validate(
                {"mode": "sentinel", "sentinels": [sentinel], "master_name": "main", "timeout": 1.0}
            )
        )
        await client.start()
        store = RedisStore(client, deadline=1.0)
        settler = Settler(store)
        settler.start()
        try:
            admitted = await _reserve(store, 0, 40, tokens)
            with master.client() as admin, replica.client() as other:
                async with asyncio.timeout(10):
                    while (
                        other.info("replication")["master_repl_offset"] < admin.info("replication")["master_repl_offset"]
                    ):
                        await asyncio.sleep(0.02)
            for index in admitted[:20]:
                settler.put(Settlement("contoso", f"r{index}", Used(1, 7, 0)))
            dying = spawn(_reserve(store, 40, 400, tokens), name="reserve while it dies")
            await asyncio.sleep(0.02)
            master.kill()
            late = await dying
            assert len(late) < 360, "none of them met the death of the master"
            # What was never answered is given back, whether it was done or not.
            for index in range(40, 400):
                settler.put(Settlement("contoso", f"r{index}", Used(1, 7, 0) if index in late else Used()))
            for index in admitted[20:]:
                settler.put(Settlement("contoso", f"r{index}", Used(1, 7, 0)))
            async with asyncio.timeout(30):
                while settler.backlog:
                    await asyncio.sleep(0.05)
            after = await _reserve(store, 400, 410, tokens)
            assert len(after) == 10
            value = await client.command(tokens.key, "HGET", tokens.key, "tpd", deadline=1.0)
            counter = Counter.read(value)
            assert counter is not None
            # Acknowledged, and died with the master before the replica had them: at most these are missing.
            lost = 7 * (40 + len(late)) + 100 * 10 - counter.current
            assert 0 <= lost <= 7 * len(late)
            assert lost % 7 == 0
        finally:
            await settler.stop(1.0)
            await client.stop()


async def _reserve(store: RedisStore, start: int, end: int, tokens: Any) -> list[int]:
    """Which of these reservations were answered."""
    admitted = []
    for index in range(start, end):
        try:
            async with asyncio.timeout(10):
                answer = (
                    await _once_connected(store, index, tokens)
                    if index == 0
                    else await store.reserve(_ask(index, tokens))
                )
        except StoreUnavailableError:
            continue
        assert answer.admitted
        admitted.append(index)
    return admitted


async def _once_connected(store: RedisStore, index: int, tokens: Any) -> Any:
    while True:
        try:
            return await store.reserve(_ask(index, tokens))
        except StoreUnavailableError:
            await asyncio.sleep(0.02)


def _ask(index: int, tokens: Any) -> Any:
    return ask(demand(tokens, fixed=100), id=f"r{index}")

"""The client of Redis on real servers: what it answers, and what it does when they do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from extproc.embedded.ports import free_port
from extproc.tasks import spawn
from policies.limits.redis_client import RedisClient, Script
from policies.limits.redis_settings import RedisSettings
from policies.limits.store import StoreUnavailableError
from tests.certificates import Authority
from tests.redis_servers import NotInstalledError, RedisServer, running_redis

ECHO = Script("return {KEYS[1], ARGV[1]}")


@contextlib.asynccontextmanager
async def connected(settings: RedisSettings) -> AsyncIterator[RedisClient]:
    """A client, once it is connected."""
    client = RedisClient(settings)
    await client.start()
    try:
        async with asyncio.timeout(10):
            while client.readiness() is not None:
                await asyncio.sleep(0.005)
        yield client
    finally:
        await client.stop()


async def recovered(client: RedisClient) -> None:
    """Once it answers again."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await client.command("k", "PING", deadline=0.5)
                return
            await asyncio.sleep(0.01)


async def echo(client: RedisClient, index: int, **options: Any) -> Any:
    return await client.script(ECHO, "k", ["k"], [str(index)], **options)


async def test_scripts_and_commands(redis_server: RedisServer) -> None:
    async with connected(redis_server.settings(timeout=2.0)) as client:
        assert await client.command("k", "SET", "k", 7) == b"OK"
        assert await client.command("k", "GET", "k") == b"7"
        assert await client.command("k", "GET", "none") is None
        assert await echo(client, 3) == [b"k", b"3"]
        assert client.counters()["noscript"] == 1
        await client.command(None, "SCRIPT", "FLUSH")
        assert await echo(client, 4) == [b"k", b"4"]
        assert client.counters()["noscript"] == 2
        assert await client.on_each_master("DBSIZE") == [1]


async def test_a_thousand_at_once_get_each_their_own_answer_in_a_few_writes(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=5.0)) as client:
        await echo(client, 0)
        before = client.counters()
        answers = await asyncio.gather(*(echo(client, index) for index in range(1_000)))
        assert [int(answer[1]) for answer in answers] == list(range(1_000))
        after = client.counters()
        assert after["calls"] - before["calls"] == 1_000
        assert after["batches"] - before["batches"] < 20


async def test_a_caller_that_leaves_takes_nobody_elses_answer(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=5.0)) as client:
        await echo(client, 0)
        leaving = [spawn(echo(client, index), name="leaves") for index in range(50)]
        staying = [spawn(echo(client, index), name="stays") for index in range(50, 100)]
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        assert [int(answer[1]) for answer in await asyncio.gather(*staying)] == list(range(50, 100))


async def test_a_stalled_server_fails_callers_at_their_deadline_and_nobody_gets_a_late_answer(
    valkey: RedisServer,
) -> None:
    async with connected(valkey.settings(timeout=0.1)) as client:
        await echo(client, 0)
        valkey.pause()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for index in range(3):
            with pytest.raises(StoreUnavailableError, match="in time"):
                await echo(client, index)
        assert 0.3 <= loop.time() - began < 0.9
        valkey.resume()
        assert await echo(client, 77, deadline=5.0) == [b"k", b"77"]
        assert client.counters()["timeouts"] == 3
        assert client.counters()["reconnects"] == 0


async def test_a_server_that_owes_answers_for_a_second_is_left(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=0.05)) as client:
        await echo(client, 0)
        valkey.pause()
        with pytest.raises(StoreUnavailableError):
            await echo(client, 1)
        async with asyncio.timeout(5):
            while client.readiness() is None:
                await asyncio.sleep(0.02)
        assert "does not answer" in str(client.readiness())
        valkey.resume()
        await recovered(client)


async def test_a_server_that_is_killed_and_started_again(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=1.0)) as client:
        await client.command("k", "SET", "k", "kept")
        valkey.kill()
        with pytest.raises(StoreUnavailableError):
            await echo(client, 1)
        with pytest.raises(StoreUnavailableError):
            # At once: there is no connection to wait for.
            async with asyncio.timeout(0.1):
                await echo(client, 2)
        valkey.start()
        await recovered(client)
        assert await client.command("k", "GET", "k", deadline=2.0) == b"kept"


async def test_one_that_is_a_replica_now_is_left_for_the_one_that_is_the_master(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=2.0)) as client:
        with valkey.client() as admin:
            admin.execute_command("REPLICAOF", "127.0.0.1", free_port())
            with pytest.raises(StoreUnavailableError, match="READONLY"):
                await client.command("k", "SET", "k", 1)
            admin.execute_command("REPLICAOF", "NO", "ONE")
        await recovered(client)
        assert await client.command("k", "SET", "k", 2) == b"OK"
        assert client.counters()["reconnects"] >= 1


async def test_one_that_is_busy_with_a_script_is_asked_again_on_the_same_connection(valkey: RedisServer) -> None:
    endless = Script("while true do end")
    settings = valkey.settings(timeout=2.0)
    async with connected(settings) as client, connected(settings) as another:
        with valkey.client() as admin:
            admin.config_set("busy-reply-threshold", "10")
            with pytest.raises(StoreUnavailableError, match="in time"):
                await another.script(endless, "k", ["k"], [], deadline=0.1)
            with pytest.raises(StoreUnavailableError, match="BUSY"):
                await client.command("k", "GET", "k")
            admin.script_kill()
        await recovered(client)
        assert client.counters()["reconnects"] == 0


async def test_one_that_was_never_there(tmp_path: Path) -> None:
    client = RedisClient(RedisSettings(url=f"unix://{tmp_path}/none.sock"))
    await client.start()
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailableError):
        await client.command("k", "PING")
    assert "Redis" in str(client.readiness())
    await client.stop()


async def test_more_calls_than_the_queue_holds_fail_at_once(valkey: RedisServer) -> None:
    async with connected(valkey.settings(timeout=5.0, queue=10)) as client:
        answers = await asyncio.gather(*(client.command("k", "PING") for _ in range(15)), return_exceptions=True)
        assert sum(isinstance(answer, StoreUnavailableError) for answer in answers) == 5


async def test_an_error_in_an_answers_place_is_told_once_and_without_arguments(
    valkey: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(valkey.settings(timeout=2.0)) as client:
        await client.command("k", "SET", "k", "text")
        for _ in range(3):
            with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
                await client.command("k", "HGET", "k", "s3cret")
        with pytest.raises(StoreUnavailableError):
            await client.script(Script("return redis.call('HGET', KEYS[1], 's3cret')"), "k", ["k"], [])
    told = [record.getMessage() for record in caplog.records if "error" in record.getMessage()]
    assert sum("WRONGTYPE" in line for line in told) == 1
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("user", ["default", "limiter"])
async def test_passwords_are_shown_and_wrong_ones_refused(user: str, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    with running_redis() as server:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", user, "reset", "on", ">correct horse", "~*", "+@all")
        password: dict[str, Any] = {"password": {"file": str(secret)}}
        named = password | ({"username": user} if user != "default" else {})
        async with connected(server.settings(timeout=2.0, **named)) as client:
            assert await client.command("k", "ACL", "WHOAMI") == user.encode()
        secret.write_text("wrong")
        client = RedisClient(server.settings(timeout=2.0, **named))
        await client.start()
        await asyncio.sleep(0.2)
        assert "AUTH was refused: WRONGPASS" in str(client.readiness())
        secret.write_text("correct horse")
        await recovered(client)
        await client.stop()


async def test_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "own")
    server_files, client_files = authority.sign("server", "localhost"), authority.sign("client", "limiter")
    port = free_port()
    with contextlib.ExitStack() as stack:
        try:
            # Of the three only Debian's is built with TLS.
            stack.enter_context(
                running_redis(
                    "redis-7.0",
                    tls_port=str(port),
                    tls_cert_file=server_files.certificate,
                    tls_key_file=server_files.key,
                    tls_ca_cert_file=authority.path,
                )
            )
        except NotInstalledError as error:
            pytest.skip(str(error))
        files = {"ca": authority.path, "certificate": client_files.certificate, "key": client_files.key}
        settings = RedisSettings.model_validate({"url": f"rediss://localhost:{port}", "tls": files, "timeout": 2.0})
        async with connected(settings) as client:
            assert await echo(client, 1) == [b"k", b"1"]
        stranger = Authority(tmp_path, "another")
        untrusting = settings.model_copy(
            update={"tls": settings.tls and settings.tls.model_copy(update={"ca": stranger.path})}
        )
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(untrusting)


async def refused(settings: RedisSettings) -> str:
    """Why there is no connection, once the first attempt has failed."""
    client = RedisClient(settings)
    await client.start()
    try:
        async with asyncio.timeout(10):
            while (why := client.readiness()) == "Redis: not connected yet":
                await asyncio.sleep(0.005)
        return str(why)
    finally:
        await client.stop()

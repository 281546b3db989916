"""The sink that posts, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from policies.audit.following.http_webhook import Webhook, retry_after_of
from policies.audit.following.signature import is_genuine
from policies.audit.following.sink import RejectedError, SinkError
from policies.audit.record import Closed
from tests.certificates import Authority
from tests.policies.audit.following.receiver import Receiver, Reply, Request, receiving, webhook_settings
from tests.policies.audit.following.rigs import NOW, FakeJournal, Time, id_of


@contextlib.asynccontextmanager
async def hook(url: str, **fields: Any) -> AsyncIterator[Webhook]:
    one = Webhook(webhook_settings(url, **fields), Time())
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


@pytest.fixture
def batch(tmp_path: Path) -> list[Closed]:
    return FakeJournal(tmp_path).append(8, why="ü")


@pytest.mark.parametrize(("form", "kind"), [("json", "application/json"), ("ndjson", "application/x-ndjson")])
async def test_a_batch_is_one_signed_request(
    batch: list[Closed], form: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "shared")
    monkeypatch.setenv("HOOK_TOKEN", "Bearer b")
    fields = {"secret": {"env": "HOOK_SECRET"}, "headers": {"Authorization": {"env": "HOOK_TOKEN"}}}
    async with receiving() as receiver, hook(receiver.url, format=form, **fields) as one:
        await one.deliver(batch)
        await one.deliver(batch)
    first, second = receiver.requests
    assert first.head == "POST /in?token=t0p HTTP/1.1"
    assert first.ids() == [id_of(closed) for closed in batch]
    assert all(closed.line in first.body for closed in batch)
    assert first.headers["content-type"] == kind
    assert first.headers["authorization"] == "Bearer b"
    assert is_genuine(first.headers["x-sluicegate-signature"], "shared", NOW, first.body)
    assert first.headers["x-sluicegate-id"] == second.headers["x-sluicegate-id"]
    assert receiver.connections == 1


@pytest.mark.parametrize("status", [300, 302, 307, 401, 403, 404, 408, 425, 429, 500, 502, 503, 504, 599])
async def test_what_is_about_the_receiver_is_tried_again(batch: list[Closed], status: int) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.rule = lambda _: Reply(status, {"location": "/elsewhere", "retry-after": "7"})
        with pytest.raises(SinkError, match=f"status {status}") as caught:
            await one.deliver(batch)
        assert len(receiver.requests) == 1
    assert caught.value.retry_after == 7.0
    assert "t0p" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(batch: list[Closed], status: int) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.replies = [Reply(status, body=b"")]
        await one.deliver(batch)
        assert len(receiver.requests) == 1


def refusing(bad: set[int], status: int = 422) -> Any:
    return lambda request: Reply(status if any(sequence in bad for _, sequence in request.ids()) else 200)


@pytest.mark.parametrize("bad", [{1}, {8}, {4, 5}, {2, 7}, set(range(1, 9))])
@pytest.mark.parametrize("status", [400, 422, 451])
async def test_the_record_that_is_refused_is_found(batch: list[Closed], bad: set[int], status: int) -> None:
    taken: list[int] = []

    def rule(request: Request) -> Reply:
        reply: Reply = refusing(bad, status)(request)
        if reply.status == 200:
            taken.extend(sequence for _, sequence in request.ids())
        return reply

    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.rule = rule
        with pytest.raises(RejectedError, match=f"status {status}") as caught:
            await one.deliver(batch)
    first = min(bad)
    assert caught.value.indexes == (first - 1,)
    assert caught.value.delivered == first - 1
    assert taken == list(range(1, first))
    assert len(receiver.requests) <= 8


async def test_a_batch_that_is_too_large_arrives_in_pieces(batch: list[Closed]) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.rule = lambda request: Reply(413 if len(request.ids()) > 3 else 204, body=b"")
        await one.deliver(batch)
        arrived = [sequence for request in receiver.requests if len(request.ids()) <= 3 for _, sequence in request.ids()]
    assert arrived == list(range(1, 9))


FAULTS = {
    "hang": Reply(hang=True),
    "slow": Reply(delay=30),
    "reset": Reply(reset=True),
    "garbage": Reply(raw=b"220 smtp ready\r\n\r\n"),
    "cut off": Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nabc"),
    "endless headers": Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_fault_it_is_tried_again(batch: list[Closed], fault: str) -> None:
    async with receiving() as receiver, hook(receiver.url, timeout=0.5) as one:
        receiver.replies = [FAULTS[fault]]
        with pytest.raises(SinkError) as caught:
            await one.deliver(batch)
        assert "t0p" not in str(caught.value)
        await one.deliver(batch)
        assert len(receiver.requests) == 2


async def test_a_connection_that_was_closed_between_batches_is_made_anew(batch: list[Closed]) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.replies = [Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]
        await one.deliver(batch)
        for _ in range(3):
            with contextlib.suppress(SinkError):
                await one.deliver(batch)
                break
        assert len(receiver.requests) == 2
        assert receiver.connections == 2


async def test_a_long_answer_is_not_read_to_its_end(batch: list[Closed]) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.replies = [Reply(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 100_000)]
        await one.deliver(batch)
        await one.deliver(batch)
        assert len(receiver.requests) == 2


async def test_nobody_there(batch: list[Closed]) -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with hook(url) as one:
        with pytest.raises(SinkError, match="ConnectError"):
            await one.deliver(batch)


@contextlib.asynccontextmanager
async def over_tls(
    tmp_path: Path, *names: str, days: int = 1, clients: bool = False
) -> AsyncIterator[tuple[Receiver, str]]:
    authority = Authority(tmp_path, "ours")
    pair = authority.sign("server", *names, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients:
        context.load_verify_locations(authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.sign("client", "client")
    async with receiving(context) as receiver:
        yield receiver, authority.path


async def test_tls_by_a_private_authority(tmp_path: Path, batch: list[Closed]) -> None:
    async with over_tls(tmp_path, "localhost") as (receiver, ca), hook(receiver.url, tls={"ca": ca}) as one:
        await one.deliver(batch)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(("names", "days", "own"), [("localhost", 1, False), ("other", 1, True), ("localhost", -1, True)])
async def test_tls_that_is_not_to_be_trusted_gets_no_record(
    tmp_path: Path, batch: list[Closed], names: str, days: int, own: bool
) -> None:
    async with over_tls(tmp_path, names, days=days) as (receiver, ca):
        async with hook(receiver.url, tls={"ca": ca} if own else {}) as one:
            with pytest.raises(SinkError, match="ConnectError"):
                await one.deliver(batch)
        assert receiver.requests == []


async def test_a_client_certificate(tmp_path: Path, batch: list[Closed]) -> None:
    async with over_tls(tmp_path, "localhost", clients=True) as (receiver, ca):
        files = {"ca": ca, "certificate": str(tmp_path / "client.pem"), "key": str(tmp_path / "client-key.pem")}
        async with hook(receiver.url, tls={"ca": ca}) as one:
            with pytest.raises(SinkError):
                await one.deliver(batch)
        async with hook(receiver.url, tls=files) as one:
            await one.deliver(batch)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tls": {"ca": "/nowhere.pem"}}, "files of `tls`"),
        ({"secret": {"env": "NO_SUCH_SECRET"}}, "NO_SUCH_SECRET is empty or missing"),
        ({"headers": {"authorization": {"env": "HOOK_BROKEN"}}}, "authorization is not printable ASCII"),
    ],
)
async def test_what_is_missing_is_told_at_the_start(
    fields: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_BROKEN", "hunter2\nx: y")
    one = Webhook(webhook_settings("https://siem.example/", **fields))
    with pytest.raises(SinkError, match=said) as caught:
        await one.start()
    await one.stop()
    assert "hunter2" not in str(caught.value)


async def test_who_is_cancelled_is_cancelled(batch: list[Closed]) -> None:
    async with receiving() as receiver, hook(receiver.url) as one:
        receiver.replies = [Reply(hang=True)]
        task = asyncio.get_running_loop().create_task(one.deliver(batch))
        while not receiver.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("99999999", None),
        ("١", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60.0),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_of(value, NOW) == seconds

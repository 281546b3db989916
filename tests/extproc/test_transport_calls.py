"""Calls, as every transport keeps them: order, independence, cancellation, errors, sizes, deadlines, a server's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from extproc.transport import MAX_MESSAGE_BYTES, PROCESS
from tests.h2_peer import connected, framed
from tests.servers import HOST
from tests.transports import TRANSPORTS, Puppets, World, folder, serving

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(params=TRANSPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(kind: str) -> AsyncIterator[World]:
    with folder() as place:
        async with serving(kind, f"unix:{place}/policy.sock", Puppets()) as running:
            yield running


async def code(call: Any) -> grpc.StatusCode:
    async with asyncio.timeout(10):
        found: grpc.StatusCode = await call.code()
        return found


async def ask(call: Any, message: bytes) -> Any:
    await call.write(message)
    async with asyncio.timeout(10):
        return await call.read()


async def test_one_that_waits_holds_up_no_other_of_its_connection(world: World) -> None:
    slow = world.raw()
    await slow.write(b"wait door opened")
    await world.puppets.until_waiting("door")
    for number in range(50):
        quick = world.raw()
        assert await ask(quick, b"over %d" % number) == b"%d" % number
        assert await code(quick) is grpc.StatusCode.OK
    world.puppets.let("door")
    assert await slow.read() == b"opened"
    slow.cancel()


async def test_many_that_wait_are_answered_as_their_doors_open(world: World) -> None:
    calls = {f"door{number}": world.raw() for number in range(100)}
    for name, call in calls.items():
        await call.write(b"wait %b %b" % (name.encode(), name.encode()))
    for name in calls:
        await world.puppets.until_waiting(name)
    for name, call in reversed(calls.items()):
        world.puppets.let(name)
        async with asyncio.timeout(10):
            assert await call.read() == name.encode()
    for call in calls.values():
        call.cancel()


async def test_answers_come_in_the_order_of_the_questions(world: World) -> None:
    """Also when all are asked before the first is answered; and no question is put before its turn."""
    call = world.raw()
    questions = [b"wait first 0", b"say 1", b"wait second 2", *(b"say %d" % number for number in range(3, 200))]
    for question in questions:
        await call.write(question)
    await world.puppets.until_waiting("first")
    await world.check()
    assert world.puppets.heard == [b"wait first 0"]
    world.puppets.let("first")
    assert [await call.read() for _ in range(2)] == [b"0", b"1"]
    await world.puppets.until_waiting("second")
    await world.check()
    assert world.puppets.heard == [b"wait first 0", b"say 1", b"wait second 2"]
    world.puppets.let("second")
    assert [await call.read() for _ in range(2, 200)] == [b"%d" % number for number in range(2, 200)]
    assert world.puppets.heard == questions
    call.cancel()


async def test_what_was_asked_before_the_peer_ended_its_half_is_answered(world: World) -> None:
    call = world.raw()
    for question in (b"wait door 1", b"say 2", b"verdict 3"):
        await call.write(question)
    await call.done_writing()
    await world.puppets.until_waiting("door")
    world.puppets.let("door")
    assert [await call.read() for _ in range(3)] == [b"1", b"2", b"3"]
    assert await code(call) is grpc.StatusCode.OK


@pytest.mark.parametrize("late", [False, True], ids=["at once", "while a policy is waited for"])
async def test_a_stream_that_ends_before_the_verdict_ends_with_an_error(world: World, late: bool) -> None:
    call = world.raw()
    await call.write(b"wait door 1" if late else b"say 1")
    if late:
        await world.puppets.until_waiting("door")
    await call.done_writing()
    world.puppets.let("door")
    assert await call.read() == b"1"
    assert await code(call) is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("before", [[], [b"say 1"], [b"verdict 1"]], ids=["first", "second", "after the verdict"])
@pytest.mark.parametrize(("message", "status"), [(b"raise", "13"), (b"raise later", "13"), (b"illegal", "9")])
async def test_a_dialogue_that_raises_ends_its_stream_with_an_error(
    world: World, before: list[bytes], message: bytes, status: str
) -> None:
    async with connected(world.address) as peer:
        other = await peer.call(PROCESS, framed(b"say here"))
        assert await peer.message(other) == b"here"
        answer = await peer.answer(await peer.call(PROCESS, framed(*before, message, b"over too late")))
        assert (answer.messages, answer.status) == ([b"1"] * len(before), status)
        assert "s3cret" not in str(answer)
        assert b"over too late" not in world.puppets.heard
        await until(lambda: world.puppets.abandoned == [message])
        await peer.send(other, framed(b"say still here"))
        assert await peer.message(other, 1) == b"still here"


async def test_a_cancelled_stream_cancels_its_own_and_nothing_else(world: World) -> None:
    gone, stays = world.raw(), world.raw()
    await gone.write(b"wait gone never")
    await gone.write(b"say never")
    await stays.write(b"wait stays patient")
    await world.puppets.until_waiting("gone")
    await world.puppets.until_waiting("stays")
    gone.cancel()
    await until(lambda: world.puppets.cancelled == ["gone"])
    world.puppets.let("stays")
    assert await stays.read() == b"patient"
    assert world.puppets.cancelled == ["gone"]
    assert b"say never" not in world.puppets.heard
    await until(lambda: world.puppets.abandoned == [b"wait gone never"])
    stays.cancel()


async def test_a_connection_that_breaks_cancels_all_of_its_own_and_nothing_else(world: World) -> None:
    stays = world.raw()
    await stays.write(b"wait stays patient")
    await world.puppets.until_waiting("stays")
    async with connected(world.address) as peer:
        for name in ("a", "b", "c"):
            await peer.call(PROCESS, framed(b"wait %b never" % name.encode()))
        for name in ("a", "b", "c"):
            await world.puppets.until_waiting(name)
    await until(lambda: sorted(world.puppets.cancelled) == ["a", "b", "c"])
    world.puppets.let("stays")
    assert await stays.read() == b"patient"
    stays.cancel()
    await until(lambda: world.transport.counters()["streams_open"] == 0)


async def test_a_reset_stream_cancels_its_own_and_nothing_else(world: World) -> None:
    async with connected(world.address) as peer:
        gone = await peer.call(PROCESS, framed(b"wait gone never", b"say never"))
        stays = await peer.call(PROCESS, framed(b"wait stays patient"))
        await world.puppets.until_waiting("gone")
        await world.puppets.until_waiting("stays")
        peer.reset(gone)
        await until(lambda: world.puppets.cancelled == ["gone"])
        world.puppets.let("stays")
        assert await peer.message(stays) == b"patient"
        assert b"say never" not in world.puppets.heard


@pytest.mark.parametrize(
    ("size", "expected"),
    [(MAX_MESSAGE_BYTES, None), (MAX_MESSAGE_BYTES + 1, grpc.StatusCode.RESOURCE_EXHAUSTED)],
    ids=["64 MiB", "64 MiB and one byte"],
)
async def test_the_largest_message(world: World, size: int, expected: grpc.StatusCode | None) -> None:
    call = world.raw()
    if expected is None:
        assert await ask(call, bytes(size)) == b"%d" % size
        assert await ask(call, b"size %d" % (60 << 20)) == bytes(60 << 20)
        call.cancel()
    else:
        await call.write(bytes(size))
        assert await code(call) is expected
        assert world.puppets.heard == []
    assert (await world.check()).status == SERVING


async def test_an_empty_message_is_one(world: World) -> None:
    call = world.raw()
    assert await ask(call, b"") == b"0"
    assert await ask(call, b"say ") == b""
    assert await ask(call, b"over end") == b"end"
    assert await code(call) is grpc.StatusCode.OK


async def test_thousands_of_log_entries_while_decisions_go_on(world: World) -> None:
    sent = [b"%d" % number * (1 + number % 50) for number in range(5_000)]

    async def log() -> None:
        call = world.log()
        for entry in sent:
            await call.write(entry)
        await call.done_writing()
        assert await call == b""

    async def decide() -> None:
        for number in range(100):
            call = world.raw()
            assert await ask(call, b"over %d" % number) == b"%d" % number
            assert await code(call) is grpc.StatusCode.OK

    await asyncio.gather(log(), decide(), decide())
    assert world.logged == sent


async def test_a_log_stream_that_breaks_loses_nothing_that_came(world: World) -> None:
    call = world.log()
    for number in range(100):
        await call.write(b"%d" % number)
    await until(lambda: len(world.logged) == 100)
    call.cancel()
    again = world.log()
    await again.write(b"100")
    await again.done_writing()
    assert await again == b""
    assert world.logged == [b"%d" % number for number in range(101)]


async def test_health_is_told_by_service(world: World) -> None:
    unknown = world.watch("nobody")
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()
    watch = world.watch("envoy.service.accesslog.v3.AccessLogService")
    assert (await watch.read()).status == SERVING
    for ready, status in ((False, health_pb2.HealthCheckResponse.NOT_SERVING), (True, SERVING)):
        world.ready = ready
        assert (await world.check()).status == status
        async with asyncio.timeout(5):
            assert (await watch.read()).status == status
    watch.cancel()


@pytest.mark.parametrize("path", ["/", "//", "/x", PROCESS + "/", PROCESS.lower(), "/grpc.health.v1.Health/List", "*"])
async def test_an_unknown_path_is_unimplemented(world: World, path: str) -> None:
    async with connected(world.address) as peer:
        answer = await peer.answer(await peer.call(path, framed(b"over x"), ends=True))
        assert (answer.headers[":status"], answer.status, answer.messages) == ("200", "12", [])
        assert await peer.message(await peer.call(PROCESS, framed(b"say here"))) == b"here"


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "DELETE"])
async def test_another_method_is_no_call(world: World, method: str) -> None:
    async with connected(world.address) as peer:
        answer = await peer.answer(await peer.call(PROCESS, framed(b"over x"), ends=True, method=method))
        assert answer.headers.get(":status") == "405" or answer.status not in ("0", None) or answer.reset, answer
        assert world.puppets.heard == []


@pytest.mark.parametrize("media", ["application/grpc+proto", "application/grpc;charset=utf-8"])
async def test_ways_to_say_grpc(world: World, media: str) -> None:
    async with connected(world.address) as peer:
        assert await peer.message(await peer.call(PROCESS, framed(b"say here"), content_type=media)) == b"here"


@pytest.mark.parametrize("encoding", [(), (("grpc-encoding", "identity"),), (("grpc-encoding", "made-up"),)])
async def test_a_compressed_message_that_nobody_can_read_is_refused(
    world: World, encoding: tuple[tuple[str, str], ...]
) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS, framed(b"over x", flag=1), *encoding, ends=True)
        answer = await peer.answer(stream)
        assert answer.status in ("12", "13"), answer
        assert world.puppets.heard == []


@pytest.mark.parametrize("cut", [1, 4, 5, 9])
async def test_a_message_that_is_cut_is_no_message(world: World, cut: int) -> None:
    async with connected(world.address) as peer:
        answer = await peer.answer(await peer.call(PROCESS, framed(b"over x")[:cut], ends=True))
        assert answer.status != "0", answer
        assert world.puppets.heard == []


async def test_a_deadline_ends_what_waits(world: World) -> None:
    call = world.raw(timeout=0.3)
    await call.write(b"wait door never")
    await world.puppets.until_waiting("door")
    assert await code(call) is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: world.puppets.cancelled == ["door"])


async def test_a_deadline_is_kept_by_the_server_itself(world: World) -> None:
    async with connected(world.address) as peer:
        stream = await peer.call(PROCESS, framed(b"wait door never"), ("grpc-timeout", "200m"))
        other = await peer.call(PROCESS, framed(b"wait other patient"), ("grpc-timeout", "1H"))
        answer = await peer.answer(stream)
        assert answer.status == "4" or answer.reset is not None, answer
        await until(lambda: world.puppets.cancelled == ["door"])
        world.puppets.let("other")
        assert await peer.message(other) == b"patient"


async def test_the_end_of_a_server_lets_what_is_in_flight_finish_and_takes_nothing_new(kind: str) -> None:
    async with serving(kind, f"{HOST}:0", Puppets()) as world, connected(world.address) as peer:
        slow = await peer.call(PROCESS, framed(b"wait door in time"))
        await world.puppets.until_waiting("door")
        stopping = asyncio.gather(world.transport.stop(10))
        await peer.until(lambda: bool(peer.goaways))
        assert not stopping.done()
        await until_refused(world.address)
        world.puppets.let("door")
        assert await peer.message(slow) == b"in time"
        await peer.send(slow, framed(b"over and out"))
        answer = await peer.answer(slow)
        assert (answer.messages[-1], answer.status) == (b"and out", "0")
        async with asyncio.timeout(5):
            # The peer has not ended its half of the stream, and nobody waits for that.
            await peer.until_hung_up()
        peer.hang_up()
        await stopping
        assert {int(goaway.error_code or 0) for goaway in peer.goaways} == {0}


async def test_the_end_of_a_server_ends_what_does_not_finish_with_an_error(kind: str) -> None:
    async with serving(kind, f"{HOST}:0", Puppets()) as world, connected(world.address) as peer:
        slow = await peer.call(PROCESS, framed(b"wait door never"))
        decided = await peer.call(PROCESS, framed(b"verdict yes"))
        assert await peer.message(decided) == b"yes"
        await world.puppets.until_waiting("door")
        stopping = asyncio.gather(world.transport.stop(0.2))
        await peer.until_hung_up()
        await stopping
        assert peer.answers[slow].status != "0"
        assert peer.answers[slow].messages == []
        assert world.puppets.cancelled == ["door"]


async def test_the_end_of_a_server_waits_for_nobody_who_says_nothing(kind: str) -> None:
    async with serving(kind, f"{HOST}:0", Puppets()) as world, connected(world.address) as peer:
        await peer.until(lambda: peer.settings_acknowledged > 0)
        async with asyncio.timeout(5):
            stopping = asyncio.gather(world.transport.stop(30))
            await peer.until_hung_up()
            peer.hang_up()
            await stopping


async def until(done: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.01)


async def until_refused(address: str) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection(*address.split(":"))
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                # It was still in the queue of a socket that was being closed.
                continue
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

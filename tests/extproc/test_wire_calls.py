"""Calls over a connection without a socket: order, waiting, deadlines, and dialogues that fail."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from extproc.chain import Chain, Link
from extproc.conversation import Conversation
from extproc.exchange import Exchange
from extproc.gate import Gate
from extproc.outcome import CONTINUE, RequestOutcome
from extproc.policy import Policy, RequestAnswer
from extproc.settings import IdentityHeaders
from extproc.transport import ACCESS_LOGS, HEALTH_CHECK, HEALTH_WATCH, PROCESS, ProtocolError, Services
from extproc.travel import Travel
from extproc.wire import frames
from extproc.wire.events import Cancelled, HalfClosed, Message, Opened, Stream, Writable
from extproc.wire.frames import ErrorCode
from extproc.wire.grpc import Status
from extproc.wire_calls import begin, fail
from tests import playbook
from tests.extproc.wire.peer import Talk, changed, data, framed, headers, message, statuses
from tests.extproc.world import CATALOGUE

SERVING = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING).SerializeToString()


class Script:
    """A dialogue that answers with what it was asked, at once or when it is let."""

    may_end = False
    is_over = False

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.gate = asyncio.Event()
        self.cancelled = False
        self.abandoned = 0

    def abandon(self) -> None:
        self.abandoned += 1

    def receive(self, request: bytes) -> bytes | Awaitable[bytes]:
        self.asked.append(request)
        match request.split(b" "):
            case [b"wait", *_]:
                return self._later(request)
            case [b"illegal"]:
                raise ProtocolError("not legal here")
            case [b"exit"]:
                raise SystemExit(3)
            case [b"stubborn"]:
                return self._stays(request)
            case [b"late-exit"]:
                return self._exit()
            case [b"verdict"]:
                self.may_end = True
            case [b"last"]:
                self.may_end = self.is_over = True
        return request

    async def _later(self, request: bytes) -> bytes:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return request

    async def _stays(self, request: bytes) -> bytes:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
        return request

    async def _exit(self) -> bytes:
        raise SystemExit(3)


class Waits(Policy):
    """Is to be waited for, and has not begun when nobody waits any more."""

    name = "waits"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        self.heard.append("asked")
        return self._wait()

    def on_abandoned(self, exchange: Exchange) -> None:
        self.heard.append("abandoned")

    async def _wait(self) -> RequestOutcome:
        self.heard.append("begun")
        return CONTINUE


class Desk:
    """A line over a connection that writes to a list; and the peer at its other end."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.logged: list[bytes] = []
        self.well = True
        self.services = Services(self._converse, self.logged.append, lambda: self.well)
        self.talk = Talk()
        self.send = self.talk.connection.send
        self.finish = self.talk.connection.finish
        self.postpone = self.talk.connection.postpone
        self.next = self.talk.connection.next
        self.flushes = 0

    def _converse(self) -> Script:
        self.scripts.append(Script())
        return self.scripts[-1]

    def flush(self) -> None:
        self.flushes += 1

    def hear(self, *parts: bytes) -> None:
        self.handle(self.talk.hear(b"".join(parts)))

    def handle(self, events: list[Any]) -> None:
        for event in events:
            call = event.stream.context
            match event:
                case Opened(stream):
                    stream.context = begin(self, stream)
                case Message(_, body):
                    call.message(body)
                case HalfClosed():
                    call.half_closed()
                case Cancelled():
                    call.cancelled()
                case Writable():
                    call.writable()

    def open(self, path: str = PROCESS, **fields: str) -> Stream:
        self.hear(headers(1, changed(_path=path, **fields)))
        return next(iter(self.talk.connection.streams()))

    def heard(self) -> tuple[list[bytes], int | None]:
        """The messages that the peer has got since the last look, and the status."""
        self.handle(self.talk.connection.pump())
        said = self.talk.said()
        found = [load[5:] for kind, _, _, load in said if kind == frames.DATA]
        return found, statuses(said).get(1)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def test_messages_are_answered_in_order_though_one_waits() -> None:
    desk = Desk()
    desk.open()
    desk.hear(message(1, b"one"), message(1, b"wait"), message(1, b"two"), message(1, b"three"))
    assert desk.heard() == ([b"one"], None)
    desk.scripts[0].gate.set()
    await until(lambda: desk.flushes > 0)
    assert desk.heard() == ([b"wait", b"two", b"three"], None)
    assert desk.talk.memory.used == 0


async def test_no_message_is_taken_before_the_last_answer_has_gone() -> None:
    desk = Desk()
    desk.hear(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    desk.open()
    desk.hear(message(1, b"one"), message(1, b"two"))
    assert desk.scripts[0].asked == [b"one"]
    desk.hear(frames.window_update(1, 8))
    assert desk.scripts[0].asked == [b"one", b"two"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([b"verdict"], Status.OK),
        ([b"one"], Status.ABORTED),
        ([], Status.ABORTED),
        ([b"illegal"], Status.FAILED_PRECONDITION),
        ([b"exit"], Status.INTERNAL),
    ],
)
async def test_how_a_stream_ends_that_its_peer_ends(words: list[bytes], status: Status) -> None:
    desk = Desk()
    desk.open()
    desk.hear(*(message(1, word) for word in words), data(1, b"", end=True))
    assert desk.heard()[1] == status
    assert desk.talk.connection.open_streams == 0


async def test_the_last_answer_ends_the_stream_before_its_peer_does() -> None:
    desk = Desk()
    desk.open()
    desk.hear(message(1, b"last"), message(1, b"more"))
    assert desk.heard() == ([b"last"], Status.OK)
    assert desk.scripts[0].asked == [b"last"], "nobody is asked once all is said"


async def test_a_peer_that_ends_its_half_still_gets_its_answer() -> None:
    desk = Desk()
    desk.open()
    desk.hear(message(1, b"wait"), message(1, b"verdict"), data(1, b"", end=True))
    assert desk.heard() == ([], None)
    desk.scripts[0].gate.set()
    await until(lambda: desk.flushes > 0)
    assert desk.heard() == ([b"wait", b"verdict"], Status.OK)


async def test_a_task_that_exits_fails_its_call_alone() -> None:
    desk = Desk()
    desk.open()
    desk.hear(message(1, b"late-exit"))
    await until(lambda: desk.flushes > 0)
    assert desk.heard() == ([], Status.INTERNAL)


@pytest.mark.parametrize("begun", [True, False])
async def test_who_leaves_cancels_what_is_waited_for(begun: bool) -> None:
    desk = Desk()
    stream = desk.open()
    desk.hear(message(1, b"wait"), message(1, b"next"))
    if begun:
        await settle()
    desk.hear(frames.rst_stream(1, ErrorCode.CANCEL))
    await settle()
    assert desk.scripts[0].cancelled == begun
    assert desk.scripts[0].abandoned
    assert desk.scripts[0].asked == [b"wait"]
    assert desk.heard() == ([], None)
    assert (desk.talk.memory.used, stream.backlog) == (0, type(stream.backlog)())


async def test_what_was_to_be_awaited_is_closed_however_deep_it_lies() -> None:
    """Python warns of a coroutine that nobody awaits when it is forgotten."""
    policies = [Waits(), Waits()]
    gate = Gate(Chain(map(Link, policies)), CATALOGUE, IdentityHeaders())
    desk = Desk()
    desk.services = Services(lambda: Conversation(gate, Travel(), lambda: "exchange-1"), print, lambda: True)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        desk.open()
        desk.hear(message(1, playbook.headers("POST", "/v1/chat/completions", playbook.JSON).SerializeToString()))
        desk.heard()
        desk.hear(message(1, playbook.body({"model": "gpt-4o", "messages": []}).SerializeToString()))
        desk.hear(frames.rst_stream(1, ErrorCode.CANCEL))
        await settle()
        gc.collect()
    assert [str(one.message) for one in warned] == []
    assert [policy.heard for policy in policies] == [["asked", "abandoned"], []]


async def test_an_answer_of_one_that_will_not_be_cancelled_is_not_sent() -> None:
    desk = Desk()
    desk.open()
    desk.hear(message(1, b"stubborn"))
    await settle()
    desk.hear(frames.rst_stream(1, ErrorCode.CANCEL))
    early = desk.scripts[0].abandoned
    await settle()
    assert (early, desk.scripts[0].cancelled, desk.scripts[0].abandoned > 0) == (0, True, True)
    assert desk.heard() == ([], None)


async def test_a_deadline_ends_the_call_and_what_is_waited_for() -> None:
    desk = Desk()
    desk.open(grpc_timeout="20m")
    desk.hear(message(1, b"wait"), message(1, b"next"))
    await until(lambda: desk.flushes > 0)
    await settle()
    assert desk.heard() == ([], Status.DEADLINE_EXCEEDED)
    assert desk.scripts[0].cancelled
    assert desk.scripts[0].abandoned
    desk.hear(message(1, b"more"), data(1, b"", end=True))
    assert (desk.scripts[0].asked, desk.talk.memory.used) == ([b"wait"], 0)


async def test_a_call_that_fails_unexpectedly_ends_with_an_error() -> None:
    desk = Desk()
    stream = desk.open()
    desk.hear(message(1, b"wait"))
    await settle()
    fail(desk, stream)
    await settle()
    assert desk.heard()[1] == Status.INTERNAL
    assert desk.scripts[0].cancelled


async def test_a_method_that_there_is_not() -> None:
    desk = Desk()
    desk.open("/no.Such/Method")
    desk.hear(message(1, b"x"), data(1, b"", end=True))
    assert desk.heard() == ([], Status.UNIMPLEMENTED)


async def test_log_entries_are_taken_and_the_stream_ends_with_its_peer() -> None:
    desk = Desk()
    desk.open(ACCESS_LOGS)
    desk.hear(message(1, b"a"), data(1, framed(b"b") + framed(b"c"), end=True))
    assert desk.logged == [b"a", b"b", b"c"]
    assert desk.heard() == ([b""], Status.OK)


async def test_a_log_stream_that_is_drained_is_still_heard() -> None:
    desk = Desk()
    stream = desk.open(ACCESS_LOGS)
    stream.context.drain()
    assert desk.heard() == ([b""], Status.OK)
    desk.hear(message(1, b"late"))
    assert desk.logged == [b"late"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", ([SERVING], Status.OK)),
        (b"\x0a" + bytes((len(PROCESS.split("/")[1]),)) + PROCESS.split("/")[1].encode(), ([SERVING], Status.OK)),
        (b"\x0a\x03who", ([], Status.NOT_FOUND)),
        (b"\xff", ([], Status.INTERNAL)),
    ],
)
async def test_health(body: bytes, found: tuple[list[bytes], Status]) -> None:
    desk = Desk()
    desk.open(HEALTH_CHECK)
    desk.hear(message(1, body, end=True))
    assert desk.heard() == found


@pytest.mark.parametrize("path", [HEALTH_CHECK, HEALTH_WATCH])
async def test_health_without_a_question(path: str) -> None:
    desk = Desk()
    desk.open(path)
    desk.hear(data(1, b"", end=True))
    assert desk.heard() == ([], Status.INTERNAL)


async def test_health_is_watched_until_its_peer_leaves() -> None:
    desk = Desk()
    stream = desk.open(HEALTH_WATCH)
    desk.hear(message(1, b""))
    await until(lambda: desk.flushes == 1)
    assert desk.heard() == ([SERVING], None)
    desk.well = False
    await until(lambda: desk.flushes == 2)
    assert desk.heard()[0] != [SERVING]
    stream.context.drain()
    assert desk.heard() == ([], Status.UNAVAILABLE)

"""What is done with a gRPC call, by method: ext_proc streams, access log streams, health.

A call is told what happens on its stream, and answers through its line. It never blocks: what must wait is a task of its
own, and that task alone waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from types import CoroutineType
from typing import Any, Final, Protocol

from grpc_health.v1 import health_pb2

from extproc.tasks import ends_us, hold, spawn
from extproc.transport import ACCESS_LOGS, HEALTH_CHECK, HEALTH_WATCH, PROCESS, Dialogue, ProtocolError, Services
from extproc.wire.events import Stream
from extproc.wire.grpc import Status

_log = logging.getLogger(__name__)
_HEALTH_INTERVAL: Final = 1.0
_KNOWN_TO_HEALTH: Final = frozenset({"", PROCESS.split("/")[1], ACCESS_LOGS.split("/")[1]})


class Line(Protocol):
    """The connection, as a call sees it."""

    services: Services

    def send(self, stream: Stream, message: bytes) -> None: ...

    def finish(self, stream: Stream, status: Status = Status.OK, text: str = "") -> None: ...

    def postpone(self, stream: Stream, message: bytes) -> None: ...

    def next(self, stream: Stream) -> bytes | None: ...

    def flush(self) -> None:
        """Send what has been said since the last read: for who speaks at a time of its own."""
        ...


class Call:
    """A call that ignores what it is told."""

    __slots__ = ("_line", "_stream")

    def __init__(self, line: Line, stream: Stream) -> None:
        self._line = line
        self._stream = stream

    def message(self, data: bytes) -> None:
        """A message arrived."""

    def half_closed(self) -> None:
        """The peer has nothing more to say."""

    def cancelled(self) -> None:
        """The stream is gone."""
        self._let_go()

    def writable(self) -> None:
        """The last answer is on its way."""

    def drain(self) -> None:
        """The server goes: a call that would last for ever ends now."""

    def _finish(self, status: Status = Status.OK, text: str = "") -> None:
        self._stream.deaf = True
        self._line.finish(self._stream, status, text)
        self._let_go()

    def _let_go(self) -> None:
        # Stream and call know each other. Left so, every exchange would be garbage for the collector to find: 5% of all
        # CPU, pauses of 10 ms, and bodies that stay in memory until then.
        self._stream.context = _OVER


class Over(Call):
    """What a stream has in place of a call that is over: whatever is still told to it does not matter."""

    __slots__ = ()

    def __init__(self) -> None:
        """It knows no stream."""

    def cancelled(self) -> None:
        """There is nothing to let go."""


class Process(Call):
    """One exchange. Messages are answered in order, one after the other, and none before the last answer has gone."""

    __slots__ = ("_closing", "_deadline", "_dialogue", "_pending", "_task")

    def __init__(self, line: Line, stream: Stream) -> None:
        super().__init__(line, stream)
        self._dialogue: Dialogue = line.services.converse()
        self._task: asyncio.Task[None] | None = None
        self._pending: Awaitable[bytes] | None = None
        self._closing = False
        self._deadline: asyncio.TimerHandle | None = None
        if stream.timeout is not None:
            self._deadline = asyncio.get_running_loop().call_later(stream.timeout, self._expire)

    def message(self, data: bytes) -> None:
        if self._task is not None or self._stream.queue or self._stream.backlog:
            self._line.postpone(self._stream, data)
        else:
            self._ask(data)

    def half_closed(self) -> None:
        self._closing = True
        self._go_on()

    def writable(self) -> None:
        self._go_on()

    def cancelled(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._give_up()
        self._let_go()

    def _ask(self, data: bytes) -> None:
        try:
            answer = self._dialogue.receive(data)
        except BaseException as error:
            self._dialogue.abandon()
            self._fail(error)
            return
        if isinstance(answer, bytes):
            self._answer(answer)
        else:
            self._pending = answer
            self._task = hold(self._wait(answer))

    async def _wait(self, pending: Awaitable[bytes]) -> None:
        try:
            answer = await pending
        except BaseException as error:
            self._dialogue.abandon()
            if ends_us(error):
                raise
            self._task = None
            self._fail(error)
        else:
            self._task = None
            self._answer(answer)
            self._go_on()
        self._line.flush()

    def _answer(self, answer: bytes) -> None:
        self._line.send(self._stream, answer)
        if self._dialogue.is_over:
            self._end()

    def _go_on(self) -> None:
        stream = self._stream
        while self._task is None and not stream.queue and not stream.deaf:
            data = self._line.next(stream)
            if data is None:
                if self._closing:
                    self._end()
                return
            self._ask(data)

    def _end(self) -> None:
        """End the stream: cleanly behind a verdict, and nowhere else."""
        if self._dialogue.may_end:
            self._close(Status.OK)
        else:
            self._close(Status.ABORTED, "the stream ended before the verdict")

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, ProtocolError):
            _log.error("ext_proc: %s", error)
            self._close(Status.FAILED_PRECONDITION, str(error))
        else:
            _log.error("ext_proc: a conversation failed", exc_info=error)
            self._close(Status.INTERNAL, "the conversation failed")

    def _expire(self) -> None:
        if not self._stream.finished:
            self._give_up()
            self._close(Status.DEADLINE_EXCEEDED, "the deadline has passed")
            self._line.flush()

    def _give_up(self) -> None:
        """End what is being waited for."""
        if self._task is not None:
            self._task.cancel()
            self._task.add_done_callback(self._given_up)

    def _given_up(self, _: asyncio.Task[None]) -> None:
        # Where the task has not begun, nobody ever awaits this.
        _discard(self._pending)
        # Also where a policy would not be cancelled: its answer came too late to be sent.
        self._dialogue.abandon()

    def _close(self, status: Status, text: str = "") -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._finish(status, text)


class Logs(Call):
    """An access log stream. Envoy keeps it open for as long as it lives."""

    __slots__ = ()

    def message(self, data: bytes) -> None:
        self._line.services.log(data)

    def half_closed(self) -> None:
        self._end()

    def drain(self) -> None:
        # Envoy opens another stream, elsewhere. What it has sent on this one before it knows is still taken.
        self._end()

    def _end(self) -> None:
        # Not deaf: see `drain`.
        self._line.send(self._stream, b"")
        self._line.finish(self._stream)


def _discard(value: object) -> None:
    """Close a coroutine that nobody will await any more, and those that it was given to await, if it has not begun."""
    if not isinstance(value, CoroutineType):
        if isinstance(value, Coroutine):
            # A compiled one, which does not tell what it was given to await: that goes with it, and Python warns of it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                value.close()
        return
    given = tuple(getcoroutinelocals(value).values()) if getcoroutinestate(value) == CORO_CREATED else ()
    value.close()
    for one in given:
        _discard(one)


def _health(services: Services) -> Any:
    response = health_pb2.HealthCheckResponse
    return response(status=response.SERVING if services.healthy() else response.NOT_SERVING)


class HealthCheck(Call):
    """`grpc.health.v1.Health/Check`."""

    __slots__ = ()

    def message(self, data: bytes) -> None:
        service = _service(data)
        if service is None:
            self._finish(Status.INTERNAL, "not a HealthCheckRequest")
        elif service not in _KNOWN_TO_HEALTH:
            self._finish(Status.NOT_FOUND, "unknown service")
        else:
            self._line.send(self._stream, _health(self._line.services).SerializeToString())
            self._finish()

    def half_closed(self) -> None:
        self._finish(Status.INTERNAL, "no request")


class HealthWatch(Call):
    """`grpc.health.v1.Health/Watch`: the state now, and whenever it changes."""

    __slots__ = ("_last", "_task")

    def __init__(self, line: Line, stream: Stream) -> None:
        super().__init__(line, stream)
        self._task: asyncio.Task[None] | None = None
        self._last: Any = None

    def message(self, data: bytes) -> None:
        service = _service(data)
        if service is None or self._task is not None:
            self._finish(Status.INTERNAL, "expected one HealthCheckRequest")
            self.cancelled()
        else:
            self._task = spawn(self._watch(service), name="health watch")

    def half_closed(self) -> None:
        if self._task is None:
            self._finish(Status.INTERNAL, "no request")

    def cancelled(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._let_go()

    def drain(self) -> None:
        self.cancelled()
        self._finish(Status.UNAVAILABLE, "the server stops")

    async def _watch(self, service: str) -> None:
        while not self._stream.finished:
            response = _health(self._line.services)
            if service not in _KNOWN_TO_HEALTH:
                response.status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if response != self._last and not self._stream.queue:
                self._last = response
                self._line.send(self._stream, response.SerializeToString())
                self._line.flush()
            await asyncio.sleep(_HEALTH_INTERVAL)


def _service(data: bytes) -> str | None:
    try:
        service: str = health_pb2.HealthCheckRequest.FromString(data).service
    except Exception:
        return None
    return service


_OVER: Final = Over()
CALLS: Final[Mapping[str, Callable[[Line, Stream], Call]]] = {
    PROCESS: Process,
    ACCESS_LOGS: Logs,
    HEALTH_CHECK: HealthCheck,
    HEALTH_WATCH: HealthWatch,
}


def begin(line: Line, stream: Stream) -> Call:
    """The call that a stream opens. A method that there is not is refused."""
    kind = CALLS.get(stream.path)
    if kind is not None:
        return kind(line, stream)
    stream.deaf = True
    line.finish(stream, Status.UNIMPLEMENTED, "unknown method")
    return _OVER


def fail(line: Line, stream: Stream) -> None:
    """End a call that has failed in a way that it did not expect."""
    if stream.context is not None:
        with contextlib.suppress(Exception):
            stream.context.cancelled()
    stream.context = _OVER
    stream.deaf = True
    line.finish(stream, Status.INTERNAL, "the call failed")

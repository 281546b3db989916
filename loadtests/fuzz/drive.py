"""One run: bytes for a connection, cut anywhere, and a server that answers them by the same bytes' whim."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Final

from extproc.wire import frames
from extproc.wire.connection import Connection
from extproc.wire.events import Cancelled, Event, HalfClosed, Message, Opened, Stream, Writable
from extproc.wire.grpc import Status
from extproc.wire.limits import MESSAGE_COST, Limits, Memory

LIMITS: Final = Limits(
    streams=8,
    stream_window=70_000,
    connection_window=200_000,
    message=20_000,
    buffered=48_000,
    block=2_000,
    continuations=3,
    header_list=4_000,
    remembered=6,
    resets_per_interval=12,
    pings_per_interval=12,
    settings_per_interval=12,
    empty_per_interval=12,
    ignored_per_interval=12,
    faults_per_interval=12,
    handshake=5.0,
    idle=20.0,
    patience=5.0,
)
"""Small enough to be reached."""
_SHUNNED: Final = 1_000
_GREETING: Final = frames.PREFACE + frames.settings({})
_CHOICES: Final = 48


class BrokenError(AssertionError):
    """Something that always holds did not."""


class Run:
    """One connection, from its first byte to its end."""

    def __init__(self, data: bytes) -> None:
        # Nearly every mutation of the preface is the same case: let most inputs begin behind it.
        self._data = data if data.startswith(b"PRI") else _GREETING + data
        self._whims: Iterator[int] = cycle(data[-_CHOICES:] or b"\0")
        self._memory = Memory()
        self._connection = Connection(LIMITS, 1.0, self._memory)
        self._known: set[Stream] = set()
        self._gone: set[Stream] = set()
        self._halved: set[Stream] = set()
        self._said = 0
        self._heard = 0
        self._written = 0

    def go(self) -> None:
        """
        Raises:
            BrokenError: the connection's accounts are wrong. Whatever else is raised is a fault too.
        """
        now, position = 1.0, 0
        while position < len(self._data):
            size = 1 + next(self._whims) * next(self._whims)
            part = self._data[position : position + size]
            position += size
            self._heard += len(part)
            self._handle(self._connection.receive(part, now))
            whim = next(self._whims)
            if whim & 0x30 == 0x30:
                now += whim & 0x0F
                self._handle(self._connection.tick(now))
            if whim & 0xC0 == 0xC0:
                self._connection.drain()
            if whim & 1:
                self._speak(next(self._whims))
            self._flush()
            self._check()
        self._handle(self._connection.lose())
        self._flush()
        _hold(self._memory.used == 0, "memory of nothing")
        _hold(self._connection.open_streams == 0, "streams that outlive their connection")

    def _flush(self) -> None:
        for _ in range(100):
            if not self._connection.has_waiting:
                break
            self._handle(self._connection.pump())
            self._written += len(self._connection.take())
        self._written += len(self._connection.take())

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            stream = event.stream
            if isinstance(event, Opened):
                _hold(stream not in self._known, "a stream that opens twice")
                self._known.add(stream)
                continue
            _hold(stream in self._known, "an event before its stream")
            _hold(stream not in self._gone, "an event behind the end of its stream")
            if isinstance(event, Cancelled):
                self._gone.add(stream)
            elif isinstance(event, Message):
                _hold(len(event.data) <= LIMITS.message, "a message above the limit")
                self._act(stream, event.data, next(self._whims))
            elif isinstance(event, HalfClosed):
                _hold(stream not in self._halved, "a stream that half-closes twice")
                self._halved.add(stream)
                if next(self._whims) & 1:
                    self._connection.finish(stream)
            elif isinstance(event, Writable):
                self._connection.next(stream)

    def _act(self, stream: Stream, data: bytes, whim: int) -> None:
        if whim & 7 == 0:
            stream.deaf = True
            self._connection.finish(stream, Status.ABORTED, "a reason")
        elif whim & 7 < 3:
            self._connection.postpone(stream, data)
        elif whim & 7 < 5:
            self._send(stream, data)
        elif whim & 7 == 5:
            self._send(stream, bytes(200 * whim))

    def _speak(self, whim: int) -> None:
        """What a task of the server does at a time of its own."""
        streams = self._connection.streams()
        if streams:
            stream = streams[whim % len(streams)]
            message = self._connection.next(stream)
            self._send(stream, message or b"")
            if whim & 8:
                self._connection.finish(stream, Status.OK)

    def _send(self, stream: Stream, message: bytes) -> None:
        self._said += len(message) + 100
        self._connection.send(stream, message)

    def _check(self) -> None:
        connection = self._connection
        streams = connection.streams()
        held = sum(
            stream.inbox.held + stream.queued + sum(MESSAGE_COST + len(message) for message in stream.backlog)
            for stream in streams
        )
        _hold(self._memory.used == held, "memory that is not what is held")
        _hold(held <= LIMITS.buffered, "more held than may be")
        _hold(len(streams) <= LIMITS.streams, "more streams than may be")
        _hold(all(stream.queued or not stream.queue for stream in streams), "a queue that is not counted")
        _hold(len(connection._streams._shunned) <= _SHUNNED, "more shunned than may be")
        _hold(len(connection._headers._openings) <= LIMITS.remembered, "more remembered than may be")
        _hold(len(connection._reader._buffer) <= frames.MAX_FRAME + frames.HEAD_BYTES, "more read than a frame")
        _hold(len(connection._reader._block) <= LIMITS.block + frames.MAX_FRAME, "a header block too large")
        _hold(self._written <= 2_000 + 60 * self._heard + 3 * self._said, "more output than input")


def _hold(true: bool, otherwise: str) -> None:
    if not true:
        raise BrokenError(otherwise)


def drive(data: bytes) -> None:
    """One run, for a fuzzer."""
    Run(data).go()

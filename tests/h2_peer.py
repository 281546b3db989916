"""A gRPC client that says exactly what a test wants, frame by frame: hyper-h2 for what is legal, raw bytes for the rest.

async with connected(world.address) as peer:
    stream = await peer.call(PROCESS, framed(b"say hello"))
    answer = await peer.answer(stream)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from extproc.transport import PROCESS

PATIENCE: Final = 10.0
"""Seconds after which an answer does not come."""


def framed(*messages: bytes, flag: int = 0) -> bytes:
    """Messages as gRPC frames them."""
    return b"".join(bytes((flag,)) + len(message).to_bytes(4, "big") + message for message in messages)


@dataclass(slots=True)
class Answer:
    """What came on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    reset: int | None = None
    """The code of an RST_STREAM."""
    ended: bool = False

    @property
    def messages(self) -> list[bytes]:
        """The whole messages so far."""
        found, data = [], bytes(self.data)
        while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
            found.append(data[5:end])
            data = data[end:]
        return found

    @property
    def status(self) -> str | None:
        """`grpc-status`, wherever it stood."""
        return self.trailers.get("grpc-status") or self.headers.get("grpc-status")

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class Peer:
    """One connection, seen from its client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # Header names and values as the test gives them: what is illegal is for the server to say.
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        # hyper-h2 takes a GOAWAY for the end. RFC 9113, section 6.8: what is in flight goes on.
        machine, goaway = self.h2.state_machine, h2.connection.ConnectionInputs.RECV_GOAWAY
        states = (h2.connection.ConnectionState.IDLE, h2.connection.ConnectionState.CLIENT_OPEN)
        machine._transitions = machine._transitions | {(state, goaway): (None, state) for state in states}
        self.answers: defaultdict[int, Answer] = defaultdict(Answer)
        self.pings: list[bytes] = []
        self.goaways: list[h2.events.ConnectionTerminated] = []
        self.settings_acknowledged = 0
        self.windows_open = True
        """Whether what arrives is acknowledged, so that the server may send more."""
        self.hung_up = False

    def greet(self, settings: dict[int, int] | None = None) -> None:
        """The preface, with these settings."""
        if settings is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes(code): value for code, value in settings.items()}
            )
            self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def say(self, data: bytes) -> None:
        """Bytes, whatever they are, behind all that is legal so far."""
        self.flush()
        self._writer.write(data)

    async def call(
        self, path: str, data: bytes | None = None, *more: tuple[str, str], ends: bool = False, **replaced: str
    ) -> int:
        """Open a stream, and send data on it as far as its window allows. `replaced`: header fields, `_` for `-`."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields(path, *more, **replaced), end_stream=ends and data is None)
        if data is not None:
            await self.send(stream, data, ends=ends)
        self.flush()
        return stream

    async def send(self, stream: int, data: bytes, *, ends: bool = False, pad: int | None = None) -> None:
        """Send data as the windows allow: waits for them."""
        overhead = 0 if pad is None else pad + 1
        rest = memoryview(data)
        async with asyncio.timeout(60):
            while True:
                window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size) - overhead
                part, rest = rest[: max(window, 0)], rest[max(window, 0) :]
                if part or not rest:
                    self.h2.send_data(stream, bytes(part), end_stream=ends and not rest, pad_length=pad)
                self.flush()
                await self._writer.drain()
                if not rest:
                    return
                if window <= 0:
                    await self.read()

    def end(self, stream: int) -> None:
        self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream: int) -> None:
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def hang_up(self) -> None:
        self._writer.close()

    async def read(self) -> bool:
        """Take what the server says next. False: it has hung up."""
        data = await self._reader.read(256 * 1024)
        if not data:
            self.hung_up = True
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self.flush()
        return True

    async def until(self, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Read until it is so.

        Raises:
            TimeoutError: it does not come to be so.
            ConnectionError: the server hung up before.
        """
        async with asyncio.timeout(seconds):
            while not done():
                if not await self.read():
                    if done():
                        return
                    raise ConnectionError("the server hung up")

    async def answer(self, stream: int) -> Answer:
        """All of what a stream answers."""
        await self.until(lambda: self.answers[stream].over)
        return self.answers[stream]

    async def message(self, stream: int, number: int = 0) -> bytes:
        """The message of that number."""
        await self.until(lambda: len(self.answers[stream].messages) > number or self.answers[stream].over)
        return self.answers[stream].messages[number]

    async def serves(self) -> None:
        """The connection takes another stream. The server has dialogues of `tests.transports.Puppets`."""
        assert await self.message(await self.call(PROCESS, framed(b"say here"))) == b"here"

    async def change(self, setting: int, value: int) -> None:
        """Change a setting, and wait until the server has taken it."""
        before = self.settings_acknowledged
        self.h2.update_settings({h2.settings.SettingCodes(setting): value})
        self.flush()
        await self.until(lambda: self.settings_acknowledged > before)

    async def until_hung_up(self) -> None:
        """Read all that comes."""
        async with asyncio.timeout(PATIENCE):
            while await self.read():
                pass

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.answers[event.stream_id].headers = text(event.headers)
            case h2.events.TrailersReceived():
                self.answers[event.stream_id].trailers = text(event.headers)
            case h2.events.DataReceived():
                self.answers[event.stream_id].data += event.data
                if self.windows_open and event.flow_controlled_length:
                    self.h2.increment_flow_control_window(event.flow_controlled_length)
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        self.h2.increment_flow_control_window(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = event.error_code
            case h2.events.PingAckReceived():
                self.pings.append(event.ping_data)
            case h2.events.SettingsAcknowledged():
                self.settings_acknowledged += 1
            case h2.events.ConnectionTerminated():
                self.goaways.append(event)


def text(headers: Iterable[tuple[str | bytes, str | bytes]] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers or ()}


def fields(path: str, *more: tuple[str, str], **replaced: str) -> Sequence[tuple[str, str]]:
    """The header fields of a gRPC request. A `replaced` one that is empty is left out."""
    usual = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "policy",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in replaced.items():
        known = f":{name}" if f":{name}" in usual else name.replace("_", "-")
        usual[known] = value
    return [(name, value) for name, value in usual.items() if value] + list(more)


@contextlib.asynccontextmanager
async def connected(address: str, settings: dict[int, int] | None = None, *, greet: bool = True) -> AsyncIterator[Peer]:
    """A connection to a server at `unix:/path` or `host:port`."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    peer = Peer(reader, writer)
    if greet:
        peer.greet(settings)
    try:
        yield peer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

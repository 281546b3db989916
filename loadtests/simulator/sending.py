"""Put a reply on the wire as its request wished: whole or in pieces, slowly, compressed, broken off."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from itertools import islice
from typing import Any, Final, TypeAlias

from loadtests.simulator.replies import Reply, Stream, Whole
from loadtests.simulator.wishes import Wishes

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_GZIP: Final = 16 + zlib.MAX_WBITS
_WRITE_BYTES: Final = 16_384


async def send_reply(reply: Reply, wishes: Wishes, request_id: str, receive: Receive, send: Send) -> None:
    """Send the whole answer. Returns without the closing message when the wish is a cut: the server then hangs up."""
    streams = isinstance(reply, Stream)
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8" if streams else b"application/json"),
        (b"x-request-id", request_id.encode()),
    ]
    if wishes.gzip:
        headers.append((b"content-encoding", b"gzip"))
    if isinstance(reply, Whole):
        pieces, cut = _whole_pieces(reply, wishes)
        if not wishes.gzip:
            headers.append((b"content-length", b"%d" % len(reply.body)))
        status = reply.status
    else:
        pieces, cut = _stream_pieces(reply, wishes)
        status = 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if wishes.delay > 0:
        if not await _send_slowly(pieces, wishes.delay, receive, send):
            return
    else:
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    if not cut():
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _whole_pieces(reply: Whole, wishes: Wishes) -> tuple[Iterator[bytes], Callable[[], bool]]:
    body = reply.body
    cuts = wishes.cut_after is not None and wishes.cut_after < len(body)
    if cuts:
        body = body[: wishes.cut_after]
    return _transformed(iter([body]), wishes), lambda: cuts


def _stream_pieces(reply: Stream, wishes: Wishes) -> tuple[Iterator[bytes], Callable[[], bool]]:
    events = reply.events
    source = events if wishes.cut_after is None else islice(events, wishes.cut_after)
    if wishes.newline != b"\n":
        # JSON escapes its line feeds, so that every one in an event ends a line.
        source = (event.replace(b"\n", wishes.newline) for event in source)
    if wishes.delay == 0 and wishes.split is None:
        source = _gathered(source)
    # Whether the stream is broken off is known only when the events before the cut are gone.
    return _transformed(source, wishes), lambda: wishes.cut_after is not None and next(events, None) is not None


def _transformed(source: Iterator[bytes], wishes: Wishes) -> Iterator[bytes]:
    if wishes.gzip:
        source = _compressed(source)
    return source if wishes.split is None else _split(source, wishes.split)


def _gathered(source: Iterable[bytes]) -> Iterator[bytes]:
    """Fewer and larger writes: events that nobody wants to see one by one cost little this way."""
    waiting: list[bytes] = []
    size = 0
    for event in source:
        waiting.append(event)
        size += len(event)
        if size >= _WRITE_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def _compressed(source: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=_GZIP)
    for piece in source:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _split(source: Iterable[bytes], size: int) -> Iterator[bytes]:
    rest = b""
    for piece in source:
        rest += piece
        whole = len(rest) - len(rest) % size
        for start in range(0, whole, size):
            yield rest[start : start + size]
        rest = rest[whole:]
    if rest:
        yield rest


async def _send_slowly(pieces: Iterable[bytes], delay: float, receive: Receive, send: Send) -> bool:
    """Send with a pause before each piece but the first. False: the client has gone."""
    first = True
    for piece in pieces:
        if not first and await gone_within(delay, receive):
            return False
        first = False
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    return True


async def gone_within(delay: float, receive: Receive) -> bool:
    """Sleep, but wake up when the client leaves: then True."""
    try:
        async with asyncio.timeout(delay):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True

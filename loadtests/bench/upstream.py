"""An upstream that costs next to nothing: canned chat answers. `python -m loadtests.bench.upstream --port N`.

The simulator counts tokens and frames by ASGI, which would cost more than what is measured here. A stream has as many
chunks as the request allows tokens, each a write of its own, `PACE` seconds apart, as a model would send them: written
at once they would reach Envoy as one piece.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import uvloop

from loadtests.bench.timerfd import Ticker

WORDS: Final = 50
"""Of the plain answer, and of a stream that is not told how many."""
PACE: Final = 0.002
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_STREAM: Final = re.compile(rb'"stream": ?true')
_USAGE: Final = re.compile(rb'"include_usage": ?true')
_TOKENS: Final = re.compile(rb'"max_tokens": ?([0-9]{1,5})')
_HEAD_END: Final = b"\r\n\r\n"


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _usage(words: int) -> dict[str, int]:
    return {"prompt_tokens": 12, "completion_tokens": words, "total_tokens": 12 + words}


def whole() -> bytes:
    """The unary answer, head and body."""
    text = " ".join(["word"] * WORDS)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = _dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [choice],
            "usage": _usage(WORDS),
        }
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@functools.lru_cache(maxsize=16)
def pieces(chunks: int, *, usage: bool) -> tuple[bytes, ...]:
    """The streamed answer, in the pieces in which it is written. `usage`: with the chunk that counts the tokens."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    # Not one word again and again: LiteLLM takes that for a model that has lost its way, and ends the stream.
    words = [
        _event({**common, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        for text in (" word", " next")
    ]
    end = _event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    tail = [_event({**common, "choices": [], "usage": _usage(chunks)})] if usage else []
    last = b"".join([end, *tail, _chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"])
    return (head + words[0], *(words[number % 2] for number in range(1, chunks)), last)


def _event(value: Any) -> bytes:
    return _chunk(b"data: " + _dumps(value) + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_WHOLE: Final = whole()


class Pace:
    """Sends the next piece of every stream at every tick, while there are streams."""

    def __init__(self) -> None:
        self._streams: dict[asyncio.Transport, tuple[tuple[bytes, ...], int]] = {}
        self._ticker: Ticker | None = None

    def stream(self, transport: asyncio.Transport, parts: tuple[bytes, ...]) -> None:
        """Send the first piece now, and the others in time."""
        transport.write(parts[0])
        self._streams[transport] = parts, 1
        if self._ticker is None:
            self._ticker = Ticker(PACE, self._tick)

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.close()
            self._ticker = None

    def _tick(self, passed: int) -> None:
        for transport, (parts, position) in tuple(self._streams.items()):
            if transport.is_closing():
                del self._streams[transport]
                continue
            until = min(position + passed, len(parts))
            transport.write(b"".join(parts[position:until]))
            if until == len(parts):
                del self._streams[transport]
            else:
                self._streams[transport] = parts, until
        if not self._streams:
            self.close()


class Upstream(asyncio.Protocol):
    """One keep-alive connection, whose peer does not pipeline."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._transport: asyncio.Transport | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(_HEAD_END)
        if end < 0 or self._transport is None:
            return
        length = _LENGTH.search(self._data, 0, end)
        start = end + len(_HEAD_END)
        if length is not None:
            complete = len(self._data) >= start + int(length[1])
        elif _CHUNKED.search(self._data, 0, end):
            complete = self._data.endswith(b"\r\n0\r\n\r\n")
        else:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()
            return
        if complete:
            body, self._data = self._data[start:], b""
            self._answer(self._transport, body)

    def _answer(self, transport: asyncio.Transport, body: bytes) -> None:
        if _STREAM.search(body):
            told = _TOKENS.search(body)
            chunks = max(1, int(told[1])) if told else WORDS
            self._pace.stream(transport, pieces(chunks, usage=_USAGE.search(body) is not None))
        else:
            transport.write(_WHOLE)


async def _serve(port: int) -> None:
    pace = Pace()
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(pace), "127.0.0.1", port)
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of 127.0.0.1")
    chosen = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chosen.port))


if __name__ == "__main__":
    main()

"""An upstream that costs next to nothing: two canned chat answers. `python -m loadtests.bench.upstream --port N`.

The simulator counts tokens and frames by ASGI, which would cost more than what is measured here. A stream is sent as
`CHUNKS` separate writes, `PACE` seconds apart, as a model would: written at once it would reach Envoy as one piece.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import uvloop

CHUNKS: Final = 50
PACE: Final = 0.001
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_USAGE: Final = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def whole() -> bytes:
    """The unary answer, head and body."""
    text = " ".join(["word"] * CHUNKS)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = _dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [choice],
            "usage": _USAGE,
        }
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def pieces(*, usage: bool) -> list[bytes]:
    """The streamed answer, in the pieces in which it is written. `usage`: with the chunk that counts the tokens."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    word = _event({**common, "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]})
    end = _event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    tail = [_event({**common, "choices": [], "usage": _USAGE})] if usage else []
    return [head + word, *[word] * (CHUNKS - 1), b"".join([end, *tail, _chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"])]


def _event(value: Any) -> bytes:
    return _chunk(b"data: " + _dumps(value) + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_WHOLE: Final = whole()
_PIECES: Final = {usage: pieces(usage=usage) for usage in (False, True)}


class Upstream(asyncio.Protocol):
    """One keep-alive connection of Envoy's, which does not pipeline."""

    def __init__(self) -> None:
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
        if length is None:
            self._transport.write(b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()
        elif len(self._data) >= end + len(_HEAD_END) + int(length[1]):
            self._answer(self._data[end:])

    def _answer(self, body: bytes) -> None:
        self._data = b""
        if b'"stream":true' in body:
            self._stream(_PIECES[b'"include_usage":true' in body], 0)
        elif self._transport is not None:
            self._transport.write(_WHOLE)

    def _stream(self, rest: list[bytes], position: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(rest[position])
        if position + 1 < len(rest):
            asyncio.get_running_loop().call_later(PACE, self._stream, rest, position + 1)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
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

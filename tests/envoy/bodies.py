"""Response bodies for the meter, and every way to cut them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.envoy.lua_meter import Metered, meter

JSON: Final = "application/json"
USAGE: Final = {
    "prompt_tokens": 70,
    "completion_tokens": 50,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
READ: Final = {"input": 70, "output": 50, "total": 120, "cached_input": 64, "cache_write": 2, "reasoning": 8}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    return b"data: " + compact(value) + b"\n\n"


def delta(content: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": content}}], **more}


def extra(**more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [], "usage": USAGE, **more}


DONE: Final = b"data: [DONE]\n\n"


def cuts(body: bytes, sizes: Iterable[int]) -> list[bytes]:
    """The body in pieces of these sizes; the rest in one."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    return [*[piece for piece in pieces if piece], body[at:]]


def every_way(body: bytes, kind: str, *, hide: bool = False, content_type: str = "text/event-stream") -> Metered:
    """Send the body whole, byte by byte, in small pieces and with an empty end. All must agree."""
    ways = [[body], [body[i : i + 1] for i in range(len(body))], cuts(body, [7] * (len(body) // 7)), [body, b""]]
    results = [meter(way, kind, hide=hide, content_type=content_type) for way in ways]
    for result in results:
        assert result.logged == ""
        assert (result.sent, result.usage) == (results[0].sent, results[0].usage)
    return results[0]

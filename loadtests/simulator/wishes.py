"""What a request wants done to it: the `x-sim-*` header fields. Pure.

| field | effect |
|---|---|
| `x-sim-tokens: N` | the answer would be N tokens long (default 16) if no ceiling cut it |
| `x-sim-cached-tokens: N` | usage says that N input tokens came from the provider's cache |
| `x-sim-cache-write-tokens: N` | usage says that N input tokens were written to the provider's cache |
| `x-sim-cache-write-1h-tokens: N` | and that N of them are kept for an hour (messages) |
| `x-sim-reasoning-tokens: N` | usage says that N further output tokens were spent on reasoning |
| `x-sim-audio-input-tokens: N` | usage says that N input tokens were audio (OpenAI) |
| `x-sim-audio-output-tokens: N` | usage says that N output tokens were audio (OpenAI) |
| `x-sim-tool-calls: N` | usage says that the provider searched the web N times |
| `x-sim-tier: NAME` | the service tier that the answer says |
| `x-sim-no-usage: 1` | no usage, asked for or not |
| `x-sim-latency-ms: N` | wait before the first byte of the answer |
| `x-sim-chunk-delay-ms: N` | wait between writes: one event, or one piece of a split body, is one write |
| `x-sim-status: N` | answer with this error status, in the API's own error form |
| `x-sim-cut-after: N` | drop the connection after N events of a stream, or N bytes of any other body |
| `x-sim-split: N` | write the body in pieces of N bytes |
| `x-sim-newline: crlf` | end the lines of a stream with CRLF (`cr`: with CR) |
| `x-sim-gzip: 1` | compress, although nobody asked for it |
| `x-sim-hang: 1` | read the request and never answer |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MOST_TOKENS: Final = 5_000_000
_LONGEST_WAIT: Final = 600_000.0
_NEWLINES: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


class BadWishError(ValueError):
    """A wish that cannot be read."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The faults and sizes wished for. Times are in seconds."""

    tokens: int = 16
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    tool_calls: int = 0
    tier: str | None = None
    usage: bool = True
    latency: float = 0.0
    delay: float = 0.0
    status: int | None = None
    cut_after: int | None = None
    split: int | None = None
    newline: bytes = b"\n"
    gzip: bool = False
    hang: bool = False

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Wishes:
        """Read the wishes from header fields (lower-case names).

        Raises:
            BadWishError: a value that makes no sense.
        """
        if not any(name.startswith("x-sim-") for name in headers):
            return _NONE
        newline = headers.get("x-sim-newline", "lf").lower()
        if newline not in _NEWLINES:
            raise BadWishError(f"x-sim-newline is one of {', '.join(_NEWLINES)}")
        return cls(
            tokens=_whole(headers, "x-sim-tokens", 0, MOST_TOKENS, 16),
            cached=_whole(headers, "x-sim-cached-tokens", 0, MOST_TOKENS, 0),
            cache_write=_whole(headers, "x-sim-cache-write-tokens", 0, MOST_TOKENS, 0),
            cache_write_1h=_whole(headers, "x-sim-cache-write-1h-tokens", 0, MOST_TOKENS, 0),
            reasoning=_whole(headers, "x-sim-reasoning-tokens", 0, MOST_TOKENS, 0),
            audio_input=_whole(headers, "x-sim-audio-input-tokens", 0, MOST_TOKENS, 0),
            audio_output=_whole(headers, "x-sim-audio-output-tokens", 0, MOST_TOKENS, 0),
            tool_calls=_whole(headers, "x-sim-tool-calls", 0, MOST_TOKENS, 0),
            tier=headers.get("x-sim-tier"),
            usage=not _flag(headers, "x-sim-no-usage"),
            latency=_milliseconds(headers, "x-sim-latency-ms"),
            delay=_milliseconds(headers, "x-sim-chunk-delay-ms"),
            status=_maybe_whole(headers, "x-sim-status", 400, 599),
            cut_after=_maybe_whole(headers, "x-sim-cut-after", 0, 2**31),
            split=_maybe_whole(headers, "x-sim-split", 1, 2**31),
            newline=_NEWLINES[newline],
            gzip=_flag(headers, "x-sim-gzip"),
            hang=_flag(headers, "x-sim-hang"),
        )


_NONE: Final = Wishes()


def _flag(headers: Mapping[str, str], name: str) -> bool:
    return headers.get(name, "0").lower() not in {"0", "false", "no", ""}


def _maybe_whole(headers: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    return _whole(headers, name, least, most, 0) if name in headers else None


def _whole(headers: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    text = headers.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise BadWishError(f"{name} is a whole number from {least} to {most}")
    return int(text)


def _milliseconds(headers: Mapping[str, str], name: str) -> float:
    text = headers.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _LONGEST_WAIT:
        raise BadWishError(f"{name} is a number of milliseconds from 0 to {_LONGEST_WAIT:g}")
    return value / 1000

"""What an API module is asked and what it answers, and the errors that it raises. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from loadtests.simulator.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that an API module understands: its JSON object, the model, and the wishes."""

    body: Mapping[str, Any]
    model: str
    wishes: Wishes

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True


@dataclass(frozen=True, slots=True)
class Whole:
    """One JSON body."""

    body: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events, each complete with its blank line, lines ended by LF."""

    events: Iterator[bytes]


Reply: TypeAlias = Whole | Stream


class RefusedError(Exception):
    """A request that the real API would refuse."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


def missing(name: str) -> RefusedError:
    return RefusedError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def ceiling(ask: Ask, *names: str) -> int | None:
    """The output ceiling: the first of these members that is set.

    Raises:
        RefusedError: it is not a positive integer.
    """
    for name in names:
        value = ask.body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RefusedError(400, f"Invalid '{name}': expected a positive integer.", param=name, code="invalid_value")
        return value
    return None


@dataclass(frozen=True, slots=True)
class Length:
    """How long one answer becomes. `visible` tokens are sent; `reasoning` tokens are only counted."""

    visible: int
    reasoning: int
    cut: bool

    @property
    def output(self) -> int:
        return self.visible + self.reasoning

    @classmethod
    def of(cls, wishes: Wishes, limit: int | None) -> Length:
        wanted = wishes.tokens + wishes.reasoning
        allowed = wanted if limit is None else min(wanted, limit)
        reasoning = min(wishes.reasoning, allowed)
        return cls(visible=allowed - reasoning, reasoning=reasoning, cut=allowed < wanted)


@dataclass(frozen=True, slots=True)
class Caching:
    """What a prompt of so many tokens did with the provider's cache: no token is in both."""

    read: int
    written: int
    for_an_hour: int

    @classmethod
    def of(cls, wishes: Wishes, prompt: int) -> Caching:
        read = min(wishes.cached, prompt)
        written = min(wishes.cache_write, prompt - read)
        return cls(read, written, min(wishes.cache_write_1h, written))


def searches(wishes: Wishes) -> dict[str, int]:
    """Searches of the provider's own, in Anthropic's words."""
    return {"web_search_requests": wishes.tool_calls, "web_fetch_requests": 0}


def dumps(value: object) -> bytes:
    """Compact JSON in UTF-8, as the providers send it."""
    text: bytes = orjson.dumps(value)
    return text


def data(value: object) -> bytes:
    """An event without a name, as in chat streams."""
    return b"data: " + dumps(value) + b"\n\n"


def named(value: Mapping[str, Any]) -> bytes:
    """An event named by its own `type`, as in responses and messages streams."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + dumps(value) + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"

_OPENAI_ERRORS: Final = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_ANTHROPIC_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def openai_error(refusal: RefusedError) -> Whole:
    """The error body of OpenAI's API reference ("Error codes")."""
    fallback = ("invalid_request_error", None) if refusal.status < 500 else ("server_error", None)
    kind, code = _OPENAI_ERRORS.get(refusal.status, fallback)
    error = {"message": refusal.message, "type": kind, "param": refusal.param, "code": refusal.code or code}
    return Whole(dumps({"error": error}), refusal.status)


def anthropic_error(refusal: RefusedError, request_id: str) -> Whole:
    """The error body of Anthropic's API reference ("Errors")."""
    fallback = "invalid_request_error" if refusal.status < 500 else "api_error"
    error = {"type": _ANTHROPIC_ERRORS.get(refusal.status, fallback), "message": refusal.message}
    return Whole(dumps({"type": "error", "error": error, "request_id": request_id}), refusal.status)

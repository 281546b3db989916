"""`POST /v1/chat/completions`. Shapes: OpenAI's API reference, "Chat" and "Chat streaming". Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.simulator.replies import (
    DONE,
    Ask,
    Caching,
    Length,
    RefusedError,
    Reply,
    Stream,
    Whole,
    ceiling,
    data,
    dumps,
    missing,
    searches,
)
from loadtests.simulator.tokens import Seed, words_in
from loadtests.simulator.tools import arguments, forced_tool
from loadtests.simulator.wishes import Wishes


@dataclass(frozen=True, slots=True)
class _Plan:
    ask: Ask
    seed: Seed
    prompt: int
    length: Length
    choices: int
    tool: tuple[str, str] | None

    @property
    def finish_reason(self) -> str:
        if self.length.cut:
            return "length"
        return "tool_calls" if self.tool else "stop"

    @property
    def usage(self) -> dict[str, Any]:
        return usage(self.prompt, self.length, self.choices, self.ask.wishes)

    @property
    def service(self) -> dict[str, Any]:
        return {"service_tier": tier(self.ask.wishes), "system_fingerprint": "fp_simulator"}

    def envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.seed.identifier("chatcmpl-"),
            "object": kind,
            "created": self.seed.created,
            "model": self.ask.model,
        }


def tier(wishes: Wishes) -> str:
    """The service tier, as chat and responses say it."""
    return "default" if wishes.tier is None else wishes.tier


def usage(prompt: int, length: Length, choices: int, wishes: Wishes) -> dict[str, Any]:
    """Usage as chat and completions report it. The details are parts of the totals.

    OpenAI does not count its searches there; others that speak its dialect do.
    """
    output = length.output * choices
    cache = Caching.of(wishes, prompt)
    written = {"cache_write_tokens": cache.written} if cache.written else {}
    told: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": cache.read,
            **written,
            "audio_tokens": min(wishes.audio_input, prompt),
        },
        "completion_tokens_details": {
            "reasoning_tokens": length.reasoning * choices,
            "audio_tokens": min(wishes.audio_output, output),
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if wishes.tool_calls:
        told["server_tool_use"] = searches(wishes)
    return told


def choices_of(ask: Ask) -> int:
    """`n`, from 1 to 128.

    Raises:
        RefusedError: it is something else.
    """
    n = ask.body.get("n")
    n = 1 if n is None else n
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 128:
        raise RefusedError(400, "Invalid 'n': expected an integer from 1 to 128.", param="n", code="invalid_value")
    return n


def wants_usage(ask: Ask) -> bool:
    """Whether a stream shall carry its usage, and may."""
    options = ask.body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True and ask.wishes.usage


def answer(ask: Ask) -> Reply:
    """Answer one chat request, whole or streamed.

    Raises:
        RefusedError: the real API would refuse it.
    """
    messages = ask.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise missing("messages")
    plan = _Plan(
        ask=ask,
        seed=Seed.of(ask.model, messages),
        prompt=max(1, words_in(messages)),
        length=Length.of(ask.wishes, ceiling(ask, "max_completion_tokens", "max_tokens")),
        choices=choices_of(ask),
        tool=forced_tool(ask.body),
    )
    return Stream(_events(plan)) if ask.streams else _whole(plan)


def _whole(plan: _Plan) -> Whole:
    choices = [
        {"index": index, "message": _message(plan, index), "logprobs": None, "finish_reason": plan.finish_reason}
        for index in range(plan.choices)
    ]
    body: dict[str, Any] = plan.envelope("chat.completion") | {"choices": choices}
    if plan.ask.wishes.usage:
        body["usage"] = plan.usage
    body |= plan.service
    return Whole(dumps(body))


def _message(plan: _Plan, index: int) -> dict[str, Any]:
    tokens = plan.seed.tokens(plan.length.visible, index)
    if plan.tool is None:
        return {"role": "assistant", "content": "".join(tokens), "refusal": None, "annotations": []}
    name, member = plan.tool
    function = {"name": name, "arguments": "".join(arguments(member, tokens))}
    call = {"id": plan.seed.identifier(f"call_{index}"), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None, "annotations": []}


def _events(plan: _Plan) -> Iterator[bytes]:
    reports = wants_usage(plan.ask)
    head = plan.envelope("chat.completion.chunk") | plan.service
    opening = b"data: " + dumps(head)[:-1] + b',"choices":[{"index":'
    closing = b'}],"usage":null}\n\n' if reports else b"}]}\n\n"

    def chunk(index: int, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'%b%d,"delta":%b,"logprobs":null,"finish_reason":%b%b' % (opening, index, delta, finish, closing)

    for index in range(plan.choices):
        yield chunk(index, _first_delta(plan, index))
    pieces = [_deltas(plan, index) for index in range(plan.choices)]
    for deltas in zip(*pieces, strict=True):
        for index, delta in enumerate(deltas):
            yield chunk(index, delta)
    for index in range(plan.choices):
        yield chunk(index, b"{}", dumps(plan.finish_reason))
    if reports:
        yield data(head | {"choices": [], "usage": plan.usage})
    yield DONE


def _first_delta(plan: _Plan, index: int) -> bytes:
    if plan.tool is None:
        return dumps({"role": "assistant", "content": "", "refusal": None})
    function = {"name": plan.tool[0], "arguments": ""}
    call = {"index": 0, "id": plan.seed.identifier(f"call_{index}"), "type": "function", "function": function}
    return dumps({"role": "assistant", "content": None, "tool_calls": [call], "refusal": None})


def _deltas(plan: _Plan, index: int) -> Iterator[bytes]:
    tokens = plan.seed.tokens(plan.length.visible, index)
    if plan.tool is None:
        for token in tokens:
            yield b'{"content":' + dumps(token) + b"}"
    else:
        for piece in arguments(plan.tool[1], tokens):
            yield b'{"tool_calls":[{"index":0,"function":{"arguments":' + dumps(piece) + b"}}]}"

"""`POST /v1/messages` and `/v1/messages/count_tokens`. Shapes: Anthropic's API reference, "Messages" and "Streaming".

Pure. Anthropic counts cached input beside `input_tokens`, OpenAI inside: so it is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.simulator.replies import (
    Ask,
    Caching,
    Length,
    RefusedError,
    Reply,
    Stream,
    Whole,
    ceiling,
    dumps,
    missing,
    named,
    searches,
)
from loadtests.simulator.tokens import Seed, words_in
from loadtests.simulator.tools import arguments, forced_tool


@dataclass(frozen=True, slots=True)
class _Plan:
    ask: Ask
    seed: Seed
    prompt: int
    length: Length
    tool: tuple[str, str] | None

    @property
    def stop_reason(self) -> str:
        if self.length.cut:
            return "max_tokens"
        return "tool_use" if self.tool else "end_turn"

    def usage(self, output: int) -> dict[str, Any]:
        cache = Caching.of(self.ask.wishes, self.prompt)
        return {
            "input_tokens": self.prompt - cache.read - cache.written,
            "cache_creation_input_tokens": cache.written,
            "cache_read_input_tokens": cache.read,
            "output_tokens": output,
        }

    def final_usage(self) -> dict[str, Any]:
        """What only the end of a message tells, beside what its start does."""
        wishes = self.ask.wishes
        details = {"output_tokens_details": {"thinking_tokens": self.length.reasoning}}
        searched = {"server_tool_use": searches(wishes)} if wishes.tool_calls else {}
        return self.usage(self.length.output) | details | searched

    def service(self) -> dict[str, Any]:
        """What only the start of a message tells: how long writes are kept, and the service tier."""
        wishes = self.ask.wishes
        cache = Caching.of(wishes, self.prompt)
        written = {
            "ephemeral_5m_input_tokens": cache.written - cache.for_an_hour,
            "ephemeral_1h_input_tokens": cache.for_an_hour,
        }
        return {"cache_creation": written, "service_tier": "standard" if wishes.tier is None else wishes.tier}

    def message(self, content: list[dict[str, Any]], stop_reason: str | None) -> dict[str, Any]:
        return {
            "id": self.seed.identifier("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self.ask.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
        }


def _prompt(ask: Ask) -> list[Any]:
    messages = ask.body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "messages: Field required")
    return [ask.body.get("system"), messages]


def count(ask: Ask) -> Whole:
    """Answer how many input tokens the request would have.

    Raises:
        RefusedError: the real API would refuse it.
    """
    return Whole(dumps({"input_tokens": max(1, words_in(_prompt(ask)))}))


def answer(ask: Ask) -> Reply:
    """Answer one message, whole or streamed.

    Raises:
        RefusedError: the real API would refuse it.
    """
    prompt = _prompt(ask)
    limit = ceiling(ask, "max_tokens")
    if limit is None:
        raise missing("max_tokens")
    plan = _Plan(
        ask=ask,
        seed=Seed.of(ask.model, prompt),
        prompt=max(1, words_in(prompt)),
        length=Length.of(ask.wishes, limit),
        tool=forced_tool(ask.body),
    )
    if ask.streams:
        return Stream(_events(plan))
    body = plan.message([_block(plan)], plan.stop_reason)
    if ask.wishes.usage:
        body["usage"] = plan.final_usage() | plan.service()
    return Whole(dumps(body))


def _block(plan: _Plan) -> dict[str, Any]:
    tokens = plan.seed.tokens(plan.length.visible)
    if plan.tool is None:
        return {"type": "text", "text": "".join(tokens)}
    name, member = plan.tool
    return {"type": "tool_use", "id": plan.seed.identifier("toolu_"), "name": name, "input": {member: "".join(tokens)}}


def _events(plan: _Plan) -> Iterator[bytes]:
    reports = plan.ask.wishes.usage
    start = plan.message([], None)
    if reports:
        start["usage"] = plan.usage(min(1, plan.length.output)) | plan.service()
    yield named({"type": "message_start", "message": start})
    if plan.tool is None:
        block: dict[str, Any] = {"type": "text", "text": ""}
    else:
        block = _block(plan) | {"input": {}}
    yield named({"type": "content_block_start", "index": 0, "content_block": block})
    yield named({"type": "ping"})
    opening = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    for delta in _deltas(plan):
        yield opening + dumps(delta) + b"}\n\n"
    yield named({"type": "content_block_stop", "index": 0})
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": plan.stop_reason, "stop_sequence": None},
    }
    if reports:
        end["usage"] = plan.final_usage()
    yield named(end)
    yield named({"type": "message_stop"})


def _deltas(plan: _Plan) -> Iterator[dict[str, str]]:
    tokens = plan.seed.tokens(plan.length.visible)
    if plan.tool is None:
        return ({"type": "text_delta", "text": token} for token in tokens)
    return ({"type": "input_json_delta", "partial_json": piece} for piece in arguments(plan.tool[1], tokens))

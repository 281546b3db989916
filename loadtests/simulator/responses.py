"""`POST /v1/responses`. Shapes: OpenAI's API reference, "Responses" and "Responses streaming". Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.simulator.chat import tier
from loadtests.simulator.replies import Ask, Caching, Length, Reply, Stream, Whole, ceiling, dumps, missing, named
from loadtests.simulator.tokens import Seed, words_in
from loadtests.simulator.tools import arguments, forced_tool


@dataclass(frozen=True, slots=True)
class _Plan:
    ask: Ask
    seed: Seed
    prompt: int
    length: Length
    limit: int | None
    tool: tuple[str, str] | None

    @property
    def status(self) -> str:
        return "incomplete" if self.length.cut else "completed"

    @property
    def item_id(self) -> str:
        return self.seed.identifier("fc_" if self.tool else "msg_")

    @property
    def usage(self) -> dict[str, Any]:
        wishes, length = self.ask.wishes, self.length
        cache = Caching.of(wishes, self.prompt)
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {
                "cached_tokens": cache.read,
                "cache_write_tokens": cache.written,
                **_audio(wishes.audio_input, self.prompt),
            },
            "output_tokens": length.output,
            "output_tokens_details": {
                "reasoning_tokens": length.reasoning,
                **_audio(wishes.audio_output, length.output),
            },
            "total_tokens": self.prompt + length.output,
        }

    def response(self, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        body = self.ask.body
        reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
        response = {
            "id": self.seed.identifier("resp_"),
            "object": "response",
            "created_at": self.seed.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": reason,
            "instructions": body.get("instructions"),
            "max_output_tokens": self.limit,
            "model": self.ask.model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            # What was asked for, until it is known what it became.
            "service_tier": "auto" if usage is None else tier(self.ask.wishes),
            "store": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
            "metadata": {},
        }
        if not self.ask.wishes.usage:
            del response["usage"]
        elif usage is not None and self.ask.wishes.tool_calls:
            response["tool_usage"] = {"web_search": {"num_requests": self.ask.wishes.tool_calls}}
        return response

    def item(self, text: str, status: str) -> dict[str, Any]:
        """The one output item, with so much of its text."""
        if self.tool is None:
            content = [part(text)] if status != "in_progress" else []
            return {"id": self.item_id, "type": "message", "status": status, "content": content, "role": "assistant"}
        return {
            "id": self.item_id,
            "type": "function_call",
            "status": status,
            "arguments": text,
            "call_id": self.seed.identifier("call_"),
            "name": self.tool[0],
        }

    def pieces(self) -> Iterator[str]:
        tokens = self.seed.tokens(self.length.visible)
        return tokens if self.tool is None else arguments(self.tool[1], tokens)


def _audio(wanted: int, whole: int) -> dict[str, int]:
    return {"audio_tokens": min(wanted, whole)} if wanted else {}


def part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def answer(ask: Ask) -> Reply:
    """Answer one response request, whole or streamed.

    Raises:
        RefusedError: the real API would refuse it.
    """
    prompt = ask.body.get("input")
    if not prompt:
        raise missing("input")
    limit = ceiling(ask, "max_output_tokens")
    instructions = ask.body.get("instructions")
    plan = _Plan(
        ask=ask,
        seed=Seed.of(ask.model, instructions, prompt),
        prompt=max(1, words_in([instructions, prompt])),
        length=Length.of(ask.wishes, limit),
        limit=limit,
        tool=forced_tool(ask.body),
    )
    if ask.streams:
        return Stream(_events(plan))
    return Whole(dumps(plan.response(plan.status, [plan.item("".join(plan.pieces()), plan.status)], plan.usage)))


def _events(plan: _Plan) -> Iterator[bytes]:
    for number, event in enumerate(_payloads(plan)):
        yield named({"type": event.pop("type"), "sequence_number": number} | event)


def _payloads(plan: _Plan) -> Iterator[dict[str, Any]]:
    started = plan.response("in_progress", [], None)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    yield {"type": "response.output_item.added", "output_index": 0, "item": plan.item("", "in_progress")}
    text = yield from (_text(plan) if plan.tool is None else _call(plan))
    item = plan.item(text, plan.status)
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": f"response.{plan.status}", "response": plan.response(plan.status, [item], plan.usage)}


def _text(plan: _Plan) -> Generator[dict[str, Any], None, str]:
    place = {"item_id": plan.item_id, "output_index": 0, "content_index": 0}
    yield {"type": "response.content_part.added"} | place | {"part": part("")}
    pieces = []
    for piece in plan.pieces():
        pieces.append(piece)
        yield {"type": "response.output_text.delta"} | place | {"delta": piece, "logprobs": []}
    text = "".join(pieces)
    yield {"type": "response.output_text.done"} | place | {"text": text, "logprobs": []}
    yield {"type": "response.content_part.done"} | place | {"part": part(text)}
    return text


def _call(plan: _Plan) -> Generator[dict[str, Any], None, str]:
    place = {"item_id": plan.item_id, "output_index": 0}
    pieces = []
    for piece in plan.pieces():
        pieces.append(piece)
        yield {"type": "response.function_call_arguments.delta"} | place | {"delta": piece}
    text = "".join(pieces)
    yield (
        {"type": "response.function_call_arguments.done"} | place | {"name": plan.item("", "")["name"], "arguments": text}
    )
    return text

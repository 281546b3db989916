"""`POST /v1/completions`. Shapes: OpenAI's API reference, "Completions". Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadtests.simulator.chat import choices_of, usage, wants_usage
from loadtests.simulator.replies import DONE, Ask, Length, Reply, Stream, Whole, ceiling, data, dumps, missing
from loadtests.simulator.tokens import Seed, words_in


@dataclass(frozen=True, slots=True)
class _Plan:
    ask: Ask
    seed: Seed
    prompt: int
    length: Length
    choices: int

    @property
    def finish_reason(self) -> str:
        return "length" if self.length.cut else "stop"

    @property
    def usage(self) -> dict[str, Any]:
        return usage(self.prompt, self.length, self.choices, self.ask.wishes)

    @property
    def envelope(self) -> dict[str, Any]:
        tier = self.ask.wishes.tier
        return {
            "id": self.seed.identifier("cmpl-"),
            "object": "text_completion",
            "created": self.seed.created,
            "model": self.ask.model,
            **({} if tier is None else {"service_tier": tier}),
        }


def answer(ask: Ask) -> Reply:
    """Answer one completion request, whole or streamed. Several prompts give several choices.

    Raises:
        RefusedError: the real API would refuse it.
    """
    prompt = ask.body.get("prompt")
    if prompt is None or prompt == []:
        raise missing("prompt")
    batch = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    plan = _Plan(
        ask=ask,
        seed=Seed.of(ask.model, prompt),
        prompt=max(1, words_in(prompt)),
        length=Length.of(ask.wishes, ceiling(ask, "max_tokens")),
        choices=choices_of(ask) * batch,
    )
    return Stream(_events(plan)) if ask.streams else _whole(plan)


def _whole(plan: _Plan) -> Whole:
    choices = [
        {
            "text": plan.seed.text(plan.length.visible, index),
            "index": index,
            "logprobs": None,
            "finish_reason": plan.finish_reason,
        }
        for index in range(plan.choices)
    ]
    body = plan.envelope | {"choices": choices}
    if plan.ask.wishes.usage:
        body["usage"] = plan.usage
    return Whole(dumps(body))


def _events(plan: _Plan) -> Iterator[bytes]:
    reports = wants_usage(plan.ask)
    head = plan.envelope

    def chunk(index: int, text: str, finish: str | None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
        return data(head | {"choices": [choice]} | ({"usage": None} if reports else {}))

    texts = [plan.seed.tokens(plan.length.visible, index) for index in range(plan.choices)]
    for row in zip(*texts, strict=True):
        for index, text in enumerate(row):
            yield chunk(index, text, None)
    for index in range(plan.choices):
        yield chunk(index, "", plan.finish_reason)
    if reports:
        yield data(head | {"choices": [], "usage": plan.usage})
    yield DONE

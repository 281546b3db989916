"""Calls in the other dialects and operations: Anthropic's messages, Responses, legacy completions, embeddings. Pure.

The prompts are long enough for what the simulator is told to say of them: no more can be cached than was asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

CHAT_MODELS: Final = ("gpt-4o", "gpt-4o-mini")
CLAUDE: Final = "claude-sonnet-4-5"
EMBEDDER: Final = "text-embedding-3-large"
_CACHED: Final = 40
"""Words of a prompt that is cached, or is written to the cache."""
SLOW: Final[Mapping[str, object]] = {"tokens": 60, "chunk-delay-ms": 20}
"""What a client can hang up in the middle of."""


class Call(NamedTuple):
    """What is asked, and what the simulator is to say of it: wishes without their `x-sim-`."""

    path: str
    body: Mapping[str, Any]
    wishes: Mapping[str, object]


def prompt(chance: random.Random) -> str:
    """Of one to six sentences."""
    return "Say something. " * chance.randint(1, 6)


def messages(chance: random.Random, *, wishes: Mapping[str, object] | None = None, **members: Any) -> Call:
    """A message of up to 40 tokens, or as is wished."""
    own: dict[str, Any] = {"model": CLAUDE, "max_tokens": 64, "messages": [{"role": "user", "content": prompt(chance)}]}
    return Call("/v1/messages", own | members, wishes or {"tokens": chance.randint(1, 40)})


def cached(chance: random.Random, wishes: Sequence[str]) -> Call:
    """A message, streamed or not, whose prompt was in the cache or comes there, as these wishes name it."""
    kept = {"type": "ephemeral", "ttl": "1h" if any("1h" in wish for wish in wishes) else "5m"}
    system = [{"type": "text", "text": "word " * _CACHED, "cache_control": kept}]
    count = chance.randint(1, _CACHED)
    told = {"tokens": chance.randint(1, 12), **dict.fromkeys(wishes, count)}
    return messages(chance, wishes=told, system=system, stream=chance.random() < 0.5)


def kept_for_both(chance: random.Random) -> Call:
    """A message part of whose prompt is kept for an hour, part for five minutes, and part was read from the cache."""
    call = cached(chance, ("cached-tokens", "cache-write-tokens", "cache-write-1h-tokens"))
    hour = chance.randint(1, 5)
    more = {"cached-tokens": 7, "cache-write-tokens": hour + 4, "cache-write-1h-tokens": hour}
    return call._replace(wishes={**call.wishes, **more})


def searched(chance: random.Random) -> Call:
    """A message for which the provider searches the web up to four times."""
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 4}
    wishes = {"tokens": chance.randint(1, 12), "tool-calls": chance.randint(1, 4)}
    return messages(chance, wishes=wishes, tools=[tool], stream=chance.random() < 0.5)


def responses(chance: random.Random, *, wishes: Mapping[str, object] | None = None, **members: Any) -> Call:
    """A response, part of whose input was cached and part of whose output is reasoning, or as is wished."""
    own: dict[str, Any] = {"model": chance.choice(CHAT_MODELS), "input": prompt(chance), "max_output_tokens": 64}
    told = {"tokens": chance.randint(1, 12), "reasoning-tokens": chance.randint(0, 9), "cached-tokens": 2}
    return Call("/v1/responses", own | members, wishes or told)


def responses_searched(chance: random.Random) -> Call:
    """A response for which the provider searches the web up to four times."""
    wishes = {"tokens": chance.randint(1, 12), "tool-calls": chance.randint(1, 4)}
    return responses(chance, wishes=wishes, tools=[{"type": "web_search"}], stream=chance.random() < 0.5)


def completions(chance: random.Random, *, wishes: Mapping[str, object] | None = None, **members: Any) -> Call:
    """A completion of text."""
    own: dict[str, Any] = {"model": chance.choice(CHAT_MODELS), "prompt": prompt(chance), "max_tokens": 64}
    return Call("/v1/completions", own | members, wishes or {"tokens": chance.randint(1, 12)})


def embeddings(chance: random.Random) -> Call:
    """Vectors of two texts."""
    return Call("/v1/embeddings", {"model": EMBEDDER, "input": ["one two", prompt(chance)]}, {})


def broken(chance: random.Random) -> Call:
    """A streamed message in whose middle the upstream breaks off."""
    return messages(chance, wishes={"tokens": 30, "cut-after": 9}, stream=True)


def failed(chance: random.Random) -> Call:
    """A message that Anthropic refuses."""
    return messages(chance, wishes={"status": chance.choice((429, 500, 529))})


def beyond_budget(chance: random.Random) -> Call:
    """More output than a budget of a hundred tokens has room for, in any dialect: the ceiling must be lowered."""
    wishes = {"tokens": 400}
    match chance.choice(("chat", "messages", "responses", "completions")):
        case "messages":
            return messages(chance, wishes=wishes, max_tokens=500, stream=chance.random() < 0.5)
        case "responses":
            return responses(chance, wishes=wishes, max_output_tokens=500, stream=chance.random() < 0.5)
        case "completions":
            return completions(chance, wishes=wishes, max_tokens=500)
        case _:
            said = [{"role": "user", "content": prompt(chance)}]
            return Call(
                "/v1/chat/completions", {"model": "gpt-4o", "messages": said, "max_completion_tokens": 500}, wishes
            )


CALLS: Final[Mapping[str, tuple[Callable[[random.Random], Call], float]]] = {
    "embeddings": (embeddings, 2),
    "messages": (messages, 4),
    "messages, streamed": (partial(messages, stream=True), 4),
    "messages, cache read": (partial(cached, wishes=("cached-tokens",)), 2),
    "messages, cache written": (partial(cached, wishes=("cache-write-tokens",)), 1.5),
    "messages, cache written for an hour": (
        partial(cached, wishes=("cache-write-tokens", "cache-write-1h-tokens")),
        1.5,
    ),
    "messages, cache read and written both ways": (kept_for_both, 1),
    "messages, searched": (searched, 1.5),
    "messages, left midway": (partial(messages, wishes=SLOW, stream=True), 1),
    "messages, upstream cuts": (broken, 0.5),
    "messages, upstream fails": (failed, 0.5),
    "responses": (responses, 2),
    "responses, streamed": (partial(responses, stream=True), 2),
    "responses, searched": (responses_searched, 1),
    "responses, left midway": (partial(responses, wishes=SLOW, stream=True), 0.5),
    "completions": (completions, 1),
    "completions, streamed": (partial(completions, stream=True), 1),
}
"""How each kind is made, and how many of a hundred requests it is."""

"""What a client reads is byte for byte what the provider would have sent to it: the meter leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.sdk_calls import CLAUDE, EMBEDDING, MESSAGES, MODEL, PROMPT, TOOLS, Person

CHAT, COMPLETIONS = "/chat/completions", "/completions"
_CHAT = {"model": MODEL, "messages": MESSAGES}
_STREAM = {**_CHAT, "stream": True}
_COMPLETION = {"model": MODEL, "prompt": PROMPT, "stream": True}


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, and the wishes that the simulator shall obey."""

    path: str
    body: Mapping[str, Any]
    wishes: Mapping[str, str] = field(default_factory=dict)
    sees_usage: bool = False


def _usage(shown: bool) -> dict[str, Any]:
    return {"stream_options": {"include_usage": shown}}


TABLE = {
    "chat": Asked(CHAT, _STREAM),
    "chat, usage declined": Asked(CHAT, {**_STREAM, **_usage(False)}),
    "chat, no options": Asked(CHAT, {**_STREAM, "stream_options": None}),
    "chat, usage asked for": Asked(CHAT, {**_STREAM, **_usage(True)}, sees_usage=True),
    "chat, two choices": Asked(CHAT, {**_STREAM, "n": 2}),
    "chat, a tool": Asked(CHAT, {**_STREAM, "tools": TOOLS, "tool_choice": "required"}),
    "chat, of one token": Asked(CHAT, _STREAM, {"x-sim-tokens": "1"}),
    "chat, of 3000 tokens": Asked(CHAT, _STREAM, {"x-sim-tokens": "3000"}),
    "chat, byte by byte": Asked(CHAT, _STREAM, {"x-sim-split": "1", "x-sim-tokens": "4"}),
    "chat, in odd pieces": Asked(CHAT, _STREAM, {"x-sim-split": "7"}),
    "chat, slowly": Asked(CHAT, _STREAM, {"x-sim-chunk-delay-ms": "10"}),
    "chat, CRLF": Asked(CHAT, _STREAM, {"x-sim-newline": "crlf"}),
    "chat, CRLF in odd pieces": Asked(CHAT, _STREAM, {"x-sim-newline": "crlf", "x-sim-split": "3", "x-sim-tokens": "5"}),
    "chat, usage with details": Asked(CHAT, _STREAM, {"x-sim-cached-tokens": "2", "x-sim-reasoning-tokens": "7"}),
    "chat, provider without usage": Asked(CHAT, _STREAM, {"x-sim-no-usage": "1"}),
    "chat, whole": Asked(CHAT, _CHAT, sees_usage=True),
    "completions": Asked(COMPLETIONS, _COMPLETION),
    "completions, usage declined": Asked(COMPLETIONS, {**_COMPLETION, **_usage(False)}),
    "completions, usage asked for": Asked(COMPLETIONS, {**_COMPLETION, **_usage(True)}, sees_usage=True),
    "completions, two prompts": Asked(COMPLETIONS, {**_COMPLETION, "prompt": [PROMPT, "another"]}),
    "completions, in odd pieces": Asked(COMPLETIONS, _COMPLETION, {"x-sim-split": "5"}),
    "completions, CRLF": Asked(COMPLETIONS, _COMPLETION, {"x-sim-newline": "crlf"}),
    # A response repeats the ceiling that was asked for, and the gateway asks for one where the client does not.
    "responses": Asked(
        "/responses", {"model": MODEL, "input": PROMPT, "stream": True, "max_output_tokens": 99}, sees_usage=True
    ),
    "messages": Asked(
        "/messages", {"model": CLAUDE, "max_tokens": 50, "messages": MESSAGES, "stream": True}, sees_usage=True
    ),
    "embeddings": Asked("/embeddings", {"model": EMBEDDING, "input": PROMPT}, sees_usage=True),
}


@pytest.mark.parametrize("asked", TABLE.values(), ids=TABLE)
def test_the_answer_is_the_providers_own(gateway: Gateway, asked: Asked) -> None:
    headers = {"authorization": f"Bearer {gateway.token()}", **asked.wishes}
    answers = [
        httpx.post(f"{base}/v1{asked.path}", json=asked.body, headers=headers)
        for base in (gateway.url, gateway.simulator)
    ]
    ours, own = answers
    assert ours.content == own.content
    assert (ours.status_code, ours.headers["content-type"]) == (200, own.headers["content-type"])
    assert (b'"usage":{' in own.content) == asked.sees_usage
    if asked.body.get("stream") and asked.path in (CHAT, COMPLETIONS):
        assert own.content.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_read_through_the_sdk_as_well(gateway: Gateway, api: str) -> None:
    bodies = []
    for base in (gateway.url, gateway.simulator):
        with Person(base, gateway.token()).openai() as client:
            reading: Any
            if api == "chat":
                reading = client.chat.completions.with_streaming_response.create(
                    model=MODEL, messages=MESSAGES, stream=True
                )
            else:
                reading = client.completions.with_streaming_response.create(model=MODEL, prompt=PROMPT, stream=True)
            with reading as response:
                bodies.append(b"".join(response.iter_bytes()))
    assert bodies[0] == bodies[1]
    assert bodies[0].count(b"data: ") > 16


def test_the_provider_was_asked_for_usage_all_the_same(gateway: Gateway) -> None:
    dave = {"authorization": f"Bearer {gateway.token('dave')}"}
    shown = [
        httpx.post(f"{gateway.url}/v1{path}", json=body, headers=dave).content.count(b"usage")
        for path, body in ((CHAT, _STREAM), (COMPLETIONS, _COMPLETION))
    ]
    assert shown == [0, 0]
    lines = gateway.completions("dave", 2)
    assert [(line["operation"], line["usage"]["output"]) for line in lines] == [("chat", 16), ("completions", 16)]

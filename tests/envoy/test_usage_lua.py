"""`envoy/usage.lua` in real Envoy, between a client and the simulator: what the access log tells, and what arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.envoy.metering_envoy import Metering, new_case, running_metering

pytestmark = pytest.mark.stack

MESSAGES: Final = [{"role": "user", "content": "how many words are these"}]
STREAM: Final = {"stream": True}
ASKED: Final = {"stream": True, "stream_options": {"include_usage": True}}
REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}),
    "completions": ("/v1/completions", {"model": "m", "prompt": "how many words are these"}),
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "how many words are these"}),
    "responses": ("/v1/responses", {"model": "m", "input": "how many words are these"}),
    "messages": ("/v1/messages", {"model": "m", "messages": MESSAGES, "max_tokens": 1000}),
}
SIZES: Final = {"x-sim-tokens": "9", "x-sim-cached-tokens": "2", "x-sim-reasoning-tokens": "4"}
# Five prompt words, nine visible tokens, four of reasoning. Anthropic counts cached input beside `input`.
OPENAI: Final = {"input": 5, "output": 13, "total": 18, "cached_input": 2, "reasoning": 4, "model": "m", "complete": True}
USAGE: Final[dict[str, dict[str, Any]]] = {
    "chat": OPENAI | {"tier": "default"},
    "completions": OPENAI,
    "embeddings": {"input": 5, "total": 5, "model": "m", "complete": True},
    "responses": OPENAI | {"cache_write": 0, "tier": "default"},
    "messages": {
        "input": 3, "output": 13, "cached_input": 2, "cache_write": 0, "reasoning": 4, "tier": "standard", "model": "m",
        "complete": True,
    },
}  # fmt: skip
# What is billed apart. Of the three prompt words that are left, all are written to the cache, two of them for an hour.
BILLED: Final = SIZES | {
    "x-sim-cache-write-tokens": "3",
    "x-sim-cache-write-1h-tokens": "2",
    "x-sim-audio-input-tokens": "4",
    "x-sim-audio-output-tokens": "6",
    "x-sim-tool-calls": "7",
    "x-sim-tier": "priority",
}
OPENAI_BILLED: Final = {"cache_write": 3, "audio_input": 4, "audio_output": 6, "tool_calls": 7, "tier": "priority"}
USAGE_BILLED: Final[dict[str, dict[str, Any]]] = {
    **{kind: USAGE[kind] | OPENAI_BILLED for kind in ("chat", "completions", "responses")},
    "messages": USAGE["messages"]
    | {"input": 0, "cache_write": 3, "cache_write_1h": 2, "tool_calls": 7, "tier": "priority"},
}


@pytest.fixture(scope="module")
def metering() -> Iterator[Metering]:
    with running_metering() as running:
        yield running
        assert running.lua_errors() == 0


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return httpx.post(url, json=body, headers=headers, timeout=30)


def through(
    metering: Metering, verdict: str, path: str, body: dict[str, Any], wishes: dict[str, str]
) -> tuple[bytes, dict[str, Any] | None]:
    """The bytes that the client got, and the usage on record."""
    case = new_case()
    response = post(metering.url(verdict, path), body, wishes | {"x-case": case})
    return response.content, metering.entry(case).usage


def direct(metering: Metering, path: str, body: dict[str, Any], wishes: dict[str, str]) -> bytes:
    return post(metering.simulator.url + path, body, wishes).content


@pytest.mark.parametrize("kind", REQUESTS)
def test_unary(metering: Metering, kind: str) -> None:
    path, body = REQUESTS[kind]
    got, usage = through(metering, kind, path, body, SIZES)
    assert got == direct(metering, path, body, SIZES)
    assert usage == USAGE[kind]


@pytest.mark.parametrize("kind", ["chat", "completions", "responses", "messages"])
@pytest.mark.parametrize("manner", [{}, {"x-sim-newline": "crlf"}, {"x-sim-split": "7"}, {"x-sim-chunk-delay-ms": "1"}])
def test_streamed(metering: Metering, kind: str, manner: dict[str, str]) -> None:
    path, body = REQUESTS[kind]
    got, usage = through(metering, kind, path, body | ASKED, SIZES | manner)
    assert got == direct(metering, path, body | ASKED, SIZES | manner)
    assert usage == USAGE[kind] | {"chunks": 9}


@pytest.mark.parametrize("kind", USAGE_BILLED)
@pytest.mark.parametrize("manner", [{}, {"x-sim-split": "7", "x-sim-chunk-delay-ms": "0.01"}])
def test_what_is_billed_apart(metering: Metering, kind: str, manner: dict[str, str]) -> None:
    path, body = REQUESTS[kind]
    for more, chunks in (({}, {}), (ASKED, {"chunks": 9})):
        got, usage = through(metering, kind, path, body | more, BILLED | manner)
        assert got == direct(metering, path, body | more, BILLED)
        assert usage == USAGE_BILLED[kind] | chunks


@pytest.mark.parametrize("kind", ["chat", "completions"])
def test_what_is_billed_apart_in_hidden_usage(metering: Metering, kind: str) -> None:
    path, body = REQUESTS[kind]
    got, usage = through(metering, f"{kind}_hidden", path, body | ASKED, BILLED)
    assert got == direct(metering, path, body | STREAM, BILLED)
    assert usage == USAGE_BILLED[kind] | {"chunks": 9}


@pytest.mark.parametrize("kind", USAGE_BILLED)
@pytest.mark.parametrize("tier", ["x" * 10_240, "Not a tier!", '","usage":{"service_tier":"batch"},"a":"'])
def test_a_tier_that_is_none_is_not_told(metering: Metering, kind: str, tier: str) -> None:
    path, body = REQUESTS[kind]
    untold = {name: value for name, value in USAGE[kind].items() if name != "tier"}
    # A streamed response began with the one that was asked for, and it stands.
    began: dict[str, Any] = {"tier": "auto"} if kind == "responses" else {}
    for more, expected in (({}, untold), (ASKED, untold | began | {"chunks": 9})):
        _, usage = through(metering, kind, path, body | more, SIZES | {"x-sim-tier": tier})
        assert usage == expected


def test_a_message_that_breaks_off_keeps_what_its_start_told(metering: Metering) -> None:
    path, body = REQUESTS["messages"]
    case = new_case()
    headers = BILLED | {"x-case": case, "x-sim-cut-after": "6", "x-sim-chunk-delay-ms": "5"}
    with pytest.raises(httpx.RemoteProtocolError):
        post(metering.url("messages", path), body | STREAM, headers)
    start = {"input": 0, "output": 1, "cached_input": 2, "cache_write": 3, "cache_write_1h": 2, "tier": "priority"}
    assert metering.entry(case).usage == start | {"model": "m", "chunks": 3}


@pytest.mark.parametrize("kind", ["chat", "completions"])
@pytest.mark.parametrize("newline", ["lf", "crlf", "cr"])
@pytest.mark.parametrize("split", ["1", "7", "4096", None])
def test_hidden_usage_leaves_the_stream_as_it_would_have_been(
    metering: Metering, kind: str, newline: str, split: str | None
) -> None:
    path, body = REQUESTS[kind]
    wishes = SIZES | {"x-sim-newline": newline, "x-sim-chunk-delay-ms": "0.01"}
    wishes |= {"x-sim-split": split} if split else {}
    got, usage = through(metering, f"{kind}_hidden", path, body | ASKED, wishes)
    assert got == direct(metering, path, body | STREAM, SIZES | {"x-sim-newline": newline})
    assert b"usage" not in got
    assert usage == USAGE[kind] | {"chunks": 9}


def test_hidden_usage_with_several_choices_and_tool_calls(metering: Metering) -> None:
    path, body = REQUESTS["chat"]
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {"words": {"type": "string"}}}}
    tools = {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    more: dict[str, Any]
    for more, chunks in (({"n": 3}, 27), (tools, 9)):
        got, usage = through(metering, "chat_hidden", path, body | more | ASKED, SIZES)
        assert got == direct(metering, path, body | more | STREAM, SIZES)
        assert usage is not None
        assert usage["chunks"] == chunks


def test_whole_answers_are_never_altered(metering: Metering) -> None:
    path, body = REQUESTS["chat"]
    assert through(metering, "chat_hidden", path, body, SIZES)[0] == direct(metering, path, body, SIZES)


@pytest.mark.parametrize("verdict", ["chat", "chat_hidden"])
def test_upstream_breaks_off(metering: Metering, verdict: str) -> None:
    path, body = REQUESTS["chat"]
    case = new_case()
    headers = {"x-case": case, "x-sim-tokens": "50", "x-sim-cut-after": "6", "x-sim-chunk-delay-ms": "5"}
    with pytest.raises(httpx.RemoteProtocolError):
        post(metering.url(verdict, path), body | ASKED, headers)
    assert metering.entry(case).usage == {"chunks": 5, "model": "m", "tier": "default"}


@pytest.mark.parametrize("kind", ["chat", "chat_hidden", "responses", "messages"])
def test_client_goes_away(metering: Metering, kind: str) -> None:
    path, body = REQUESTS[kind.removesuffix("_hidden")]
    case = new_case()
    headers = {"x-case": case, "x-sim-tokens": "500", "x-sim-chunk-delay-ms": "10"}
    with httpx.stream("POST", metering.url(kind, path), json=body | ASKED, headers=headers) as response:
        for number, line in enumerate(response.iter_lines()):
            if number > 30 and line:
                break
    entry = metering.entry(case)
    assert "DC" in entry.flags
    assert entry.usage is not None
    assert 0 < entry.usage["chunks"] < 500
    assert "complete" not in entry.usage


def test_upstream_that_reports_no_usage(metering: Metering) -> None:
    path, body = REQUESTS["chat"]
    got, usage = through(metering, "chat_hidden", path, body | ASKED, {"x-sim-no-usage": "1"})
    assert got == direct(metering, path, body | STREAM, {})
    assert usage == {"chunks": 16, "model": "m", "tier": "default", "complete": True}


@pytest.mark.parametrize("more", [{}, ASKED])
def test_compressed_answers_are_not_read(metering: Metering, more: dict[str, Any]) -> None:
    path, body = REQUESTS["chat"]
    got, usage = through(metering, "chat_hidden", path, body | more, {"x-sim-gzip": "1"})
    assert got == direct(metering, path, body | more, {})  # the client decompresses
    assert usage == {"encoded": True}


def test_without_a_meter_nothing_is_read(metering: Metering) -> None:
    path, body = REQUESTS["chat"]
    got, usage = through(metering, "unmetered", path, body | ASKED, {})
    assert got == direct(metering, path, body | ASKED, {})
    assert usage is None


def test_errors_cost_nothing(metering: Metering) -> None:
    path, body = REQUESTS["messages"]
    got, usage = through(metering, "messages", path, body, {"x-sim-status": "529"})
    assert json.loads(got)["error"]["type"] == "overloaded_error"
    assert usage == {"complete": True}


def test_ten_megabytes(metering: Metering) -> None:
    path, body = REQUESTS["chat"]
    got, usage = through(metering, "chat", path, body, {"x-sim-tokens": "2200000"})
    assert len(got) > 10 * 2**20
    counts = {"input": 5, "output": 2_200_000, "total": 2_200_005, "cached_input": 0, "reasoning": 0}
    assert usage == counts | {"model": "m", "tier": "default", "complete": True}


@pytest.mark.parametrize("shape", ["one piece", "byte by byte"])
def test_text_that_looks_like_usage_is_only_text(metering: Metering, shape: str) -> None:
    """The echo puts what the client wrote into strings of its answer."""
    case = new_case()
    fake = '","usage":{"prompt_tokens":1,"completion_tokens":1},"a":"'
    wishes = {"x-sim-split": "1", "x-sim-chunk-delay-ms": "0.01"} if shape == "byte by byte" else {}
    response = post(metering.url("chat", "/anything"), {}, wishes | {"x-case": case, "x-fake": fake})
    assert ["x-fake", fake] in response.json()["headers"]
    assert metering.entry(case).usage == {"complete": True}

"""`envoy/usage.lua` on LuaJIT without Envoy: what is billed apart from plain tokens, and the service tier."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envoy.bodies import DONE, JSON, compact, cuts, delta, event, every_way, extra
from tests.envoy.lua_meter import meter

Path = tuple[str, ...]
CHAT: Final[Mapping[str, Path]] = {
    "input": ("usage", "prompt_tokens"),
    "audio_input": ("usage", "prompt_tokens_details", "audio_tokens"),
    "audio_output": ("usage", "completion_tokens_details", "audio_tokens"),
    "tool_calls": ("usage", "server_tool_use", "web_search_requests"),
    "tier": ("service_tier",),
}
# Where each meter finds what. `input` is there for what must be told also where it is 0.
WHERE: Final[Mapping[str, Mapping[str, Path]]] = {
    "openai_chat": CHAT,
    "openai_completions": CHAT,
    "openai_embeddings": CHAT,
    "openai_responses": {
        "input": ("usage", "input_tokens"),
        "audio_input": ("usage", "input_tokens_details", "audio_tokens"),
        "audio_output": ("usage", "output_tokens_details", "audio_tokens"),
        "tool_calls": ("tool_usage", "web_search", "num_requests"),
        "tier": ("service_tier",),
    },
    "anthropic_messages": {
        "input": ("usage", "input_tokens"),
        "cache_write_1h": ("usage", "cache_creation", "ephemeral_1h_input_tokens"),
        "tool_calls": ("usage", "server_tool_use", "web_search_requests"),
        "tier": ("usage", "service_tier"),
    },
}
PLACES: Final = [(kind, field) for kind, places in WHERE.items() for field in places]
COUNTS: Final = [(kind, field) for kind, field in PLACES if field not in {"input", "tier"}]
TIERS: Final = [kind for kind, field in PLACES if field == "tier"]


def put(document: dict[str, Any], path: Path, value: object) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def look_up(document: object, path: Path) -> object:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def made(kind: str, values: Mapping[str, object]) -> dict[str, Any]:
    """An answer that states these values where the dialect does."""
    document: dict[str, Any] = {}
    for field, value in values.items():
        put(document, WHERE[kind][field], value)
    return document


def is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 10**9 and value == int(value)


def is_tier(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[a-z0-9_-]{1,32}", value) is not None


def stated(kind: str, documents: Sequence[object]) -> dict[str, Any]:
    """What these documents state, one after the other; 0 is not told before something else was."""
    found: dict[str, Any] = {}
    for document in documents:
        for field, path in WHERE[kind].items():
            value = look_up(document, path)
            if field == "tier":
                if is_tier(value):
                    found[field] = value
            elif value is not None and (value or not is_count(value) or field in found or field == "input"):
                found[field] = value if is_count(value) else -1
    return found


@pytest.mark.parametrize("kind", WHERE)
def test_whole_answers(kind: str) -> None:
    values = {field: "priority" if field == "tier" else at + 3 for at, field in enumerate(WHERE[kind])}
    for text in (compact(made(kind, values)), json.dumps(made(kind, values), indent=2).encode()):
        assert every_way(text, kind, content_type=JSON).usage == values | {"complete": True}


@pytest.mark.parametrize("kind", WHERE)
def test_nothing_is_told_of_what_is_zero(kind: str) -> None:
    values = {field: "" if field == "tier" else 0 for field in WHERE[kind]}
    assert every_way(compact(made(kind, values)), kind, content_type=JSON).usage == {"input": 0, "complete": True}


NO_COUNTS: Final = [-1, -1e9, 1.5, 10**9 + 1, 1e300, 2**53, 10**400, "1", "", True, False, None, [1], {"audio_tokens": 1}]


@pytest.mark.parametrize(("kind", "field"), COUNTS)
def test_what_is_no_count_says_so(kind: str, field: str) -> None:
    # 400 digits are the longest number that is read at all: what is longer makes the whole unreadable.
    for value in NO_COUNTS:
        text = compact(made(kind, {"input": 5, field: value}))
        told: dict[str, Any] = {"input": 5, "complete": True} | ({field: -1} if value is not None else {})
        assert every_way(text, kind, content_type=JSON).usage == ({} if value == 10**400 else told)
    largest = compact(made(kind, {field: 10**9}))
    assert every_way(largest, kind, content_type=JSON).usage == {field: 10**9, "complete": True}


TIERS_STATED: Final[list[tuple[object, bool]]] = [
    ("default", True),
    ("standard_only-2", True),
    ("x" * 32, True),
    ("x" * 33, False),
    ("x" * 257, False),
    ("x" * 10_240, False),
    ("x" * 100_000, False),
    ("Priority", False),
    ("flex ", False),
    (" flex", False),
    ("flex\n", False),
    ("flex\x00", False),
    ("a.b", False),
    ("a%b", False),
    ("prioritét", False),
    ("", False),
    (None, False),
    (True, False),
    (1, False),
    (["flex"], False),
    ({"service_tier": "flex"}, False),
]


@pytest.mark.parametrize("kind", TIERS)
def test_tiers(kind: str) -> None:
    for value, told in TIERS_STATED:
        text = compact(made(kind, {"input": 5, "tier": value}))
        expected = {"input": 5, "complete": True} | ({"tier": value} if told else {})
        assert every_way(text, kind, content_type=JSON).usage == expected


def test_a_tier_may_be_escaped_and_is_bounded_by_what_it_says() -> None:
    text = b'{"service_tier":"fl\\u0065x"}'
    assert every_way(text, "openai_chat", content_type=JSON).usage == {"tier": "flex", "complete": True}
    text = b'{"service_tier":"' + b"\\u0061" * 32 + b'"}'
    assert every_way(text, "openai_chat", content_type=JSON).usage == {"tier": "a" * 32, "complete": True}


LOOK_ALIKES: Final[list[dict[str, Any]]] = [
    {"choices": [{"message": {"content": '","service_tier":"flex","a":"', "service_tier": "flex"}}]},
    {"choices": [{"service_tier": "flex", "usage": {"prompt_tokens_details": {"audio_tokens": 1}}}]},
    {"content": [{"type": "text", "text": '","usage":{"service_tier":"batch"},"a":"', "usage": {"service_tier": "x"}}]},
    {"content": [{"server_tool_use": {"web_search_requests": 9}}], "server_tool_use": {"web_search_requests": 9}},
    {"output": [{"tool_usage": {"web_search": {"num_requests": 9}}}], "web_search": {"num_requests": 9}},
    {"usage": {"audio_tokens": 1, "web_search_requests": 1, "ephemeral_1h_input_tokens": 1, "num_requests": 1}},
    {"usage": {"prompt_tokens_details": [{"audio_tokens": 1}], "cache_creation": [{"ephemeral_1h_input_tokens": 1}]}},
    {"usage": {"cache_creation": {"cache_creation": {"ephemeral_1h_input_tokens": 1}}}},
    {"usage": {"server_tool_use": {"web_fetch_requests": 1, "x": {"web_search_requests": 1}}}},
    {"usage": {"output_tokens_details": {"x": {"audio_tokens": 1}}, "tool_usage": {"web_search": {"num_requests": 1}}}},
    {"tool_usage": {"image_gen": {"num_requests": 1}, "num_requests": 1, "usage": {"service_tier": "x"}}},
    {"usage": [{"service_tier": "x"}], "service_tiers": "x", "Service_tier": "x", "service_tier ": "x"},
    {"response": {"service_tier": "x"}, "message": {"service_tier": "x", "usage": {"service_tier": "x"}}},
    {"metadata": {"service_tier": "x", "usage": {"service_tier": "x"}}},
]


@pytest.mark.parametrize("kind", WHERE)
@pytest.mark.parametrize("body", LOOK_ALIKES, ids=range(len(LOOK_ALIKES)))
def test_look_alikes_elsewhere(kind: str, body: dict[str, Any]) -> None:
    assert every_way(compact(body), kind, content_type=JSON).usage == {"complete": True}


@pytest.mark.parametrize(
    ("kind", "body"),
    [("openai_chat", {"usage": {"service_tier": "flex"}}), ("anthropic_messages", {"service_tier": "flex"})],
)
def test_each_dialect_says_its_tier_in_its_own_place(kind: str, body: dict[str, Any]) -> None:
    assert every_way(compact(body), kind, content_type=JSON).usage == {"complete": True}
    assert every_way(event(body), kind).usage == {}


# Streams

ANTHROPIC: Final = [
    {
        "type": "message_start",
        "message": {
            "usage": {
                "input_tokens": 7,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
                "output_tokens": 1,
                "server_tool_use": {"web_search_requests": 0},
                "service_tier": "priority",
            }
        },
    },
    {"type": "content_block_start", "content_block": {"type": "server_tool_use", "usage": {"service_tier": "x"}}},
    {"type": "content_block_delta", "delta": {"text": "a", "usage": {"service_tier": "x"}}, "service_tier": "x"},
    {"type": "message_delta", "usage": {"output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}},
    {"type": "message_delta", "usage": {"output_tokens": 9, "server_tool_use": {"web_search_requests": 2}}},
    {"type": "message_stop"},
]


def test_anthropic_stream() -> None:
    assert every_way(b"".join(map(event, ANTHROPIC)), "anthropic_messages").usage == {
        "input": 7, "cache_write": 5, "cache_write_1h": 3, "output": 9, "tool_calls": 2, "tier": "priority", "chunks": 1,
        "complete": True,
    }  # fmt: skip


def test_anthropic_stream_that_breaks_off_keeps_what_its_start_told() -> None:
    body = b"".join(map(event, ANTHROPIC[:3]))
    assert every_way(body, "anthropic_messages").usage == {
        "input": 7, "cache_write": 5, "cache_write_1h": 3, "output": 1, "tier": "priority", "chunks": 1,
    }  # fmt: skip


def test_responses_stream() -> None:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"audio_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"audio_tokens": 4},
    }
    answer = {"service_tier": "flex", "usage": usage, "tool_usage": {"web_search": {"num_requests": 2}}}
    body = (
        event({"type": "response.created", "response": {"service_tier": "auto", "usage": None}})
        + event({"type": "response.output_text.delta", "delta": "a", "service_tier": "x", "usage": {"service_tier": "x"}})
        + event({"type": "response.completed", "response": answer})
    )
    assert every_way(body, "openai_responses").usage == {
        "input": 7, "audio_input": 2, "output": 5, "audio_output": 4, "tool_calls": 2, "tier": "flex", "chunks": 1,
        "complete": True,
    }  # fmt: skip


@pytest.mark.parametrize("hide", [False, True])
def test_chat_stream(hide: bool) -> None:
    usage = {
        "prompt_tokens": 7,
        "prompt_tokens_details": {"audio_tokens": 2},
        "completion_tokens_details": {"audio_tokens": 4},
        "server_tool_use": {"web_search_requests": 2},
    }
    contents = [event(delta(text, service_tier=tier)) for text, tier in (("a", None), ("b", "default"), ("c", "flex"))]
    last = event(extra(service_tier="flex") | {"usage": usage})
    result = every_way(b"".join(contents) + last + DONE, "openai_chat", hide=hide)
    assert result.usage == {
        "input": 7, "audio_input": 2, "audio_output": 4, "tool_calls": 2, "tier": "flex", "model": "m", "chunks": 3,
        "complete": True,
    }  # fmt: skip
    assert result.sent == b"".join(contents) + (b"" if hide else last) + DONE


def test_what_went_back_to_nothing_is_told() -> None:
    body = b"".join(event({"usage": {"server_tool_use": {"web_search_requests": n}}}) for n in (0, 3, 3, 0, 0))
    result = meter([body], "anthropic_messages")
    assert (result.usage, result.writes) == ({"tool_calls": 0}, 1)
    result = meter(body.splitlines(keepends=True), "anthropic_messages")
    assert (result.usage, result.writes) == ({"tool_calls": 0}, 2)


def test_a_tier_in_every_chunk_is_told_once() -> None:
    result = meter([event(delta("a", service_tier="default"))] * 50, "openai_chat")
    assert result.usage == {"tier": "default", "model": "m", "chunks": 50}
    assert result.writes == 50 + 2


def test_a_broken_event_tells_nothing_and_leaves_nothing_behind() -> None:
    broken = b'data: {"service_tier":"flex","usage":{"server_tool_use":{"web_search_requests":3}}\n\n'
    result = every_way(broken + event({"usage": {"prompt_tokens": 1}}), "openai_chat")
    assert result.usage == {"input": 1}


# Made up

HOSTILE: Final = (
    st.sampled_from([value for value in NO_COUNTS if value != 10**400])
    | st.integers(-3, 2**54)
    | st.integers(0, 99)
    | st.just(0)
)
TIER_TEXTS: Final = st.sampled_from(["default", "flex", "a" * 32, "a" * 33, "Flex", 'a"', "\\", "", "é", "a" * 300])


@cache
def answers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Answers with anything at the places that are read, and the like at places that are not."""

    @st.composite
    def answer(draw: st.DrawFn) -> dict[str, Any]:
        document: dict[str, Any] = {}
        noise = draw(st.sampled_from([{}, *LOOK_ALIKES]))
        if draw(st.booleans()):
            document["a"] = noise
        for field in draw(st.permutations(sorted(WHERE[kind]))):
            if draw(st.booleans()):
                put(document, WHERE[kind][field], draw(TIER_TEXTS | HOSTILE if field == "tier" else HOSTILE))
        if draw(st.booleans()):
            document["z"] = [noise, draw(TIER_TEXTS)]
        return document

    return answer()


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(WHERE)), sizes=st.lists(st.integers(1, 30), max_size=60))
def test_any_answer_cut_anywhere(data: st.DataObject, kind: str, sizes: list[int]) -> None:
    document = data.draw(answers(kind))
    text = json.dumps(document, indent=data.draw(st.sampled_from([None, 1]))).encode()
    result = meter(cuts(text, sizes), kind, content_type=JSON)
    assert (result.logged, result.sent) == ("", text)
    assert result.usage == stated(kind, [document]) | {"complete": True}


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(WHERE)), sizes=st.lists(st.integers(1, 90), max_size=80))
def test_any_stream_cut_anywhere(data: st.DataObject, kind: str, sizes: list[int]) -> None:
    """The last that was stated counts, whichever event stated it."""
    documents = data.draw(st.lists(answers(kind), max_size=5))
    wrap = {"openai_responses": "response", "anthropic_messages": "message"}.get(kind)
    body = b"".join(event({wrap: document} if wrap else document) for document in documents)
    pieces = cuts(body, sizes)
    result = meter(pieces, kind, hide=data.draw(st.booleans()))
    assert result.logged == ""
    assert result.usage == stated(kind, documents)

"""`envoy/usage.lua` on LuaJIT without Envoy: whole JSON, cut anywhere, and everything that could fool the scanner."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envoy.bodies import JSON, READ, USAGE, compact, cuts, every_way
from tests.envoy.lua_meter import meter


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (
            "openai_chat",
            {"model": "m", "choices": [{"message": {"content": "hi"}}], "usage": USAGE},
            READ | {"model": "m"},
        ),
        ("openai_completions", {"choices": [{"text": "hi"}], "usage": USAGE}, READ),
        (
            "openai_embeddings",
            {"data": [{"embedding": [0.25, -1e-9, 3]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}},
            {"input": 3, "total": 3},
        ),
        (
            "openai_responses",
            {
                "model": "m",
                "output": [{"usage": {"input_tokens": 9}}],
                "usage": {
                    "input_tokens": 7,
                    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                    "output_tokens": 5,
                    "output_tokens_details": {"reasoning_tokens": 2},
                    "total_tokens": 12,
                },
            },
            {"model": "m", "input": 7, "cached_input": 4, "cache_write": 1, "output": 5, "reasoning": 2, "total": 12},
        ),
        (
            "anthropic_messages",
            {
                "model": "m",
                "usage": {
                    "input_tokens": 7,
                    "cache_creation_input_tokens": 3,
                    "cache_read_input_tokens": 2,
                    "output_tokens": 5,
                    "output_tokens_details": {"thinking_tokens": 4},
                    "cache_creation": {"ephemeral_5m_input_tokens": 3},
                },
            },
            {"model": "m", "input": 7, "cache_write": 3, "cached_input": 2, "output": 5, "reasoning": 4},
        ),
        ("openai_chat", {"error": {"message": "no", "code": "x"}}, {}),
    ],
)
def test_reads_the_usage_of_whole_json(kind: str, body: dict[str, Any], expected: dict[str, Any]) -> None:
    for text in (compact(body), json.dumps(body, indent=2).encode()):
        result = every_way(text, kind, content_type=JSON)
        assert result.usage == expected | {"complete": True}
        assert result.sent == text


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": '"usage":{"prompt_tokens":1}'}}]},
        {"choices": [{"message": {"content": '\\"},"usage":{"prompt_tokens":1},"a":"'}}]},
        {"choices": [{"message": {"usage": {"prompt_tokens": 1}}}]},
        {"choices": [{"usage": {"prompt_tokens": 1}}], "x": {"usage": {"prompt_tokens": 1}}},
        {"usage": [{"prompt_tokens": 1}]},
        {"usage": [[{"prompt_tokens": 1}]]},
        {"usage": "prompt_tokens"},
        {"usage": {"prompt_tokens": None}},
        {"usage": None},
        {"usage ": {"prompt_tokens": 1}},
        {"Usage": {"prompt_tokens": 1}},
        {"response": {"usage": {"prompt_tokens": 1}}},
        [{"usage": {"prompt_tokens": 1}}],
        {"usage" + "e" * 5000: {"prompt_tokens": 1}},
        "usage",
        {},
        [],
    ],
)
def test_is_not_fooled(body: object) -> None:
    assert every_way(compact(body), "openai_chat", content_type=JSON).usage == {"complete": True}


@pytest.mark.parametrize(
    "count", ["1", "", [1], [], {"prompt_tokens": 1}, {}, -1, 1.5, 10**9 + 1, 1e30, True, False], ids=str
)
def test_what_is_no_count_says_so(count: object) -> None:
    body = {"usage": {"prompt_tokens": count, "completion_tokens": 5}}
    told = {"input": -1, "output": 5, "complete": True}
    assert every_way(compact(body), "openai_chat", content_type=JSON).usage == told


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"oops",
        b'{"usage":{"prompt_tokens":1}',
        b'{"usage":{"prompt_tokens":1}}}',
        b'{"usage":{"prompt_tokens":1}} {}',
        b'{"usage":{"prompt_tokens":1}],"a":[}',
        b'{"usage":{"prompt_tokens":1],"a":1}',
        b'{"usage":{"prompt_tokens":1},}',
        b'{"usage":{"prompt_tokens":1} "a":1}',
        b'{"usage" {"prompt_tokens":1}}',
        b'{"usage":{"prompt_tokens":1},"a":tru}',
        b'{"usage":{"prompt_tokens":1},"a":nan}',
        b'{"usage":{"prompt_tokens":1},"a":0x10}',
        b'{"usage":{"prompt_tokens":01}}',
        b'{"usage":{"prompt_tokens":1},"a":"unclosed}',
        b'{"usage":{"prompt_tokens":1},"a":' + b"9" * 500 + b"}",
        b"[" * 5000,
        b'{"usage":{"prompt_tokens":1},"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"{,}",
        b"{:}",
        b'{"a"}',
        b'{"a":}',
        b"[,]",
        b"]",
        b'"a" "b"',
        b"\x00\xff",
        b'data: {"usage":{"prompt_tokens":1}}\n\n',
    ],
)
def test_bad_json_gives_no_usage_and_no_error(text: bytes) -> None:
    result = every_way(text, "openai_chat", content_type=JSON)
    assert result.usage == {}
    assert result.sent == text


def test_escaped_names_are_the_same_names() -> None:
    text = b'{"us\\u0061ge":{"prompt\\u005Ftokens":3},"mod\\u0065l":"a\\/b\\n"}'
    assert every_way(text, "openai_chat", content_type=JSON).usage == {"input": 3, "model": "a/b\n", "complete": True}


def test_a_long_model_name_is_not_kept() -> None:
    body = {"model": "m" * 1000, "usage": {"prompt_tokens": 3}}
    assert every_way(compact(body), "openai_chat", content_type=JSON).usage == {"input": 3, "complete": True}


NAMES: Final = ["usage", "model", "prompt_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens", "a", 'q"\\']
TREES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=20,
)


def whole_oracle(value: object) -> dict[str, Any]:
    """What must be read from this document."""
    found: dict[str, Any] = {"complete": True}
    if not isinstance(value, dict):
        return found
    if isinstance(value.get("model"), str) and value["model"]:
        found["model"] = value["model"]
    usage = value.get("usage")
    if isinstance(usage, dict):
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        for name, number in (
            ("input", usage.get("prompt_tokens")),
            ("total", usage.get("total_tokens")),
            ("cached_input", cached),
        ):
            if number is not None:
                count = isinstance(number, int | float) and not isinstance(number, bool)
                found[name] = number if count and 0 <= number <= 10**9 and number == int(number) else -1
    return found


@settings(max_examples=300, deadline=None)
@given(
    tree=st.dictionaries(st.sampled_from(NAMES), TREES) | st.lists(TREES),
    usage=st.dictionaries(st.sampled_from(NAMES), TREES),
    indent=st.sampled_from([None, 1]),
    sizes=st.lists(st.integers(1, 20), max_size=60),
    lost=st.integers(1, 30),
)
def test_agrees_with_a_json_parser(tree: Any, usage: Any, indent: int | None, sizes: list[int], lost: int) -> None:
    if isinstance(tree, dict):
        tree["usage"] = usage
        model = tree.get("model")
        if isinstance(model, str) and not model.isascii():
            del tree["model"]  # only ASCII is unescaped
    text = json.dumps(tree, indent=indent).encode()
    result = meter(cuts(text, sizes), content_type=JSON)
    assert (result.logged, result.sent) == ("", text)
    assert result.usage == whole_oracle(tree)
    if len(text) > lost:
        assert meter(cuts(text[:-lost], sizes), content_type=JSON).usage == {}


@settings(max_examples=200, deadline=None)
@given(text=st.binary(max_size=60) | st.text('{}[]":,\\u0x1etrufalsn \n', max_size=60).map(str.encode), sse=st.booleans())
def test_takes_anything(text: bytes, sse: bool) -> None:
    result = every_way(text, "openai_chat", content_type="text/event-stream" if sse else JSON)
    assert result.sent == text


def test_ten_megabytes_of_content() -> None:
    text = compact({"choices": [{"message": {"content": 'say "\\" ' * 1_300_000}}], "usage": USAGE})
    assert len(text) > 10 * 2**20
    result = meter(cuts(text, [16_384] * (len(text) // 16_384)), content_type=JSON)
    assert result.usage == READ | {"complete": True}
    assert result.writes == len(result.usage)

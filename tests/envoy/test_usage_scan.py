"""`envoy/usage.lua` on LuaJIT without Envoy: every way to cut the bytes, and everything that could fool it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envoy.lua_meter import SOURCE, Metered, meter

JSON: Final = "application/json"
USAGE: Final = {
    "prompt_tokens": 70,
    "completion_tokens": 50,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
READ: Final = {"input": 70, "output": 50, "total": 120, "cached_input": 64, "cache_write": 2, "reasoning": 8}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    return b"data: " + compact(value) + b"\n\n"


def delta(content: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": content}}], **more}


def extra(**more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [], "usage": USAGE, **more}


DONE: Final = b"data: [DONE]\n\n"


def cuts(body: bytes, sizes: Iterable[int]) -> list[bytes]:
    """The body in pieces of these sizes; the rest in one."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    return [*[piece for piece in pieces if piece], body[at:]]


def every_way(body: bytes, kind: str, *, hide: bool = False, content_type: str = "text/event-stream") -> Metered:
    """Send the body whole, byte by byte, in small pieces and with an empty end. All must agree."""
    ways = [[body], [body[i : i + 1] for i in range(len(body))], cuts(body, [7] * (len(body) // 7)), [body, b""]]
    results = [meter(way, kind, hide=hide, content_type=content_type) for way in ways]
    for result in results:
        assert result.logged == ""
        assert (result.sent, result.usage) == (results[0].sent, results[0].usage)
    return results[0]


# Whole JSON


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
        {"usage": {"prompt_tokens": "1"}},
        {"usage": {"prompt_tokens": [1]}},
        {"usage": {"prompt_tokens": {"prompt_tokens": 1}}},
        {"usage": {"prompt_tokens": -1}},
        {"usage": {"prompt_tokens": 1.5}},
        {"usage": {"prompt_tokens": 1e30}},
        {"usage": {"prompt_tokens": True}},
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
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if 0 <= number < 2**53 and number == int(number):
                found[name] = number
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


# Streams


def chat_stream(*, usage: bool) -> bytes:
    """A stream as the provider sends it, with or without `include_usage`."""
    null = {"usage": None} if usage else {}
    events = [
        {"id": "c", "model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}], **null},
        delta('"usage":null}', **null),
        {"id": "c", **null, "choices": [{"delta": {"content": "b"}}], "obfuscation": "xx"},
        {**null, "choices": [{"delta": {"content": "{}"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "x": [{"usage": None}], **null},
        *([extra()] if usage else []),
    ]
    return b"".join(map(event, events)) + DONE


def test_chat_stream_untouched_for_who_asked() -> None:
    body = chat_stream(usage=True)
    result = every_way(body, "openai_chat")
    assert result.usage == READ | {"model": "m", "chunks": 3, "complete": True}
    assert result.sent == body
    assert result.removed == ""


def test_chat_stream_as_it_would_have_been() -> None:
    result = every_way(chat_stream(usage=True), "openai_chat", hide=True)
    assert result.usage == READ | {"model": "m", "chunks": 3, "complete": True}
    assert result.sent == chat_stream(usage=False)
    assert result.removed == "content-length"


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("space", [b" ", b"", b"  "])
def test_line_ends_spaces_and_byte_order_mark(newline: bytes, start: bytes, space: bytes) -> None:
    def dressed(body: bytes) -> bytes:
        return start + body.replace(b"data: ", b"data:" + space).replace(b"\n", newline)

    result = every_way(dressed(chat_stream(usage=True)), "openai_chat", hide=True)
    assert result.usage == READ | {"model": "m", "chunks": 3, "complete": True}
    assert result.sent == dressed(chat_stream(usage=False))


USAGE_LINE: Final = b"data: " + compact(extra()) + b"\n"
CRLF_LINE: Final = USAGE_LINE.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Exactly the usage chunk goes.
        (USAGE_LINE + b"\n", b""),
        (USAGE_LINE + b"\n\n\n", b"\n\n"),
        (event(delta("a")) + USAGE_LINE + b"\n" + DONE, event(delta("a")) + DONE),
        (event(extra(service_tier="default", obfuscation="x")), b""),
        # Without its empty line it is no event, and nobody would see it.
        (USAGE_LINE, b""),
        # What else stood in the event stays.
        (b": ping\n" + USAGE_LINE + b"\n", b": ping\n\n"),
        (b"id: 1\n" + USAGE_LINE + b"id: 2\n\n", b"id: 1\n" + USAGE_LINE + b"id: 2\n\n"),
        (USAGE_LINE + b"data: more\n\n", USAGE_LINE + b"data: more\n\n"),
        (b"data: more\n" + USAGE_LINE + b"\n", b"data: more\n" + USAGE_LINE + b"\n"),
        (CRLF_LINE + b"\r\n\r\n", b"\r\n"),
        (CRLF_LINE + b"id: 2\r\n\r\n", CRLF_LINE + b"id: 2\r\n\r\n"),
        # Members go with one comma.
        (b'data: {"usage":null}\n\n', b"data: {}\n\n"),
        (b'data: {"usage":null,"a":1}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"usage" : null , "a":1}\n\n', b'data: {"a":1}\n\n'),
        (b'data: {"a": 1, "usage": null, "b": 2}\n\n', b'data: {"a": 1, "b": 2}\n\n'),
        (b'data: {"a": 1, "usage": null}\n\n', b'data: {"a": 1}\n\n'),
        (b'data: { "usage": null, "a": 1 }\n\n', b'data: { "a": 1 }\n\n'),
        # An unfinished line at the end is let go.
        (b'data: {"a":1,"usage":null', b'data: {"a":1,"usage":null'),
        (b'data: {"a":1,"usage":null}', b'data: {"a":1}'),
        (b"data: [DO", b"data: [DO"),
        (b"dat", b"dat"),
    ],
)
def test_hides_nothing_else(body: bytes, expected: bytes) -> None:
    assert_sent(body, expected)


@pytest.mark.parametrize(
    "body",
    [
        event(delta("a", usage=USAGE)),
        event({"choices": [], "usage": None, "x": 1}).replace(b',"usage":null', b""),
        event({"choices": [], "prompt_filter_results": []}),
        event({"usage": USAGE}),
        event({"choices": {}, "usage": USAGE}),
        event({"choices": [], "usage": []}),
        event({"choices": [], "usage": "x"}),
        event({"x": {"choices": [], "usage": USAGE}}),
        event([extra()]),
        b"\xef\xbb\xbf" + event(extra()),
        event({"choices": [{"delta": {"content": '"usage":null,'}}], "x": {"usage": None}}),
        b'data: {"choices":[{}],"choices":[],"usage":{}}\n\n',
        b'data: {"choices":[],"usage":{},"usage":null}\n\n',
        b'data: {"usage":null,"usage":null}\n\n',
        b'data: {"choices":[],"usage":{}} x\n\n',
        b'data: {"choices":[],"usage":{}\n\n',
        b'data: {"a":1,"usage":null,}\n\n',
        b'data: {"a":1,"usage":nul}\n\n',
        b'data: {"a":1,\ndata: "usage":null}\n\n',
        b'event: x\nid: 3\nretry: 5\n: comment\ndata\ndatabase: {"usage":null}\n\n',
        b'xdata: {"a":1,"usage":null}\n\n',
        b' data: {"a":1,"usage":null}\n\n',
        b'DATA: {"a":1,"usage":null}\n\n',
        b"\n\n\r\n\r\r\n",
        DONE + b'event: error\ndata: {"error":{"message":"x"}}\n\n',
    ],
)
def test_alters_nothing_that_is_not_exactly_that(body: bytes) -> None:
    assert_sent(body, body)


def assert_sent(body: bytes, expected: bytes) -> None:
    """What leaves, when the last piece is empty, as Envoy's HTTP/1 codec makes it."""
    for size in (1, 2, 3, 7, 4096):
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        result = meter([*pieces, b""], hide=True)
        assert result.logged == ""
        assert result.sent == expected


@pytest.mark.parametrize("kind", ["openai_embeddings", "openai_responses", "anthropic_messages"])
def test_hides_only_where_the_gateway_asks_for_usage(kind: str) -> None:
    body = chat_stream(usage=True)
    assert meter([body], kind, hide=True).sent == body


def test_holds_back_nothing_but_data_lines() -> None:
    pieces = [b": pi", b"ng\nevent: x\nda", b"ta: ", b'{"a":1', b"}", b"\n", b"\ndata: [", b"D", b"ONE]\n\n"]
    result = meter(pieces, hide=True)
    assert result.pieces == [
        b": pi",
        b"ng\nevent: x\n",
        b"",
        b"",
        b'data: {"a":1}',
        b"\n",
        b"\n",
        b"data: [D",
        b"ONE]\n\n",
    ]


def test_a_line_over_the_limit_passes() -> None:
    long = b'data: {"choices":[{"delta":{"content":"' + b"x" * 70_000 + b'"}}],"usage":null}\n\n'
    pieces = cuts(long + USAGE_LINE + b"\n", [1000] * 66)
    result = meter(pieces, hide=True)
    assert result.sent == long
    assert result.pieces[:66] == [b""] * 65 + [long[:66_000]]
    assert result.usage["chunks"] == 1
    assert result.usage["total"] == 120


CONTENT: Final = [
    ("openai_chat", {"choices": [{"delta": {"content": "a"}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"content": '"'}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"content": ""}}]}, 0),
    ("openai_chat", {"choices": [{"delta": {"content": None}}]}, 0),
    ("openai_chat", {"choices": [{"delta": {"role": "assistant"}}]}, 0),
    ("openai_chat", {"choices": [{"delta": {}, "finish_reason": "stop"}]}, 0),
    ("openai_chat", {"choices": [{"delta": {"reasoning_content": "a"}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"refusal": "a"}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{"}}]}}]}, 1),
    (
        "openai_chat",
        {"choices": [{"delta": {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": ""}}]}}]},
        0,
    ),
    ("openai_chat", {"choices": [{"delta": {"function_call": {"arguments": "{"}}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]}, 1),
    ("openai_chat", {"choices": [{"delta": {}}, {"delta": {"content": "b"}}]}, 1),
    ("openai_chat", {"choices": [], "x": {"delta": {"content": "a"}}}, 0),
    ("openai_chat", {"delta": {"content": "a"}}, 0),
    ("openai_completions", {"choices": [{"text": "a"}]}, 1),
    ("openai_completions", {"choices": [{"text": ""}]}, 0),
    ("openai_responses", {"type": "response.output_text.delta", "delta": "a"}, 1),
    ("openai_responses", {"delta": "a", "type": "response.function_call_arguments.delta"}, 1),
    ("openai_responses", {"type": "response.output_text.delta", "delta": ""}, 0),
    ("openai_responses", {"type": "response.output_text.done", "delta": "a"}, 0),
    ("openai_responses", {"type": "response.output_text.done", "text": "a"}, 0),
    ("openai_responses", {"delta": "a"}, 0),
    ("anthropic_messages", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, 1),
    ("anthropic_messages", {"type": "content_block_delta", "delta": {"partial_json": "{"}}, 1),
    ("anthropic_messages", {"type": "content_block_delta", "delta": {"partial_json": ""}}, 0),
    ("anthropic_messages", {"type": "content_block_delta", "delta": {"thinking": "a"}}, 1),
    ("anthropic_messages", {"type": "content_block_delta", "delta": {"signature": "a"}}, 0),
    ("anthropic_messages", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, 0),
]


@pytest.mark.parametrize(("kind", "value", "count"), CONTENT)
def test_counts_events_with_content(kind: str, value: object, count: int) -> None:
    assert every_way(event(value), kind).usage.get("chunks", 0) == count
    assert every_way(event(value) * 2, kind).usage.get("chunks", 0) == 2 * count


def test_nothing_is_carried_from_event_to_event() -> None:
    body = event({"type": "response.output_text.delta", "delta": "a"}) + event({"delta": "b"})
    assert every_way(body, "openai_responses").usage == {"chunks": 1}


def test_chunks_are_told_as_they_go_by() -> None:
    result = meter([event(delta("a"))] * 5, "openai_chat")
    assert result.writes == 5 + 1  # and the model, once
    assert result.usage == {"chunks": 5, "model": "m"}


@pytest.mark.parametrize("ending", ["completed", "incomplete", "failed"])
def test_responses_stream(ending: str) -> None:
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    body = (
        b"event: response.created\n"
        + event({"type": "response.created", "response": {"model": "m", "usage": None}})
        + event({"type": "response.output_text.delta", "delta": "a"})
        + event({"type": "response.output_text.done", "usage": {"input_tokens": 1}, "text": "a"})
        + event({"type": f"response.{ending}", "response": {"model": "m", "usage": usage}})
    )
    expected = {"model": "m", "input": 7, "output": 5, "total": 12, "chunks": 1, "complete": True}
    assert every_way(body, "openai_responses").usage == expected


def test_anthropic_stream_merges_and_keeps_the_last() -> None:
    start = {"input_tokens": 7, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    body = (
        event({"type": "message_start", "message": {"model": "m", "usage": start}})
        + event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}})
        + event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5, "input_tokens": None}})
        + event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}})
    )
    expected = {"model": "m", "input": 7, "cache_write": 3, "cached_input": 2, "output": 9, "chunks": 1}
    assert every_way(body, "anthropic_messages").usage == expected
    body += event({"type": "message_stop"})
    assert every_way(body, "anthropic_messages").usage == expected | {"complete": True}


@pytest.mark.parametrize(
    ("body", "complete"),
    [
        (DONE, True),
        (b"data:[DONE]\n\n", True),
        (b"data: [DONE]", True),
        (b"data: [DONE]\r\r", True),
        (b"data: [DONE", False),
        (b"data: [DONE] x\n\n", False),
        (b"data: a\ndata: [DONE]\n\n", False),
        (b"data: [DONE]\ndata: a\n\n", False),
        (b": [DONE]\n\n", False),
        (event({"choices": [{"delta": {"content": "[DONE]"}}]}), False),
        (event({"type": "message_stop"}), False),
    ],
)
def test_the_terminator(body: bytes, complete: bool) -> None:
    assert ("complete" in every_way(body, "openai_chat").usage) is complete


def test_usage_in_several_data_lines() -> None:
    body = b"data: " + json.dumps(extra(), indent=1).replace("\n", "\ndata: ").encode() + b"\n\n"
    result = every_way(body, "openai_chat", hide=True)
    assert result.usage == READ | {"model": "m"}
    assert result.sent == body


def test_an_event_that_is_cut_in_its_empty_line_still_counts() -> None:
    assert every_way(USAGE_LINE, "openai_chat").usage == READ | {"model": "m"}


@pytest.mark.parametrize(
    ("kind", "headers", "usage"),
    [
        (None, {}, {}),
        ("something_else", {}, {}),
        ("openai_chat", {"content-encoding": "gzip"}, {"encoded": True}),
        ("openai_chat", {"content-encoding": "identity"}, READ | {"model": "m", "complete": True, "chunks": 3}),
        (
            "openai_chat",
            {"content-type": "Text/Event-Stream; charset=utf-8"},
            READ | {"model": "m", "complete": True, "chunks": 3},
        ),
        ("openai_chat", {"content-type": "application/json"}, {}),
    ],
)
def test_when_to_read(kind: str | None, headers: dict[str, str], usage: dict[str, Any]) -> None:
    fields = {"content-type": "text/event-stream"} | headers
    body = chat_stream(usage=True)
    result = meter([body], kind, content_type=None, headers=fields)
    assert (result.usage, result.sent) == (usage, body)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/problem+json"])
def test_whatever_is_no_stream_is_tried_as_json(content_type: str | None) -> None:
    result = meter([compact({"usage": USAGE})], content_type=content_type)
    assert result.usage == READ | {"complete": True}


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_a_fault_of_ours_costs_the_client_no_byte(size: int) -> None:
    """The script is given a fault that strikes in the third event."""
    place = b"local function learn(meter, doc)\n"
    source = SOURCE.read_bytes()
    assert place in source
    fault = b'meter.seen = (meter.seen or 0) + 1 if meter.seen == 3 then error("a fault") end\n'
    body = chat_stream(usage=True)
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    result = meter([*pieces, b""], hide=True, source=source.replace(place, place + fault))
    assert "a fault" in result.logged
    null = b',"usage":null'
    third = body.index(b'"finish_reason"')
    assert result.sent.endswith(body[third:])
    assert result.sent.replace(null, b"") == body.replace(null, b"")


# Streams, made up

STRINGS: Final = st.sampled_from(["a", "", '"usage":null', '\\"', "\\", "\n\n", "data: [DONE]", "é€😀", "{", "usage"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes, int]:
    """A stream with `include_usage`, the same without, and how many of its events hold content."""
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    ascii_only = draw(st.booleans())
    place = draw(st.integers(0, 2))
    count = 0

    def line(value: object) -> bytes:
        text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
        return b"data: " + text.encode() + newline * 2

    with_usage, without = [], []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            comment = b": " + draw(STRINGS).replace("\n", "").encode() + newline + draw(st.sampled_from([b"", newline]))
            with_usage.append(comment)
            without.append(comment)
        content = draw(STRINGS)
        members = [("id", draw(STRINGS)), ("choices", [{"delta": {"content": content}, "usage": None}])]
        count += content != ""
        without.append(line(dict(members)))
        with_usage.append(line(dict([*members[:place], ("usage", None), *members[place:]])))
    with_usage.append(line(extra()))
    done = b"data: [DONE]" + newline * 2
    return b"".join([*with_usage, done]), b"".join([*without, done]), count


@settings(max_examples=300, deadline=None)
@given(stream=streams(), sizes=st.lists(st.integers(1, 90), max_size=80), ended=st.booleans())
def test_any_stream_cut_anywhere(stream: tuple[bytes, bytes, int], sizes: list[int], ended: bool) -> None:
    body, without, count = stream
    pieces = cuts(body, sizes) + ([b""] if ended else [])
    expected = READ | {"model": "m", "complete": True} | ({"chunks": count} if count else {})
    shown, hidden = meter(pieces), meter(pieces, hide=True)
    assert (shown.logged, hidden.logged) == ("", "")
    assert (shown.usage, hidden.usage) == (expected, expected)
    assert shown.sent == body
    assert hidden.sent == without

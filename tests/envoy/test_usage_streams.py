"""`envoy/usage.lua` on LuaJIT without Envoy: streams, cut anywhere, and what may be taken out of them."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envoy.bodies import DONE, READ, USAGE, compact, cuts, delta, event, every_way, extra
from tests.envoy.lua_meter import SOURCE, meter


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

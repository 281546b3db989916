"""What of a body counts: every text that a model may read, and what costs tokens without being text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Operation
from policies.limits.tokens.images import REFERENCED_FILE, UNSEEN_SOUND
from policies.limits.tokens.models import Vocabulary
from policies.limits.tokens.prompt import read_prompt
from tests.policies.limits.tokens.test_compact import JSON, deep, strings

CHAT, COMPLETIONS, RESPONSES = Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES
EMBEDDINGS, MESSAGES, COUNT = Operation.EMBEDDINGS, Operation.MESSAGES, Operation.COUNT_TOKENS
URL = "https://example.com/a.png"
IMAGE, PDF = 1_445, 4_800
"""An image of gpt-4o; the page that any file is charged with."""


def chat(*messages: Any, **members: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": list(messages), **members}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def items(*inputs: Any, **members: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "input": list(inputs), **members}


ROWS: list[tuple[Operation, dict[str, Any], list[str], int]] = [
    # Chat: 5 for a message, 3 for the answer.
    (CHAT, {}, [], 3),
    (CHAT, chat(), [], 3),
    (CHAT, chat({"role": "user", "content": "hi"}), ["hi"], 8),
    (CHAT, chat({"role": "user", "content": "hi", "name": "ann"}), ["hi", "ann"], 8),
    (CHAT, chat({"role": "user", "content": "a"}, {"role": "assistant", "content": None}), ["a"], 13),
    (CHAT, chat({"role": "tool", "tool_call_id": "call_1", "content": "4"}), ["call_1", "4"], 8),
    (CHAT, chat(user({"type": "text", "text": "hi"}, {"type": "refusal", "refusal": "no"})), ["hi", "no"], 8),
    (CHAT, chat({"content": "hi", "tool_calls": [{"id": "1"}]}), ["hi", '[{"id":"1"}]'], 8),
    (CHAT, chat({"content": "", "function_call": {"name": "f"}}), ["", '{"name":"f"}'], 8),
    (CHAT, chat(user({"type": "image_url", "image_url": {"url": URL, "detail": "low"}})), [], 8 + 85),
    (CHAT, chat(user({"type": "image_url", "image_url": {"url": URL}})), [], 8 + IMAGE),
    (CHAT, chat(user({"type": "image_url"})), [], 8 + IMAGE),
    (CHAT, chat(user({"type": "input_audio", "input_audio": {"data": "A" * 1_280}})), [], 8 + 11),
    (CHAT, chat(user({"type": "input_audio"})), [], 8 + UNSEEN_SOUND),
    (CHAT, chat(user({"type": "file", "file": {"file_data": "A" * 20, "filename": "n"}})), ["n"], 8 + PDF + 10),
    (CHAT, chat(user({"type": "file", "file": {"file_id": "f"}})), [], 8 + REFERENCED_FILE),
    (CHAT, chat(tools=[{"type": "function"}]), ['[{"type":"function"}]'], 3 + 12),
    (CHAT, chat(functions=[{"name": "f"}, {"name": "g"}]), ['[{"name":"f"},{"name":"g"}]'], 3 + 24),
    (CHAT, chat(response_format={"type": "json_schema"}), ['{"type":"json_schema"}'], 3),
    (CHAT, chat(prediction={"content": "x"}), ['{"content":"x"}'], 3),
    # Shapes that nobody knows are counted as their JSON.
    (CHAT, {"messages": "hi"}, ["hi"], 3),
    (CHAT, {"messages": {"a": 1}}, ['{"a":1}'], 3),
    (CHAT, chat("hi", 7, None), ["hi", "7"], 18),
    (CHAT, chat(user("hi", 7)), ["hi", "7"], 8),
    (CHAT, chat(user({"type": "video", "url": "x"})), ['{"type":"video","url":"x"}'], 8),
    (CHAT, chat(user({"type": "text", "content": "x"})), ['{"type":"text","content":"x"}'], 8),
    (CHAT, chat(user({"type": ["text"]})), ['{"type":["text"]}'], 8),
    (CHAT, chat({"content": {"x": "y"}}), ['{"x":"y"}'], 8),
    (CHAT, chat({"role": ["user"], "content": "hi"}), ['["user"]', "hi"], 8),
    (CHAT, chat({"role": "r" * 129}), ["r" * 129], 8),
    (CHAT, chat({"thoughts": "x"}), ["x"], 8),
    (CHAT, chat(tools="x"), ["x"], 3 + 12),
    # Completions and embeddings: texts, tokens, arrays of either.
    (COMPLETIONS, {"prompt": "hi", "suffix": "end"}, ["hi", "end"], 0),
    (COMPLETIONS, {"prompt": ["a", "b"]}, ["a", "b"], 0),
    (COMPLETIONS, {"prompt": [1, 2, 3]}, [], 3),
    (COMPLETIONS, {"prompt": [[1, 2], [3]]}, [], 3),
    (COMPLETIONS, {"prompt": [1, "a", [2], None, 2.5]}, ["a", "2.5"], 2),
    (COMPLETIONS, {"prompt": {"a": 1}}, ['{"a":1}'], 0),
    (EMBEDDINGS, {"input": "hi"}, ["hi"], 0),
    (EMBEDDINGS, {"input": ["a", ""]}, ["a"], 0),
    (EMBEDDINGS, {"input": [[5] * 10, [6]]}, [], 11),
    (EMBEDDINGS, {"input": []}, [], 0),
    (EMBEDDINGS, {"input": [[[[1]]]]}, ["[1]"], 0),
    # Responses: a message more for the instructions.
    (RESPONSES, {"input": "hi", "instructions": "be"}, ["hi", "be"], 8),
    (RESPONSES, items({"role": "user", "content": "hi"}), ["hi"], 13),
    (RESPONSES, items({"type": "message", "content": [{"type": "input_text", "text": "x"}]}), ["x"], 13),
    (RESPONSES, items({"type": "message", "content": [{"type": "output_text", "text": "x"}]}), ["x"], 13),
    (RESPONSES, items(user({"type": "input_image", "image_url": URL, "detail": "low"})), [], 13 + 85),
    (RESPONSES, items(user({"type": "input_image", "file_id": "f"})), [], 13 + IMAGE),
    (RESPONSES, items(user({"type": "input_file", "file_data": "A" * 20, "filename": "n"})), ["n"], 13 + PDF + 10),
    (RESPONSES, items(user({"type": "input_file", "file_url": URL})), [], 13 + REFERENCED_FILE),
    (RESPONSES, items({"type": "function_call", "name": "f", "arguments": "{}"}), ["f", "{}"], 13),
    (RESPONSES, items({"type": "function_call_output", "call_id": "c", "output": "4"}), ["c", "4"], 13),
    (RESPONSES, items({"type": "x", "output": {"type": "computer_screenshot", "image_url": URL}}), [], 13 + IMAGE),
    (RESPONSES, items({"type": "image_generation_call", "id": "i", "result": "AAAA"}), [], 13 + IMAGE),
    (RESPONSES, items({"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]}), ["s"], 13),
    (RESPONSES, items({"type": "reasoning", "encrypted_content": "AAAA"}), ["AAAA"], 13),
    (RESPONSES, items({"type": "input_image", "image_url": URL}), [], 13 + IMAGE),
    (RESPONSES, items(text={"format": {"type": "json_schema"}}), ['{"format":{"type":"json_schema"}}'], 8),
    (RESPONSES, items(tools=[{"type": "web_search"}]), ['[{"type":"web_search"}]'], 8 + 12 + 1_500),
    # Anthropic: 810 for the system prompt that tools bring.
    (MESSAGES, {"system": "s", "messages": [{"role": "user", "content": "hi"}]}, ["s", "hi"], 13),
    (MESSAGES, {"system": [{"type": "text", "text": "s"}]}, ["s"], 8),
    (MESSAGES, {"messages": [user({"type": "image", "source": {"type": "url"}})]}, [], 13 + 6_150),
    (MESSAGES, {"model": "claude-x", "messages": [user({"type": "image"})]}, [], 13 + 4_800),
    (MESSAGES, {"messages": [user({"type": "tool_result", "tool_use_id": "t", "content": "4"})]}, ["t", "4"], 25),
    (MESSAGES, {"messages": [user({"type": "tool_use", "input": {}})]}, ['{"type":"tool_use","input":{}}'], 13),
    (MESSAGES, {"messages": [user({"type": "document", "source": {"type": "text", "data": "d"}})]}, ["d"], 13),
    (
        MESSAGES,
        {"messages": [user({"type": "document", "title": "t", "context": "c"})]},
        ["t", "c"],
        13 + REFERENCED_FILE,
    ),
    (MESSAGES, {"messages": [user({"type": "document", "source": {"data": "A" * 20}})]}, [], 13 + PDF + 10),
    (MESSAGES, {"messages": [user({"type": "document", "source": {"type": "content", "content": "d"}})]}, ["d"], 13),
    (MESSAGES, {"tools": [{"name": "f"}]}, ['[{"name":"f"}]'], 8 + 810 + 12),
    (MESSAGES, {"tools": [{"type": "custom"}]}, ['[{"type":"custom"}]'], 8 + 810 + 12),
    (MESSAGES, {"tools": [{"type": "bash_20250124"}]}, ['[{"type":"bash_20250124"}]'], 8 + 810 + 1_512),
    (MESSAGES, {"output_config": {"format": {}}}, ['{"format":{}}'], 8),
    (COUNT, {"messages": [{"role": "user", "content": "hi"}]}, ["hi"], 13),
    (Operation.MODELS, {"messages": "hi"}, [], 0),
    (Operation.OPAQUE, {"input": "hi"}, [], 0),
]


@pytest.mark.parametrize(("operation", "members", "texts", "tokens"), ROWS)
def test_what_is_read(operation: Operation, members: dict[str, Any], texts: list[str], tokens: int) -> None:
    prompt = read_prompt(
        operation, members, Vocabulary.ANTHROPIC if members.get("model") == "claude-x" else Vocabulary.O200K
    )
    assert (prompt.texts, prompt.tokens) == (texts, tokens)


@pytest.mark.parametrize(
    ("operation", "members", "visible"),
    [
        (CHAT, chat(user("hi"), tools=[{"type": "function"}, {"type": "custom"}]), True),
        (CHAT, chat(web_search_options={"a": 1}), False),
        (CHAT, chat(data_sources=[{}]), False),
        (CHAT, chat({"role": "assistant", "audio": {"id": "a"}}), False),
        (CHAT, chat({"role": "assistant", "audio": None}), True),
        (CHAT, chat(previous_response_id="r"), True),
        (RESPONSES, items("hi", previous_response_id=None, conversation=None), True),
        (RESPONSES, items("hi", previous_response_id="r"), False),
        (RESPONSES, items("hi", conversation={"id": "c"}), False),
        (RESPONSES, items("hi", prompt={"id": "p"}), False),
        (RESPONSES, items({"type": "item_reference", "id": "i"}), False),
        *((RESPONSES, items(tools=[{"type": kind}]), False) for kind in ("web_search", "file_search", "mcp")),
        (RESPONSES, items(tools=[{"type": "function"}, {"type": "custom"}]), True),
        (MESSAGES, {"tools": [{"type": "bash_20250124"}, {"type": "custom"}, {"name": "f"}]}, True),
        (MESSAGES, {"tools": [{"type": "web_search_20250305"}]}, False),
        (MESSAGES, {"mcp_servers": [{"url": URL}]}, False),
        (MESSAGES, {"container": {"skills": []}}, False),
        (MESSAGES, {"messages": []}, True),
    ],
)
def test_what_the_provider_adds_is_said(operation: Operation, members: dict[str, Any], visible: bool) -> None:
    assert read_prompt(operation, members).visible is visible


def test_the_models_own_name_says_what_images_cost() -> None:
    members = {**chat(user({"type": "image_url", "image_url": {"url": URL}})), "model": "assistant"}
    assert read_prompt(CHAT, members, Vocabulary.O200K, "gpt-4o").tokens == 8 + IMAGE
    assert read_prompt(CHAT, members, Vocabulary.O200K).tokens == 8 + 6_150


def test_of_too_many_images_the_most_is_taken() -> None:
    picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    members = chat(user(*[{"type": "image_url", "image_url": {"url": picture}}] * 502))
    assert read_prompt(CHAT, members, Vocabulary.O200K).tokens == 8 + 500 * 255 + 2 * IMAGE


OPERATIONS = st.sampled_from(tuple(Operation))
NAMES = (
    *(
        "model",
        "messages",
        "input",
        "prompt",
        "suffix",
        "system",
        "instructions",
        "tools",
        "functions",
        "text",
        "content",
    ),
    *("type", "role", "source", "image_url", "input_audio", "file", "file_data", "output", "summary", "mcp_servers"),
)
KINDS = ("text", "input_text", "image_url", "input_image", "image", "document", "tool_result", "file", "content", "x")
HOSTILE = st.recursive(
    JSON | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=25,
)


@given(OPERATIONS, st.dictionaries(st.sampled_from(NAMES), HOSTILE))
def test_no_body_raises(operation: Operation, members: dict[str, Any]) -> None:
    prompt = read_prompt(operation, members)
    assert prompt.tokens >= 0
    assert all(isinstance(text, str) for text in prompt.texts)


@given(st.sampled_from(((CHAT, "messages"), (RESPONSES, "input"), (MESSAGES, "system"), (EMBEDDINGS, "input"))), JSON)
def test_no_text_of_unknown_shape_is_free(where: tuple[Operation, str], value: object) -> None:
    operation, name = where
    prompt = read_prompt(operation, {name: [{"type": "unheard_of", "content": value, "other": value}]})
    # In JSON a text has at least its own length.
    assert sum(map(len, prompt.texts)) >= sum(map(len, strings(value)))


def nested(kind: str, name: str, levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [{"type": kind, name: value}]
    return value


@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, MESSAGES])
@pytest.mark.parametrize(
    "value", [deep(100_000), nested("tool_result", "content", 5_000), nested("tool_result", "content", 20)]
)
def test_depth_is_no_way_out(operation: Operation, value: object) -> None:
    names = ("messages", "input", "prompt", "system", "tools", "instructions")
    prompt = read_prompt(operation, dict.fromkeys(names, value))
    assert any("bottom" in text for text in prompt.texts)

"""Bodies become calls: types are checked where a decision stands on them, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import OUTPUT_FIELDS, Call, Endpoint, Operation, output_field
from extproc.calls import read_call, without_payload
from extproc.catalogue import Model
from extproc.exchange import Dialect
from extproc.payload import PayloadError
from tests.extproc.world import endpoint, request

CHAT = endpoint("/v1/chat/completions")
TEXT = endpoint("/v1/completions")
RESPONSES = endpoint("/v1/responses")
EMBEDDINGS = endpoint("/v1/embeddings")
MESSAGES = endpoint("/v1/messages")
COUNT = endpoint("/v1/messages/count_tokens")
AZURE = endpoint("/openai/deployments/prod/chat/completions?api-version=2024-10-21")
LEAST: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: {"model": "m", "messages": []},
    Operation.COMPLETIONS: {"model": "m"},
    Operation.RESPONSES: {"model": "m"},
    Operation.EMBEDDINGS: {"model": "m", "input": "x"},
    Operation.MESSAGES: {"model": "m", "messages": []},
    Operation.COUNT_TOKENS: {"model": "m", "messages": []},
}
ALL = [CHAT, TEXT, RESPONSES, EMBEDDINGS, MESSAGES, COUNT]
ABSENT = object()
ODD_TYPES: list[Any] = ["", 1, True, [], "a b", "a\n", "a" * 129]


def body(of: Endpoint, **members: Any) -> dict[str, Any]:
    """The least that the endpoint takes, and these members; ABSENT leaves one out."""
    merged = {**LEAST[of.operation], **members}
    return {name: value for name, value in merged.items() if value is not ABSENT}


def refused(of: Endpoint, members: dict[str, Any]) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        read_call(of, members)
    return caught.value


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.operation)
def test_the_least(of: Endpoint) -> None:
    assert read_call(of, body(of)) == Call(of.operation, of.dialect, model="m")


WRONG: list[tuple[Endpoint, str, list[Any]]] = [
    *(
        (of, "model", [ABSENT, None, "", 1, True, [], {}, ["m"], "a" * 257, "a\nb", "a\0", "a\x1b[2J", "\u202em"])
        for of in ALL
    ),
    *((of, "stream", ["true", "false", "", 1, 0, 1.0, [], {}]) for of in ALL),
    *((of, "messages", [ABSENT, None, "hi", {}, 1, True]) for of in (CHAT, MESSAGES, COUNT)),
    (EMBEDDINGS, "input", [ABSENT, None, {}, 1, False]),
    (TEXT, "prompt", [1, True, {}, 1.5]),
    *(
        (of, name, ["10", True, False, 1.0, 1e3, -1, 10_000_001, [], {}, 2**70])
        for of, name in [
            (CHAT, "max_tokens"),
            (CHAT, "max_completion_tokens"),
            (TEXT, "max_tokens"),
            (RESPONSES, "max_output_tokens"),
            (MESSAGES, "max_tokens"),
        ]
    ),
    *((of, name, ["2", True, 2.0, -1, 129, [2], {}]) for of, name in [(CHAT, "n"), (TEXT, "n"), (TEXT, "best_of")]),
    *((of, "tools", ["x", {}, 1, True, ["x"], [None], [[]], [1]]) for of in (CHAT, RESPONSES, MESSAGES)),
    *((of, "tools", [[{}], [{"type": None}]]) for of in (CHAT, RESPONSES)),
    *((of, "tools", [[{"type": kind}] for kind in ODD_TYPES]) for of in (CHAT, MESSAGES)),
    (RESPONSES, "background", ["true", "", 1, 0, [], {}]),
]


@pytest.mark.parametrize(("of", "name", "value"), [(of, name, value) for of, name, values in WRONG for value in values])
def test_the_wrong_type_names_its_member(of: Endpoint, name: str, value: Any) -> None:
    error = refused(of, body(of, **{name: value}))
    assert (error.code, error.param) == ("invalid_request", name)
    assert f"`{name}`" in error.message


def test_messages_of_refusals_quote_no_value() -> None:
    for name in ("model", "max_tokens", "n", "stream", "tools"):
        assert "hunter2" not in refused(CHAT, body(CHAT, **{name: {"hunter2": "hunter2"}})).message


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.operation)
@pytest.mark.parametrize(
    "spelling", ["Model", "MODEL", "Stream", "\u017ftream", "STREAM_OPTIONS", "N", "Max_Tokens", "Tools", "to\uff4fls"]
)
def test_no_second_spelling(of: Endpoint, spelling: str) -> None:
    if spelling == "to\uff4fls":
        # Full-width letters are other letters, also to readers who ignore case.
        assert read_call(of, body(of, **{spelling: 1})).model == "m"
        return
    error = refused(of, body(of, **{spelling: 1}))
    assert (error.code, error.param) == ("invalid_request", spelling.casefold())


def test_members_that_nobody_judges_may_be_anything() -> None:
    members = body(CHAT, temperature="hot", User=1, metadata={"Model": 1}, seed=None, logit_bias=[])
    assert read_call(CHAT, members) == Call(Operation.CHAT, Dialect.OPENAI, model="m")


@pytest.mark.parametrize(
    ("of", "members", "expected"),
    [
        (CHAT, {}, None),
        (CHAT, {"max_tokens": None}, None),
        (CHAT, {"max_tokens": 0}, 0),
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": 7}, 7),
        (CHAT, {"max_completion_tokens": 7, "max_tokens": 9}, 9),
        (CHAT, {"max_completion_tokens": 9, "max_tokens": 7}, 9),
        (CHAT, {"max_completion_tokens": 9, "max_tokens": None}, 9),
        (CHAT, {"max_output_tokens": 9}, None),
        (TEXT, {"max_tokens": 10_000_000}, 10_000_000),
        (TEXT, {"max_completion_tokens": 7}, None),
        (RESPONSES, {"max_output_tokens": 7}, 7),
        (RESPONSES, {"max_tokens": 7}, None),
        (MESSAGES, {"max_tokens": 7}, 7),
        (EMBEDDINGS, {"max_tokens": 7}, None),
        (COUNT, {"max_tokens": 7}, None),
    ],
)
def test_output_ceiling(of: Endpoint, members: dict[str, Any], expected: int | None) -> None:
    assert read_call(of, body(of, **members)).max_output == expected


@pytest.mark.parametrize(
    ("of", "members", "expected"),
    [
        (CHAT, {}, 1),
        (CHAT, {"n": None}, 1),
        (CHAT, {"n": 0}, 1),
        (CHAT, {"n": 128}, 128),
        (CHAT, {"n": 3, "best_of": 9}, 3),
        (RESPONSES, {"n": 3}, 1),
        (MESSAGES, {"n": 3}, 1),
        (EMBEDDINGS, {"n": 3}, 1),
        (TEXT, {"n": 3}, 3),
        (TEXT, {"n": 3, "best_of": 9}, 9),
        (TEXT, {"n": 9, "best_of": 3}, 9),
        (TEXT, {"prompt": "x", "n": 2}, 2),
        (TEXT, {"prompt": None, "n": 2}, 2),
        (TEXT, {"prompt": [], "n": 2}, 2),
        (TEXT, {"prompt": [1, 2, 3], "n": 2}, 2),
        (TEXT, {"prompt": ["a"], "n": 2}, 2),
        (TEXT, {"prompt": ["a", "b", "c"], "n": 2}, 6),
        (TEXT, {"prompt": ["a", "b", "c"], "n": 2, "best_of": 4}, 12),
        (TEXT, {"prompt": [[1, 2], [3]]}, 2),
        (TEXT, {"prompt": [1, "a"]}, 2),
    ],
)
def test_choices(of: Endpoint, members: dict[str, Any], expected: int) -> None:
    assert read_call(of, body(of, **members)).choices == expected


@pytest.mark.parametrize(
    ("of", "members", "expected"),
    [
        (CHAT, {"tools": None}, ()),
        (CHAT, {"tools": []}, ()),
        (CHAT, {"tools": [{"type": "function", "function": {}}, {"type": "custom"}]}, ()),
        (CHAT, {"tools": [{"type": "function"}, {"type": "web_search"}]}, ("web_search",)),
        (CHAT, {"tools": [{"type": "Function"}]}, ("Function",)),
        (CHAT, {"web_search_options": {}}, ("web_search",)),
        (CHAT, {"web_search_options": None}, ()),
        (CHAT, {"data_sources": [{"type": "azure_search"}]}, ("data_sources",)),
        (RESPONSES, {"tools": [{"type": "mcp", "server_url": "https://evil.example"}]}, ("mcp",)),
        (
            RESPONSES,
            {"tools": [{"type": "web_search_preview"}, {"type": "file_search"}]},
            ("web_search_preview", "file_search"),
        ),
        (RESPONSES, {"tools": [{"type": "mcp"}] * 1000}, ("mcp",)),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}, ("stored_prompt",)),
        (RESPONSES, {"prompt": "x"}, ("stored_prompt",)),
        (RESPONSES, {"prompt": None}, ()),
        (TEXT, {"prompt": "x"}, ()),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}]}, ()),
        (MESSAGES, {"tools": [{"type": None, "name": "f"}, {"type": "custom"}]}, ()),
        (MESSAGES, {"tools": [{"type": "web_search_20250305"}]}, ("web_search_20250305",)),
        (MESSAGES, {"tools": [{"type": "code_execution_20250522"}]}, ("code_execution_20250522",)),
        (MESSAGES, {"tools": [{"type": "bash_20250124"}, {"type": "text_editor_20250728"}]}, ()),
        (MESSAGES, {"tools": [{"type": "computer_20250124"}, {"type": "memory_20250818"}]}, ()),
        (MESSAGES, {"tools": [{"type": "bash_20250124x"}]}, ("bash_20250124x",)),
        (CHAT, {"tools": [{"type": "bash_20250124"}]}, ("bash_20250124",)),
        (MESSAGES, {"mcp_servers": [{"url": "https://evil.example"}]}, ("mcp",)),
        (MESSAGES, {"mcp_servers": []}, ()),
        (MESSAGES, {"tools": [{"type": "web_fetch_20250910"}], "mcp_servers": ["x"]}, ("web_fetch_20250910", "mcp")),
    ],
)
def test_hosted_tools(of: Endpoint, members: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert read_call(of, body(of, **members)).hosted_tools == expected


def test_what_travels_is_bounded() -> None:
    tools = [{"type": f"t{number}"} for number in range(33)]
    assert len(read_call(RESPONSES, body(RESPONSES, tools=tools[:32])).hosted_tools) == 32
    assert refused(RESPONSES, body(RESPONSES, tools=tools)).param == "tools"


@pytest.mark.parametrize("of", ALL, ids=lambda of: of.operation)
def test_background_is_refused(of: Endpoint) -> None:
    assert refused(of, body(of, background=True)).code == "unsupported_parameter"
    assert (
        read_call(of, body(of, background=False)) == read_call(of, body(of, background=None)) == read_call(of, body(of))
    )


@pytest.mark.parametrize(
    ("members", "stream", "wants_usage"),
    [
        ({}, False, False),
        ({"stream": None}, False, False),
        ({"stream": False, "stream_options": {"include_usage": True}}, False, False),
        ({"stream": False, "stream_options": "x"}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": None}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": True}}, True, True),
    ],
)
def test_streams(members: dict[str, Any], stream: bool, wants_usage: bool) -> None:
    read = read_call(CHAT, body(CHAT, **members))
    assert (read.stream, read.wants_usage) == (stream, wants_usage)


@pytest.mark.parametrize(
    ("options", "param"),
    [("x", "stream_options"), ([], "stream_options"), (True, "stream_options"), ({"include_usage": 1}, "include_usage")],
)
def test_stream_options_of_the_wrong_type(options: Any, param: str) -> None:
    assert refused(CHAT, body(CHAT, stream=True, stream_options=options)).param == param


@pytest.mark.parametrize("model", [ABSENT, None, "", "prod", "other", "../other", "a" * 1000])
def test_azure_decides_by_the_path(model: Any) -> None:
    assert read_call(AZURE, body(AZURE, model=model)).model == "prod"


@pytest.mark.parametrize("model", [1, True, [], {}])
def test_azure_takes_no_model_of_the_wrong_type(model: Any) -> None:
    assert refused(AZURE, body(AZURE, model=model)).param == "model"


def test_azure_responses_take_the_model_from_the_body() -> None:
    of = endpoint("/openai/responses?api-version=2024-10-21")
    assert read_call(of, body(of)).model == "m"
    assert refused(of, body(of, model=ABSENT)).param == "model"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET /v1/models", Call(Operation.MODELS, Dialect.OPENAI, method="GET", path="/v1/models")),
        ("GET /v1/models/m", Call(Operation.MODEL, Dialect.OPENAI, model="m", method="GET", path="/v1/models/m")),
        ("PUT /agents/kb/x?y", Call(Operation.AGENT, Dialect.OPENAI, route="kb", method="PUT", path="/x")),
        ("POST /v1/files", Call(Operation.OPAQUE, Dialect.OPENAI, route="files", method="POST", path="/v1/files")),
    ],
)
def test_calls_without_a_payload(line: str, expected: Call) -> None:
    method, _, path = line.partition(" ")
    assert without_payload(endpoint(path, method), request(path, method)) == expected


def test_output_fields() -> None:
    fields = {operation: output_field(operation) for operation in Operation}
    assert {name: field for name, field in fields.items() if field} == {
        Operation.CHAT: "max_completion_tokens",
        Operation.COMPLETIONS: "max_tokens",
        Operation.RESPONSES: "max_output_tokens",
        Operation.MESSAGES: "max_tokens",
    }


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("said", [None, "max_tokens", "max_completion_tokens"])
def test_a_model_says_in_which_member_of_a_chat_a_ceiling_stands(operation: Operation, said: str | None) -> None:
    chosen = said if operation is Operation.CHAT and said else output_field(operation)
    assert output_field(operation, Model("m", output_field=said)) == chosen
    assert chosen is None or chosen in OUTPUT_FIELDS[operation]


names = st.sampled_from(
    [
        "model",
        "messages",
        "input",
        "prompt",
        "stream",
        "stream_options",
        "n",
        "best_of",
        "tools",
        "max_tokens",
        "background",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "include_usage"]), inner),
    max_leaves=6,
)


@given(st.sampled_from([*ALL, AZURE]), st.dictionaries(names, anything))
def test_any_object_is_a_call_or_refused(of: Endpoint, members: dict[str, Any]) -> None:
    merged = {**LEAST[of.operation], **members}
    try:
        read = read_call(of, merged)
    except PayloadError as error:
        assert error.code in {"invalid_request", "unsupported_parameter"}  # noqa: PT017
        return
    assert read.choices >= 1
    assert read.model is not None
    assert read.model.isprintable()
    assert json.dumps(read.hosted_tools)

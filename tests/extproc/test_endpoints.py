"""Request lines: an exact table. Whatever is spelt differently is another line, and mostly none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Endpoint, Operation
from extproc.catalogue import Catalogue, Opaque
from extproc.endpoints import covered_calls, dialect_of, match
from extproc.envoy_data import data_directory
from extproc.exchange import Dialect
from extproc.outcome import Reject
from tests.extproc.world import CATALOGUE, request

O, A, J = Dialect.OPENAI, Dialect.ANTHROPIC, Dialect.JSONRPC  # noqa: E741
CHAT, TEXT, RESPONSES, EMBEDDINGS = Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.EMBEDDINGS
MESSAGES, COUNT, MODELS, MODEL = Operation.MESSAGES, Operation.COUNT_TOKENS, Operation.MODELS, Operation.MODEL
AZURE = "/openai/deployments"
NEW = "?api-version=2024-10-21"


def call(operation: Operation, dialect: Dialect = O, **more: Any) -> Endpoint:
    return Endpoint(operation, dialect, has_payload=True, **more)


def azure(operation: Operation, deployment: str | None, version: str = "2024-10-21") -> Endpoint:
    return Endpoint(operation, O, has_payload=True, deployment=deployment, api_version=version)


def agent(name: str, rest: str) -> Endpoint:
    return Endpoint(Operation.AGENT, O, route=name, rest=rest)


def opaque(name: str, dialect: Dialect = O) -> Endpoint:
    return Endpoint(Operation.OPAQUE, dialect, route=name)


FOUND: dict[str, Endpoint] = {
    "POST /v1/chat/completions": call(CHAT),
    "POST /v1/completions": call(TEXT),
    "POST /v1/responses": call(RESPONSES),
    "POST /v1/embeddings": call(EMBEDDINGS),
    "POST /openai/v1/chat/completions": call(CHAT),
    "POST /openai/v1/completions": call(TEXT),
    "POST /openai/v1/responses": call(RESPONSES),
    "POST /openai/v1/embeddings": call(EMBEDDINGS),
    "POST /openai/v1/chat/completions?api-version=preview": call(CHAT),
    "POST /v1/messages": call(MESSAGES, A),
    "POST /v1/messages?beta=true": call(MESSAGES, A),
    "POST /v1/messages/count_tokens": call(COUNT, A),
    "POST /anthropic/v1/messages": call(MESSAGES, A),
    "POST /anthropic/v1/messages/count_tokens": call(COUNT, A),
    "POST /v1/chat/completions?": call(CHAT),
    "POST /v1/chat/completions?x=/../y": call(CHAT),
    f"POST {AZURE}/prod/chat/completions{NEW}": azure(CHAT, "prod"),
    f"POST {AZURE}/prod/completions{NEW}": azure(TEXT, "prod"),
    f"POST {AZURE}/prod/embeddings{NEW}": azure(EMBEDDINGS, "prod"),
    f"POST {AZURE}/a.b_c-1/chat/completions{NEW}": azure(CHAT, "a.b_c-1"),
    f"POST {AZURE}/prod/chat/completions?api-version=2025-01-01-preview": azure(CHAT, "prod", "2025-01-01-preview"),
    f"POST {AZURE}/prod/chat/completions?x=1&api-version=2024-10-21&y=2": azure(CHAT, "prod"),
    f"POST {AZURE}/prod/chat/completions?API-Version=2024-10-21": azure(CHAT, "prod"),
    f"POST /openai/responses{NEW}": azure(RESPONSES, None),
    "POST /openai/responses?api-version=preview": azure(RESPONSES, None, "preview"),
    "GET /v1/models": Endpoint(MODELS, O),
    "GET /v1/models?limit=5": Endpoint(MODELS, O),
    "GET /openai/v1/models": Endpoint(MODELS, O),
    "GET /openai/models?api-version=2024-10-21": Endpoint(MODELS, O),
    "GET /anthropic/v1/models": Endpoint(MODELS, A),
    "GET /v1/models/gpt-4o": Endpoint(MODEL, O, model="gpt-4o"),
    "GET /v1/models/ft:gpt-4o:org::x": Endpoint(MODEL, O, model="ft:gpt-4o:org::x"),
    "GET /v1/models/org/model@2": Endpoint(MODEL, O, model="org/model@2"),
    "GET /v1/models/org%2Fmodel": Endpoint(MODEL, O, model="org/model"),
    "GET /openai/models/gpt-4o": Endpoint(MODEL, O, model="gpt-4o"),
    "GET /openai/v1/models/gpt-4o": Endpoint(MODEL, O, model="gpt-4o"),
    "GET /anthropic/v1/models/claude-sonnet": Endpoint(MODEL, A, model="claude-sonnet"),
    "GET /agents/kb/": agent("kb", "/"),
    "GET /agents/kb/search": agent("kb", "/search"),
    "PATCH /agents/kb/a/b/": agent("kb", "/a/b/"),
    "DELETE /agents/tools/a%20b?x=1": agent("tools", "/a%20b"),
    "GET /agents/kb/agents/tools/x": agent("kb", "/agents/tools/x"),
    "GET /v1/files": opaque("files"),
    "POST /v1/files": opaque("files"),
    "GET /v1/files/file-1": opaque("file"),
    "GET /v1/files/file-1/content": opaque("file"),
    "DELETE /v1/files/file-1": opaque("file"),
    "GET /openai/v1/files": opaque("azure-files"),
    "POST /v1/messages/batches": opaque("claude-batches", A),
}

NOT_FOUND = [
    # Spelt differently.
    "POST //v1/chat/completions",
    "POST /v1//chat/completions",
    "POST /v1/chat//completions",
    "POST /v1/chat/completions/",
    "POST /v1/chat/completions//",
    "POST /v1/chat/completions;x",
    "POST /v1/chat/completions;x=1?y",
    "POST /v1;/chat/completions",
    "POST /v1/chat/completions%20",
    "POST /v1/chat/completions%00",
    "POST /v1/chat/completions%3F",
    "POST /v1/chat%2Fcompletions",
    "POST /v1/chat%2fcompletions",
    "POST /v1/%63hat/completions",
    "POST /%76%31/chat/completions",
    "POST /v1/chat/%2e/completions",
    "POST /v1/./chat/completions",
    "POST /v1/x/../chat/completions",
    "POST /v1/x/%2e%2e/chat/completions",
    "POST /v1/chat\\completions",
    "POST /V1/chat/completions",
    "POST /v1/Chat/Completions",
    "POST /v1/chat/completions#frag",
    "POST v1/chat/completions",
    "POST /v1/chat/completion\u017f",
    "POST /v1/chat/completions\n",
    "POST /v1/chat/completions.json",
    "POST http://gateway.example/v1/chat/completions",
    "POST ",
    "OPTIONS *",
    "CONNECT ",
    # Paths that spend tokens, or might, and are not in the table.
    "POST /v1/responses/compact",
    "GET /v1/responses/resp_1",
    "POST /v1/images/generations",
    "POST /v1/audio/speech",
    "POST /v1/moderations",
    "GET /v1/realtime",
    "POST /v1/chat",
    "POST /v1",
    "GET /",
    "POST /v2/chat/completions",
    "POST /chat/completions",
    "POST /anthropic/v1/chat/completions",
    "POST /openai/chat/completions",
    "POST /mcp",
    # Methods.
    "GET /v1/chat/completions",
    "PUT /v1/chat/completions",
    "HEAD /v1/chat/completions",
    "post /v1/chat/completions",
    "POST  /v1/chat/completions",
    "GET /v1/messages",
    f"GET {AZURE}/prod/chat/completions{NEW}",
    "POST /v1/models",
    "HEAD /v1/models",
    "DELETE /v1/models/gpt-4o",
    "PUT /v1/files",
    "POST /v1/files/file-1",
    # Models.
    "GET /v1/models/",
    "GET /v1/models/gpt-4o/",
    "GET /v1/models/../files",
    "GET /v1/models/a/../b",
    "GET /v1/models/.hidden",
    "GET /v1/models/a%2F..%2Fb",
    "GET /v1/models/a%2fb",
    "GET /v1/models/a%2F",
    "GET /v1/models/a b",
    "GET /v1/models/" + "a" * 129,
    # Azure.
    f"POST {AZURE}//chat/completions{NEW}",
    f"POST {AZURE}/my%20dep%2F..%2Fx/chat/completions{NEW}",
    f"POST {AZURE}/prod%2Fx/chat/completions{NEW}",
    f"POST {AZURE}/../prod/chat/completions{NEW}",
    f"POST {AZURE}/../chat/completions{NEW}",
    f"POST {AZURE}/./chat/completions{NEW}",
    f"POST {AZURE}/%2e%2e/chat/completions{NEW}",
    f"POST {AZURE}/a/b/chat/completions{NEW}",
    f"POST {AZURE}/prod;x/chat/completions{NEW}",
    f"POST {AZURE}/prod/chat/completions/{NEW}",
    f"POST {AZURE}/prod/responses{NEW}",
    f"POST {AZURE}/prod/images/generations{NEW}",
    f"POST {AZURE}/Prod%C3%A4/chat/completions{NEW}",
    "POST " + AZURE + "/" + "a" * 129 + "/chat/completions" + NEW,
    # Agents.
    "GET /agents/kb",
    "GET /agents/",
    "GET /agents/unknown/x",
    "GET /agents/KB/x",
    "GET /Agents/kb/x",
    "GET /agents/kb%2Fx",
    "GET /agents/%6bb/x",
    "GET /agents/kb/../tools/x",
    "GET /agents/kb/%2e%2e/tools/x",
    "GET /agents/kb/..%2Ftools/x",
    "GET /agents/kb/%252e%252e/x",
    "GET /agents/kb//x",
    "GET /agents/kb/./x",
    "GET /agents/kb/..;/x",
    "GET /agents/kb/x;y",
    "GET /agents/kb/%C0%AE%C0%AE/x",
    "GET /agents/kb/a%5Cb",
    "GET /agents/../v1/files",
    # Opaque.
    "GET /v1/files/",
    "GET /v1/files/../models",
    "GET /v1/files/%2e%2e/chat/completions",
    "GET /v1/filesystem",
    "GET /v1/files//x",
    "GET /v1/Files",
]

BAD: dict[str, tuple[int, str]] = {
    f"POST {AZURE}/prod/chat/completions": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=1": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=2024-10-21-evil": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=2024-10-21%0A": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=2024-10-21&api-version=2024-10-21": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=2024-10-21&API-VERSION=2023-05-15": (400, "invalid_api_version"),
    f"POST {AZURE}/prod/chat/completions?api-version=2024-10-21&api%2Dversion=2023-05-15": (400, "invalid_api_version"),
    "POST /openai/responses": (400, "invalid_api_version"),
    "POST /v1/chat/completions?a b": (400, "invalid_query"),
    "POST /v1/chat/completions?x#frag": (400, "invalid_query"),
    "POST /v1/chat/completions?%": (400, "invalid_query"),
    "POST /v1/chat/completions?\r\nx: y": (400, "invalid_query"),
    "POST /v1/chat/completions?" + "a" * 2049: (400, "invalid_query"),
    "GET /unknown?{}": (400, "invalid_query"),
}


def ask(line: str, **more: Any) -> Endpoint | Reject:
    method, _, path = line.partition(" ")
    return match(request(path, method, **more), CATALOGUE)


@pytest.mark.parametrize("line", FOUND)
def test_found(line: str) -> None:
    assert ask(line) == FOUND[line]


@pytest.mark.parametrize("line", NOT_FOUND)
def test_not_found(line: str) -> None:
    refusal = ask(line)
    assert isinstance(refusal, Reject)
    assert (refusal.status, refusal.code) == (404, "unknown_endpoint")
    assert "chat" not in refusal.message


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("POST /v1/v1/messages", "stands twice"),
        ("POST /chat/completions", "is missing"),
        ("GET /models", "is missing"),
        ("POST /agents/kb", "slash at the end"),
        ("POST /agents/nobody/x", "no agent of this name"),
        ("POST /v2/chat/completions", "Check the base URL"),
    ],
)
def test_what_base_urls_commonly_get_wrong_is_said(line: str, hint: str) -> None:
    refusal = ask(line)
    assert isinstance(refusal, Reject)
    assert hint in refusal.message


@pytest.mark.parametrize("line", BAD)
def test_bad(line: str) -> None:
    refusal = ask(line)
    assert isinstance(refusal, Reject)
    assert (refusal.status, refusal.code) == BAD[line]


@pytest.mark.parametrize("line", ["GET /v1/realtime", "POST /v1/chat/completions", "GET /agents/kb/ws"])
def test_no_upgrade(line: str) -> None:
    refusal = ask(line, headers=(("connection", "upgrade"), ("upgrade", "websocket")))
    assert isinstance(refusal, Reject)
    assert (refusal.status, refusal.code) == (400, "upgrade_not_supported")


def test_the_reason_holds_no_query() -> None:
    refusal = ask("GET /unknown?access_token=hunter2")
    assert isinstance(refusal, Reject)
    assert refusal.why == "GET /unknown"


def test_an_anthropic_client_gets_its_own_list() -> None:
    headers = (("anthropic-version", "2023-06-01"),)
    assert ask("GET /v1/models", headers=headers) == Endpoint(MODELS, A)
    assert ask("GET /v1/models/claude-sonnet", headers=headers) == Endpoint(MODEL, A, model="claude-sonnet")


def test_calls_are_never_opaque() -> None:
    broad = Catalogue(opaque=(Opaque("all", "/v1/*", "openai"),))
    assert match(request("/v1/chat/completions"), broad) == call(CHAT)
    assert isinstance(match(request("/v1/chat/completions", "GET"), broad), Reject)


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("/v1/*", True),
        ("/v1/chat/*", True),
        ("/v1/messages/*", True),
        ("/openai/*", True),
        ("/openai/deployments/*", True),
        ("/openai/v1/*", True),
        ("/anthropic/*", True),
        ("/v1/embeddings", True),
        ("/openai/responses", True),
        ("/v1/chat/completions/*", False),
        ("/v1/responses/*", False),
        ("/v1/messages/batches/*", False),
        ("/v1/files/*", False),
        ("/v1/files", False),
        ("/v1", False),
    ],
)
def test_patterns_that_cover_calls(pattern: str, covers: bool) -> None:
    assert bool(covered_calls(pattern)) is covers


DIALECTS: list[tuple[str, tuple[tuple[str, str], ...], Dialect]] = [
    ("/v1/messages", (), A),
    ("/v1/messages?beta=true", (), A),
    ("/v1/messages/", (), A),
    ("/v1/messages/batches", (), A),
    ("/v1/messagesx", (), A),
    ("/anthropic/v1/messages", (), A),
    ("/anthropic/", (), A),
    ("/anthropic", (), O),
    ("/mcp", (), J),
    ("/mcp?x", (), J),
    ("/mcp/server", (), J),
    ("/mcpx", (), J),
    ("/v1/models", (), O),
    ("/v1/models", (("anthropic-version", "2023-06-01"),), A),
    ("/v1/models/x", (("anthropic-version", ""),), A),
    ("/v1/chat/completions", (("anthropic-version", "2023-06-01"),), O),
    ("/openai/v1/messages", (), O),
    ("/V1/messages", (), O),
    ("//v1/messages", (), O),
    ("/", (), O),
    ("", (), O),
    ("*", (), O),
]


@pytest.mark.parametrize(("path", "headers", "dialect"), DIALECTS)
def test_dialect(path: str, headers: tuple[tuple[str, str], ...], dialect: Dialect) -> None:
    assert dialect_of(request(path, headers=headers)) is dialect


def envoy_says(path: str, headers: tuple[tuple[str, str], ...], table: list[dict[str, Any]]) -> Dialect:
    """The first entry of the table for Envoy's own replies that matches, as its filters would."""
    for entry in table:
        by_path = not entry["prefixes"] or path.startswith(tuple(entry["prefixes"]))
        by_header = "header" not in entry or entry["header"] in dict(headers)
        if by_path and by_header:
            return Dialect(entry["dialect"])
    raise AssertionError("no entry takes what is left")


TABLE: list[dict[str, Any]] = yaml.safe_load(Path(data_directory(), "local-replies.yaml").read_text("utf-8"))["dialects"]
stems = st.sampled_from(
    ["/v1/messages", "/anthropic", "/anthropic/", "/mcp", "/v1/models", "/v1", "/openai", "", "/", "//mcp"]
)


@pytest.mark.parametrize(("path", "headers", "dialect"), DIALECTS)
def test_envoy_answers_in_the_same_dialect(path: str, headers: tuple[tuple[str, str], ...], dialect: Dialect) -> None:
    assert envoy_says(path, headers, TABLE) is dialect


@given(stems, st.text(st.sampled_from("/x?%."), max_size=4), st.booleans())
def test_envoy_and_the_gateway_never_differ(stem: str, tail: str, version: bool) -> None:
    headers = (("anthropic-version", "2023-06-01"),) if version else ()
    assert envoy_says(stem + tail, headers, TABLE) is dialect_of(request(stem + tail, headers=headers))


@given(st.text(max_size=40), st.sampled_from(["GET", "POST", "PUT", ""]), st.text(max_size=10))
def test_any_line_is_understood_or_refused(path: str, method: str, query: str) -> None:
    found = match(request(f"{path}?{query}", method), CATALOGUE)
    assert isinstance(found, Reject | Endpoint)
    if isinstance(found, Endpoint) and found.rest is not None:
        assert path.startswith("/agents/")

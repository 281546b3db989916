"""What Envoy and AI Gateway answer by themselves, in the caller's dialect: the same as in the plain profile."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.dialects import error_body
from extproc.envoy_data import load
from extproc.exchange import Dialect
from tests.envoy.lua_handle import FOLDER, Done, script

replies = script("replies.lua", "envoy_on_response")
ID = "854f9b19-fd2a-40ea-85ac-98e6dabe4f6d"
CHAT = {"verdict": "allow", "operation": "chat"}


def reply(
    status: int,
    details: str,
    metadata: dict[str, Any] | None = None,
    *,
    flags: str = "-",
    path: str = "/v1/chat/completions",
    body: bytes = b"",
    version: str | None = None,
) -> Done:
    """What becomes of such a reply."""
    fields = {
        ":status": str(status),
        "x-request-id": ID,
        "content-type": "text/plain",
        "content-length": str(len(body)),
        "x-sluicegate-details": details,
        "x-sluicegate-flags": flags,
        "x-sluicegate-path": path,
    }
    if version is not None:
        fields["x-sluicegate-version"] = version
    done = replies(fields, metadata, body)
    assert not [name for name in done.headers if name.startswith("x-sluicegate-")]
    assert done.headers["content-length"] == str(len(done.body))
    return done


def told(done: Done) -> tuple[int, str]:
    return int(done.headers[":status"]), json.loads(done.body)["error"]["code"]


@pytest.mark.parametrize(
    ("status", "details", "flags", "verdict", "expected"),
    [
        (500, "ext_proc_error_gRPC_error_14", "-", None, (503, "policy_unavailable")),
        (504, "ext_proc_error_per-message_timeout_exceeded", "-", None, (503, "policy_unavailable")),
        (503, "lua_response", "-", None, (503, "no_verdict")),
        (503, "lua_response", "-", {"verdict": "Allow"}, (503, "no_verdict")),
        (413, "request_payload_too_large", "-", None, (413, "request_too_large")),
        (408, "request_overall_timeout", "-", None, (408, "request_timeout")),
        (400, "path_normalization_failed", "-", None, (400, "malformed_request")),
        (504, "response_timeout", "UT", CHAT, (504, "upstream_timeout")),
        (504, "stream_idle_timeout", "SI", CHAT, (504, "upstream_timeout")),
        (
            503,
            "upstream_reset_before_response_started{x}",
            "UF,URX",
            CHAT,
            (503, "upstream_unavailable"),
        ),
        (503, "no_healthy_upstream", "UH", CHAT, (503, "upstream_unavailable")),
        (404, "route_not_found", "NR", CHAT, (503, "gateway_outdated")),
        (404, "direct_response", "-", CHAT, (503, "gateway_outdated")),
        (500, "ext_proc_error_gRPC_error_14", "-", CHAT, (502, "gateway_error")),
        (401, "ext_proc", "-", CHAT, (502, "gateway_error")),
    ],
)
def test_causes(status: int, details: str, flags: str, verdict: dict[str, Any] | None, expected: tuple[int, str]) -> None:
    done = reply(status, details, verdict, flags=flags)
    assert told(done) == expected
    assert ("retry-after" in done.headers) == (expected[0] == 503 and expected[1] != "gateway_outdated")


@pytest.mark.parametrize(
    ("status", "details", "metadata"),
    [
        (500, "via_upstream", CHAT),
        (429, "via_upstream", CHAT),
        (429, "sluicegate_too_many", {"verdict": "reject"}),
        (500, "sluicegate_respond", {"verdict": "respond"}),
        (200, "cors_response", None),
    ],
)
def test_what_is_somebody_elses_is_left_alone(status: int, details: str, metadata: dict[str, Any] | None) -> None:
    done = reply(status, details, metadata, body=b"as it is")
    assert (done.headers[":status"], done.body, done.headers["content-type"]) == (str(status), b"as it is", "text/plain")


@pytest.mark.parametrize(
    ("path", "version", "metadata", "dialect"),
    [
        ("/v1/chat/completions", None, None, Dialect.OPENAI),
        ("/v1/messages", None, None, Dialect.ANTHROPIC),
        ("/anthropic/v1/messages?x", None, None, Dialect.ANTHROPIC),
        ("/v1/models", "2023-06-01", None, Dialect.ANTHROPIC),
        ("/v1/models", None, None, Dialect.OPENAI),
        ("/mcp", None, None, Dialect.JSONRPC),
        ("", None, None, Dialect.OPENAI),
        # After the verdict the path may be the provider's.
        ("/model/claude/converse", None, {"verdict": "allow", "operation": "messages"}, Dialect.ANTHROPIC),
        ("/v1/messages", None, CHAT, Dialect.OPENAI),
    ],
)
def test_dialects(path: str, version: str | None, metadata: dict[str, Any] | None, dialect: Dialect) -> None:
    done = reply(500, "ext_proc_error", metadata, path=path, version=version)
    status = int(done.headers[":status"])
    body = json.loads(done.body)
    error = body["error"]
    code = error["data"]["code"] if dialect is Dialect.JSONRPC else error["code"]
    assert body == error_body(dialect, status, code, error["message"], request_id=ID)


def test_ai_gateway_says_what_it_cannot_read() -> None:
    said = b'{"type":"error","error":{"type":"BadRequest","code":"400","message":"malformed: "seed" is no int64"}}'
    done = reply(400, "ext_proc", CHAT, body=said)
    assert told(done) == (400, "unsupported_by_provider")
    assert "malformed: ?seed? is no int64" in json.loads(done.body)["error"]["message"]
    assert told(reply(422, "ext_proc", CHAT, body=b"no JSON")) == (400, "unsupported_by_provider")


@given(body=st.binary(max_size=600), wrapped=st.booleans(), request_id=st.text(max_size=40))
def test_whatever_is_said_the_answer_is_json(body: bytes, wrapped: bool, request_id: str) -> None:
    said = b'{"error":{"message":"' + body + b'"}}' if wrapped else body
    fields = {":status": "400", "x-request-id": request_id, "x-sluicegate-details": "ext_proc"}
    done = replies(fields, {"verdict": "allow", "operation": "messages"}, said)
    assert json.loads(done.body)["error"]["code"] == "unsupported_by_provider"


def test_the_table_says_what_the_plain_profile_says() -> None:
    """By code: its message, its status and when to come again."""
    text = (FOLDER / "replies.lua").read_text()
    rows = re.findall(r'code = "(\w+)"(.*?)message = "(.*?)" \}', text, re.DOTALL)
    lua = set()
    for code, middle, message in rows:
        answer, retry = re.search(r"answer = (\d+)", middle), re.search(r"retry_after = (\d+)", middle)
        assert answer is not None
        lua.add((code, int(answer[1]), int(retry[1]) if retry else None, message))
    plain = {
        (cause["code"], cause["answer"], cause.get("retry_after"), cause["message"])
        for cause in load("local-replies.yaml")["causes"]
    }
    # Some of the others are said before there is a route, when no script runs.
    assert lua - plain == {row for row in lua if row[0] == "unsupported_by_provider"}
    before_a_route = {"underscore_in_header", "unsupported_transfer_encoding", "unsupported_http_version"}
    assert {row[0] for row in plain - lua} == before_a_route

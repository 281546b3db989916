"""Refusals, read by the SDKs themselves."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.dialects import error_type, render
from extproc.exchange import Dialect
from extproc.outcome import Reject

O, A, J = Dialect.OPENAI, Dialect.ANTHROPIC, Dialect.JSONRPC  # noqa: E741


def reply(reject: Reject, dialect: Dialect) -> httpx2.Response:
    body, headers = render(reject, dialect, "req-7")
    return httpx2.Response(
        reject.status, headers=headers, content=body, request=httpx2.Request("POST", "http://gateway/")
    )


def raised_by_openai(reject: Reject) -> openai.APIStatusError:
    transport = httpx2.MockTransport(lambda _: reply(reject, O))
    client = openai.OpenAI(
        api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport), max_retries=0
    )
    with client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    return caught.value


def raised_by_anthropic(reject: Reject) -> anthropic.APIStatusError:
    transport = httpx2.MockTransport(lambda _: reply(reject, A))
    client = anthropic.Anthropic(
        api_key="k", base_url="http://gateway", http_client=httpx2.Client(transport=transport), max_retries=0
    )
    with client, pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}])
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "named"),
    [
        (400, openai.BadRequestError, "invalid_request_error"),
        (401, openai.AuthenticationError, "authentication_error"),
        (403, openai.PermissionDeniedError, "permission_error"),
        (404, openai.NotFoundError, "not_found_error"),
        (409, openai.ConflictError, "invalid_request_error"),
        (413, openai.APIStatusError, "invalid_request_error"),
        (415, openai.APIStatusError, "invalid_request_error"),
        (422, openai.UnprocessableEntityError, "invalid_request_error"),
        (429, openai.RateLimitError, "rate_limit_error"),
        (500, openai.InternalServerError, "server_error"),
        (503, openai.InternalServerError, "server_error"),
        (504, openai.InternalServerError, "server_error"),
    ],
)
def test_openai(status: int, kind: type[openai.APIStatusError], named: str) -> None:
    error = raised_by_openai(Reject(status, "some_code", "Some words.", param="model"))
    assert type(error) is kind
    assert (error.status_code, error.code, error.param, error.type) == (status, "some_code", "model", named)
    assert error.request_id == "req-7"
    assert "Some words." in error.message


@pytest.mark.parametrize(
    ("status", "kind", "named"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (415, anthropic.APIStatusError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (502, anthropic.InternalServerError, "api_error"),
        (503, anthropic.APIStatusError, "overloaded_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_anthropic(status: int, kind: type[anthropic.APIStatusError], named: str) -> None:
    error = raised_by_anthropic(Reject(status, "some_code", "Some words."))
    assert isinstance(error, kind)
    assert error.status_code == status
    assert error.request_id == "req-7"
    body: Any = error.body
    assert body == {
        "type": "error",
        "error": {"type": named, "message": "Some words.", "code": "some_code"},
        "request_id": "req-7",
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
def test_json_rpc(status: int) -> None:
    answer = reply(Reject(status, "some_code", "Some words."), J)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": status, "message": "Some words.", "data": {"code": "some_code", "request_id": "req-7"}},
    }
    assert not -32768 <= answer.json()["error"]["code"] <= -32000


@pytest.mark.parametrize("dialect", Dialect)
def test_every_status_has_a_type(dialect: Dialect) -> None:
    types = {status: error_type(dialect, status) for status in range(400, 600)}
    assert all(name.endswith(("_error", "_large")) for name in types.values())
    assert all("invalid_request" not in name for status, name in types.items() if status >= 500)


BASE = [("content-type", "application/json"), ("x-request-id", "req-7")]


@pytest.mark.parametrize(
    ("reject", "dialect", "more"),
    [
        (Reject(403, "c", "m"), O, []),
        (Reject(403, "c", "m"), J, []),
        (Reject(403, "c", "m"), A, [("request-id", "req-7")]),
        (Reject(429, "c", "m", retry_after=1.2), O, [("retry-after", "2"), ("retry-after-ms", "1200")]),
        (Reject(429, "c", "m", retry_after=0.0004), O, [("retry-after", "1"), ("retry-after-ms", "1")]),
        (Reject(503, "c", "m", retry_after=0), O, [("retry-after", "0"), ("retry-after-ms", "0")]),
        (Reject(429, "c", "m", stop_retrying=True), O, [("x-should-retry", "false")]),
        (
            Reject(429, "c", "m", retry_after=86_400, stop_retrying=True),
            A,
            [
                ("request-id", "req-7"),
                ("retry-after", "86400"),
                ("retry-after-ms", "86400000"),
                ("x-should-retry", "false"),
            ],
        ),
        (
            Reject(401, "c", "m", headers=(("www-authenticate", "Bearer"), ("www-authenticate", "Other"))),
            O,
            [("www-authenticate", "Bearer"), ("www-authenticate", "Other")],
        ),
    ],
)
def test_header_fields(reject: Reject, dialect: Dialect, more: list[tuple[str, str]]) -> None:
    assert render(reject, dialect, "req-7")[1] == BASE + more


@pytest.mark.parametrize("stop", [True, False])
def test_sdks_retry_as_they_are_told(stop: bool) -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return reply(Reject(429, "c", "m", retry_after=0.001, stop_retrying=stop), O)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=2)
    with client, pytest.raises(openai.RateLimitError):
        client.models.list()
    assert len(asked) == (1 if stop else 3)


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_for_the_operator_stays_here(dialect: Dialect) -> None:
    body, headers = render(Reject(403, "c", "m", why="hunter2"), dialect, "req-7")
    assert b"hunter2" not in body
    assert "hunter2" not in str(headers)


@given(
    st.sampled_from(Dialect),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_message_is_json(dialect: Dialect, message: str, param: str) -> None:
    body, _ = render(Reject(400, "c", message, param=param), dialect, "req-7")
    error = json.loads(body)["error"]
    assert error["message"] == message
    assert b"\n" not in body

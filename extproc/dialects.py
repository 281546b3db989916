"""Refusals in the caller's own language, so that its SDK raises what it always raises.

Sources: OpenAI's error object (`error.message`, `type`, `param`, `code`); Anthropic's errors page (`type: error`,
`error.type`, `error.message`, `request_id`); JSON-RPC 2.0 section 5.1, with codes outside its reserved range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, assert_never

import orjson

from extproc.exchange import Dialect
from extproc.outcome import Reject

_OPENAI_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def error_type(dialect: Dialect, status: int) -> str:
    """The dialect's `type` for an HTTP status."""
    if dialect is Dialect.ANTHROPIC:
        return _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def error_body(
    dialect: Dialect, status: int, code: str, message: str, *, param: str | None = None, request_id: str = ""
) -> dict[str, Any]:
    """The error object of `dialect`."""
    match dialect:
        case Dialect.OPENAI:
            return {
                "error": {
                    "message": message,
                    "type": error_type(dialect, status),
                    "param": param,
                    "code": code,
                }
            }
        case Dialect.ANTHROPIC:
            return {
                "type": "error",
                "error": {"type": error_type(dialect, status), "message": message, "code": code},
                "request_id": request_id,
            }
        case Dialect.JSONRPC:
            return {
                "jsonrpc": "2.0",
                "id": None,
                "error": {"code": status, "message": message, "data": {"code": code, "request_id": request_id}},
            }
        case never:
            assert_never(never)


def id_fields(dialect: Dialect, request_id: str) -> list[tuple[str, str]]:
    """The fields in which an SDK of this dialect looks for the id of its request."""
    fields = [("x-request-id", request_id)]
    if dialect is Dialect.ANTHROPIC:
        fields.append(("request-id", request_id))
    return fields


def render(reject: Reject, dialect: Dialect, request_id: str) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the header fields of a refusal. Every value is either ours or JSON-encoded: nothing is reflected."""
    body = orjson.dumps(
        error_body(dialect, reject.status, reject.code, reject.message, param=reject.param, request_id=request_id)
    )
    headers = [("content-type", "application/json"), *id_fields(dialect, request_id)]
    if reject.retry_after is not None:
        headers.append(("retry-after", str(math.ceil(reject.retry_after))))
        headers.append(("retry-after-ms", str(math.ceil(reject.retry_after * 1000))))
    if reject.stop_retrying:
        headers.append(("x-should-retry", "false"))
    headers.extend(reject.headers)
    return body, headers

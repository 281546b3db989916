"""Requests that must not pass, as bytes: framing, request lines, header fields, bodies, and calls that are not granted.

Each has a good token unless its name says otherwise, so that nothing but the trick itself can be what refuses it.
Sources: RFC 9110, RFC 9112, RFC 3986, RFC 8259, RFC 6750; the request smuggling and parser differential literature.
"""

from __future__ import annotations

import gzip
import json
from typing import Any, Final, NamedTuple

from tests.contract.hostile import AZURE, CHAT, MESSAGES, Expected, body, http


class Hostile(NamedTuple):
    """Bytes, and what they get. `half_close`: the client sends no more, and says so."""

    name: str
    data: bytes
    expected: Expected
    half_close: bool = False


def row(name: str, status: int | None, code: str, data: bytes, dialect: str = "openai", **more: Any) -> Hostile:
    half_close = more.pop("half_close", False)
    return Hostile(name, data, Expected(status, code, dialect, **more), half_close)


def malformed(name: str, data: bytes) -> Hostile:
    """What Envoy's own reader refuses. It is not HTTP, so there is nothing that an id could be given to."""
    return row(name, 400, "malformed_request", data, named=False)


def unknown(name: str, target: str | bytes, *fields: tuple[str, str | bytes], **more: Any) -> Hostile:
    dialect = more.pop("dialect", "openai")
    return row(name, 404, "unknown_endpoint", http(target, None, *fields, **more), dialect)


def sent(name: str, code: str, content: bytes, *fields: tuple[str, str | bytes], status: int = 400) -> Hostile:
    """A body that is refused."""
    return row(name, status, code, http(CHAT, content, *fields))


def chunked(*chunks: bytes) -> bytes:
    """A request whose body is framed by chunks, given with their framing."""
    return http(CHAT, b"", ("transfer-encoding", "chunked"), without=["content-length"]) + b"".join(chunks)


_GOOD: Final = body()
_TURN: Final = '"messages":[{"role":"user","content":"canary"}]'
_BOM: Final = b"\xef\xbb\xbf"

CREDENTIALS: Final = (
    row("no credentials", 401, "missing_credentials", http(without=["authorization"])),
    row("no credentials, Anthropic", 401, "missing_credentials", http(MESSAGES, without=["authorization"]), "anthropic"),
    row("two Authorization fields, the same", 400, "invalid_request",
        http(CHAT, None, ("authorization", b"Bearer %GOOD%"), ("Authorization", b"Bearer %GOOD%"))),
    row("two Authorization fields, the second wrong", 400, "invalid_request",
        http(CHAT, None, ("authorization", b"Bearer %GOOD%"), ("authorization", "Bearer canary"))),
    row("two tokens in one field", 400, "invalid_request",
        http(CHAT, None, ("authorization", b"Bearer %GOOD%, Bearer %GOOD%"))),
    row("Authorization and another api-key", 400, "invalid_request", http(CHAT, None, ("api-key", "canary"))),
    row("Authorization and another x-api-key", 400, "invalid_request",
        http(MESSAGES, None, ("x-api-key", "canary")), "anthropic"),
    row("api-key and another x-api-key", 400, "invalid_request",
        http(CHAT, None, ("api-key", b"%GOOD%"), ("x-api-key", "canary"), without=["authorization"])),
    row("Authorization and an empty api-key", 400, "invalid_request", http(CHAT, None, ("api-key", ""))),
    row("Basic", 401, "missing_credentials", http(CHAT, None, ("authorization", "Basic Y2FuYXJ5OmNhbmFyeQ=="))),
    row("Basic with a right api-key", 401, "missing_credentials",
        http(CHAT, None, ("authorization", "Basic Y2FuYXJ5OmNhbmFyeQ=="), ("api-key", b"%GOOD%"))),
    row("Negotiate", 401, "missing_credentials", http(CHAT, None, ("authorization", "Negotiate canary"))),
    row("the token alone in Authorization", 401, "missing_credentials", http(CHAT, None, ("authorization", b"%GOOD%"))),
    row("a tab after Bearer", 401, "missing_credentials", http(CHAT, None, ("authorization", b"Bearer\t%GOOD%"))),
    row("Bearer and nothing", 400, "invalid_request", http(CHAT, None, ("authorization", "Bearer"))),
    row("an empty Authorization", 401, "missing_credentials", http(CHAT, None, ("authorization", ""))),
    row("the token in quotes", 400, "invalid_request", http(CHAT, None, ("authorization", b'Bearer "%GOOD%"'))),
    row("the token with bytes beyond ASCII", 400, "invalid_request",
        http(CHAT, None, ("authorization", b"Bearer %GOOD%\xe2\x80\x8b"))),
    row("the token in the query", 401, "missing_credentials",
        http(CHAT + "?access_token=%GOOD%", without=["authorization"])),
    row("the token as api-key in the query", 401, "missing_credentials",
        http(AZURE + "?api-version=2024-10-21&api-key=%GOOD%", without=["authorization"])),
    row("the token in a cookie", 401, "missing_credentials",
        http(CHAT, None, ("cookie", b"authorization=%GOOD%; access_token=%GOOD%"), without=["authorization"])),
    row("the token in the body", 401, "missing_credentials",
        http(CHAT, b"access_token=canary", ("content-type", "application/x-www-form-urlencoded"),
             without=["authorization"])),
    row("the token for the proxy", 401, "missing_credentials",
        http(CHAT, None, ("proxy-authorization", b"Bearer %GOOD%"), without=["authorization"])),
    row("an identity of somebody's making in place of a token", 401, "missing_credentials",
        http(CHAT, None, ("x-tenant-id", "canary"), ("x-user-id", "canary"), ("x-user-roles", "OrgAdmin"),
             ("x-sluicegate-upstream", "openai"), ("x-sluicegate-stream", "0"), without=["authorization"])),
    row("the verdict of somebody's making in place of a token", 401, "missing_credentials",
        http(CHAT, None, ("x-sluicegate-verdict", "allow"), ("x-sluicegate-upstream", "openai"),
             ("x-envoy-original-path", "/v1/models"), without=["authorization"])),
    row("an agent without credentials", 401, "missing_credentials", http("/agents/kb/ask", without=["authorization"])),
    row("an opaque route without credentials", 401, "missing_credentials", http("/v1/files", without=["authorization"])),
    row("models without credentials", 401, "missing_credentials",
        http("/v1/models", b"", method="GET", without=["authorization"])),
)  # fmt: skip

BODIES: Final = (
    sent("no body", "empty_body", b""),
    sent("duplicate keys", "duplicate_key", f'{{"model":"gpt-4o","model":"gpt-secret",{_TURN}}}'.encode()),
    sent("duplicate keys by an escape", "duplicate_key",
         f'{{"model":"gpt-4o","\\u006dodel":"gpt-secret",{_TURN}}}'.encode()),
    sent("duplicate keys far down", "duplicate_key",
         body(metadata=0).replace(b'"metadata": 0', b'"m":[{"a":{"b":1,"b":2}}]')),
    sent("a member of another case", "invalid_request", body(Model="gpt-secret")),
    sent("a member with a Turkish or Kelvin letter", "invalid_request", body(toKens=1, max_toKens=9_999_999)),
    sent("UTF-16", "not_utf8", _GOOD.decode().encode("utf-16")),
    sent("UTF-16 without a mark", "invalid_json", _GOOD.decode().encode("utf-16-le")),
    sent("UTF-32", "not_utf8", _GOOD.decode().encode("utf-32")),
    sent("a byte-order mark", "not_utf8", _BOM + _GOOD),
    sent("not UTF-8", "not_utf8", _GOOD.replace(b"Say", b"S\xe4y")),
    sent("overlong UTF-8", "not_utf8", _GOOD.replace(b"Say", b"S\xc0\xafy")),
    sent("half of a surrogate pair, escaped", "not_utf8", _GOOD.replace(b"Say", b"\\ud800")),
    sent("half of a surrogate pair, raw", "not_utf8", _GOOD.replace(b"Say", b"\xed\xa0\x80")),
    sent("a raw NUL", "invalid_json", _GOOD.replace(b"Say", b"S\0y")),
    sent("cut JSON", "invalid_json", _GOOD[:-1]),
    sent("two objects", "invalid_json", _GOOD + _GOOD),
    sent("an object and a NUL", "invalid_json", _GOOD + b"\0"),
    sent("JSON with a comment", "invalid_json", b"/* canary */" + _GOOD),
    sent("JSON with a comma too many", "invalid_json", _GOOD[:-1] + b",}"),
    sent("keys in single quotes", "invalid_json", _GOOD.replace(b'"', b"'")),
    sent("an array of requests", "not_an_object", b"[" + _GOOD + b"]"),
    sent("a text", "not_an_object", b'"canary"'),
    sent("null", "not_an_object", b"null"),
    sent("NaN", "invalid_json", body(temperature=float("nan"))),
    sent("minus Infinity", "invalid_json", body(temperature=float("-inf"))),
    sent("a float beyond every double", "invalid_json", body(seed=0).replace(b'"seed": 0', b'"seed": 1e999')),
    sent("an integer of 5,000 digits", "invalid_json", body(seed=0).replace(b'"seed": 0', b'"seed": ' + b"9" * 5000)),
    sent("an integer of 2 million digits", "invalid_json",
         body(seed=0).replace(b'"seed": 0', b'"seed": ' + b"9" * 2_000_000)),
    sent("nested 100 deep", "too_deep", body(x=0).replace(b'"x": 0', b'"x": ' + b"[" * 100 + b"]" * 100)),
    sent("nested 100,000 deep", "too_deep",
         body(x=0).replace(b'"x": 0', b'"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
    sent("100,000 brackets that are never closed", "too_deep", b'{"x":' + b"[" * 100_000),
    sent("gzip, said", "unsupported_content_encoding", gzip.compress(_GOOD), ("content-encoding", "gzip"), status=415),
    sent("gzip, not said", "not_utf8", gzip.compress(_GOOD)),
    sent("gzip said of plain JSON", "unsupported_content_encoding", _GOOD, ("content-encoding", "gzip"), status=415),
    sent("gzip said in another case", "unsupported_content_encoding", _GOOD, ("Content-Encoding", "GZip"), status=415),
    sent("identity and gzip", "unsupported_content_encoding", _GOOD,
         ("content-encoding", "identity"), ("content-encoding", "gzip"), status=415),
    sent("charset UTF-16", "unsupported_charset",
         _GOOD, ("content-type", "application/json; charset=utf-16"), status=415),
    sent("charset UTF-7", "unsupported_charset", _GOOD, ("content-type", "application/json;charset=UTF-7"), status=415),
    sent("two charsets", "unsupported_charset", _GOOD,
         ("content-type", "application/json; charset=utf-8; charset=utf-16"), status=415),
    sent("a charset in RFC 8187's form", "unsupported_charset", _GOOD,
         ("content-type", "application/json; charset*=utf-8''utf-16"), status=415),
    sent("a form", "unsupported_media_type", _GOOD, ("content-type", "application/x-www-form-urlencoded"), status=415),
    sent("parts", "unsupported_media_type", _GOOD, ("content-type", "multipart/form-data; boundary=canary"), status=415),
    sent("text", "unsupported_media_type", _GOOD, ("content-type", "text/plain"), status=415),
    sent("a kind of JSON", "unsupported_media_type", _GOOD, ("content-type", "application/json-patch+json"), status=415),
    sent("an empty content type", "unsupported_media_type", _GOOD, ("content-type", ""), status=415),
    sent("two content types", "unsupported_media_type", _GOOD,
         ("content-type", "application/json"), ("content-type", "text/plain"), status=415),
    sent("two content types in one", "unsupported_media_type",
         _GOOD, ("content-type", "application/json, text/plain"), status=415),
    row("no content type", 415, "unsupported_media_type", http(without=["content-type"])),
    row("a duplicate key, Anthropic", 400, "duplicate_key",
        http(MESSAGES, f'{{"model":"claude-sonnet-4-5","max_tokens":5,"max_tokens":6,{_TURN}}}'.encode()), "anthropic"),
    row("UTF-16, Anthropic", 400, "not_utf8", http(MESSAGES, _GOOD.decode().encode("utf-16")), "anthropic"),
)  # fmt: skip

CALLS: Final = (
    sent("no model", "invalid_request", json.dumps({"messages": [], "user": "canary"}).encode()),
    sent("a model that is a list", "invalid_request", body(model=["gpt-4o"])),
    sent("a model that is null", "invalid_request", body(model=None)),
    sent("a model with a line break", "invalid_request", body(model="gpt-4o\r\nx-sluicegate-upstream: canary")),
    sent("a model with a NUL", "invalid_request", body(model="gpt-4o\0canary")),
    sent("a model that is too long", "invalid_request", body(model="canary" * 100)),
    sent("a model that is not granted", "model_not_allowed", body(model="gpt-secret"), status=403),
    sent("a model of another case", "model_not_allowed", body(model="GPT-4o"), status=403),
    sent("a model with a space", "model_not_allowed", body(model="gpt-4o "), status=403),
    sent("a model in wide letters", "model_not_allowed", body(model="\uff47pt-4o"), status=403),
    sent("a model that is a path", "model_not_allowed", body(model="../gpt-secret"), status=403),
    sent("messages that are a text", "invalid_request", body(messages="Say.")),
    sent("stream is a text", "invalid_request", body(stream="true")),
    sent("stream is a number", "invalid_request", body(stream=1)),
    sent("stream options are a list", "invalid_request", body(stream=True, stream_options=[])),
    sent("more output than allowed", "output_ceiling_exceeded", body(max_tokens=4097), status=403),
    sent("more output than allowed, in the other member", "output_ceiling_exceeded",
         body(max_tokens=1, max_completion_tokens=9999), status=403),
    sent("output below nothing", "invalid_request", body(max_tokens=-1)),
    sent("output as a float", "invalid_request", body(max_tokens=1e300)),
    sent("output as a text", "invalid_request", body(max_tokens="99999")),
    sent("a million answers", "invalid_request", body(n=1_000_000)),
    sent("tools that are an object", "invalid_request", body(tools={"type": "mcp"})),
    sent("a tool without a type", "invalid_request", body(tools=[{"name": "canary"}])),
    sent("a search that is not granted", "tool_not_allowed", body(web_search_options={}), status=403),
    sent("data of the provider's that is not granted", "tool_not_allowed",
         body(data_sources=[{"type": "x"}]), status=403),
    row("a background response", 400, "unsupported_parameter",
        http("/v1/responses", body(input="canary", background=True))),
    row("a stored prompt that is not granted", 403, "tool_not_allowed",
        http("/v1/responses", body(input="canary", prompt={"id": "pmpt_canary"}))),
    row("a hosted MCP server that is not granted", 403, "tool_not_allowed",
        http("/v1/responses", body(input="canary", tools=[{"type": "mcp", "server_url": "https://canary.example"}]))),
    row("an MCP server of Anthropic's that is not granted", 403, "tool_not_allowed",
        http(MESSAGES, body(model="claude-sonnet-4-5", max_tokens=5, mcp_servers=[{"url": "https://canary.example"}])),
        "anthropic"),
    row("a search of Anthropic's that is not granted", 403, "tool_not_allowed",
        http(MESSAGES, body(model="claude-sonnet-4-5", max_tokens=5, tools=[{"type": "web_search_20250305"}])),
        "anthropic"),
    row("a model of OpenAI's asked in Anthropic's words", 404, "model_not_found",
        http(MESSAGES, body(model="prod-4o", max_tokens=5)), "anthropic"),
    row("a model of Anthropic's asked in OpenAI's words", 404, "model_not_found",
        http(CHAT, body(model="claude-sonnet-4-5"))),
    row("Azure without a version", 400, "invalid_api_version", http(AZURE)),
    row("Azure with a version that is a path", 400, "invalid_api_version", http(AZURE + "?api-version=../canary")),
    row("Azure with two versions", 400, "invalid_api_version",
        http(AZURE + "?api-version=2024-10-21&api-version=2023-01-01")),
    row("Azure with a second version in another case", 400, "invalid_api_version",
        http(AZURE + "?api-version=2024-10-21&API-Version=2023-01-01")),
    row("Azure with a second version, escaped", 400, "invalid_api_version",
        http(AZURE + "?api-version=2024-10-21&api%2Dversion=2023-01-01")),
    row("Azure with a deployment that is not granted", 403, "model_not_allowed",
        http("/openai/deployments/gpt-secret/chat/completions?api-version=2024-10-21", body(model="prod-4o"))),
    row("a model by its address that is not granted", 404, "model_not_found",
        http("/v1/models/gpt-secret", b"", method="GET")),
    row("an agent's path that is not granted", 403, "path_not_allowed", http("/agents/kb/admin")),
    row("an agent's method that is not granted", 403, "path_not_allowed", http("/agents/kb/ask", method="DELETE")),
    row("an agent's path of another case", 403, "path_not_allowed", http("/agents/kb/Ask")),
    row("a file's method that is not granted", 403, "path_not_allowed", http("/v1/files", b"", method="DELETE")),
)  # fmt: skip

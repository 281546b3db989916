"""The request line, understood or refused.

An exact table: no path is normalised, decoded or guessed. What is not in it, and not configured as an agent or an opaque
route, is not found.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from extproc.call import Endpoint, Operation
from extproc.catalogue import Catalogue
from extproc.exchange import Dialect, Request
from extproc.outcome import Reject
from extproc.paths import is_normal, is_query

_OPENAI_CALLS: Final = {
    "/chat/completions": Operation.CHAT,
    "/completions": Operation.COMPLETIONS,
    "/responses": Operation.RESPONSES,
    "/embeddings": Operation.EMBEDDINGS,
}
_ANTHROPIC_CALLS: Final = {
    "/v1/messages": Operation.MESSAGES,
    "/v1/messages/count_tokens": Operation.COUNT_TOKENS,
}
_OPENAI_ROOTS: Final = ("/v1", "/openai/v1")
_ANTHROPIC_ROOTS: Final = ("", "/anthropic")
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_DEPLOYMENT: Final = re.compile(rf"/openai/deployments/({_NAME})(/chat/completions|/completions|/embeddings)")
# SDKs escape the slash of `org/model`. The name is only looked up: nothing with this path goes up.
_MODEL: Final = re.compile(rf"(?:/v1|/openai/v1|/openai|/anthropic/v1)/models/({_NAME}(?:(?:::|[:/@]|%2F){_NAME})*)")
_MODELS: Final = ("/v1/models", "/openai/v1/models", "/openai/models", "/anthropic/v1/models")
_AGENT: Final = re.compile(r"/agents/([a-z0-9][a-z0-9_-]{0,62})(/.*)")
_API_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?|preview|latest|v1")


def _exact() -> dict[str, Endpoint]:
    openai = {root + path: (call, Dialect.OPENAI) for root in _OPENAI_ROOTS for path, call in _OPENAI_CALLS.items()}
    anthropic = {
        root + path: (call, Dialect.ANTHROPIC) for root in _ANTHROPIC_ROOTS for path, call in _ANTHROPIC_CALLS.items()
    }
    return {path: Endpoint(call, dialect, has_payload=True) for path, (call, dialect) in {**openai, **anthropic}.items()}


_CALLS: Final = _exact()
_AZURE_RESPONSES: Final = "/openai/responses"


def covered_calls(pattern: str) -> list[str]:
    """The calls that an opaque route's pattern ending in `/*` would cover."""
    prefix = pattern.removesuffix("*")
    below = [path for path in (*_CALLS, _AZURE_RESPONSES, "/openai/deployments/") if path.startswith(prefix)]
    return below if pattern.endswith("/*") else [path for path in below if path == pattern]


def dialect_of(request: Request) -> Dialect:
    """The dialect in which a request is answered that is not otherwise understood.

    Envoy's own replies choose by the same table: `dialects` in `envoy/local-replies.yaml`.
    """
    path = request.path
    if path.startswith(("/v1/messages", "/anthropic/")):
        return Dialect.ANTHROPIC
    if path.startswith("/mcp"):
        return Dialect.JSONRPC
    if "anthropic-version" in request.headers and path.startswith("/v1/models"):
        return Dialect.ANTHROPIC
    return Dialect.OPENAI


def match(request: Request, catalogue: Catalogue) -> Endpoint | Reject:
    """The endpoint that a request line names, or the refusal."""
    path = request.path
    if request.query and not is_query(request.query):
        return Reject(400, "invalid_query", "The query of this URL holds characters that no query may hold.")
    if "upgrade" in request.headers:
        return Reject(400, "upgrade_not_supported", "This gateway does not upgrade connections.")
    exact = _CALLS.get(path)
    if exact is not None:
        if request.method != "POST":
            return _not_found(request)
        return exact
    if path.startswith("/openai/") and (azure := _azure(request)) is not None:
        return azure
    if (models := _models(request)) is not None:
        return models
    return _configured(request, catalogue) or _not_found(request)


def _azure(request: Request) -> Endpoint | Reject | None:
    deployment = _DEPLOYMENT.fullmatch(request.path)
    if deployment is None and request.path != _AZURE_RESPONSES:
        return None
    if request.method != "POST":
        return _not_found(request)
    # Azure's parameter names know no case: another spelling would be a second version.
    pairs = parse_qsl(request.query, keep_blank_values=True)
    versions = [value for key, value in pairs if key.lower() == "api-version"]
    if len(versions) != 1 or not _API_VERSION.fullmatch(versions[0]):
        return Reject(400, "invalid_api_version", "Expected one `api-version` query parameter, such as 2024-10-21.")
    if deployment is None:
        return Endpoint(Operation.RESPONSES, Dialect.OPENAI, has_payload=True, api_version=versions[0])
    return Endpoint(
        _OPENAI_CALLS[deployment[2]],
        Dialect.OPENAI,
        has_payload=True,
        deployment=deployment[1],
        api_version=versions[0],
    )


def _models(request: Request) -> Endpoint | None:
    if request.method != "GET":
        return None
    dialect = dialect_of(request)
    if request.path in _MODELS:
        return Endpoint(Operation.MODELS, dialect)
    one = _MODEL.fullmatch(request.path)
    return Endpoint(Operation.MODEL, dialect, model=one[1].replace("%2F", "/")) if one else None


def _configured(request: Request, catalogue: Catalogue) -> Endpoint | None:
    """Agents and opaque routes. Their paths are matched by rules, so they must have one reading only."""
    if not is_normal(request.path):
        return None
    agent = _AGENT.fullmatch(request.path)
    if agent is not None:
        known = catalogue.agent(agent[1])
        return Endpoint(Operation.AGENT, Dialect.OPENAI, route=agent[1], rest=agent[2]) if known else None
    for route in catalogue.opaque:
        if route.matches(request.method, request.path):
            return Endpoint(Operation.OPAQUE, dialect_of(request), route=route.name)
    return None


# What base URLs commonly get wrong, and what to say of it. No word of the request is repeated.
_HINTS: Final = (
    (re.compile(r"/v1/v1/.*"), "`/v1` stands twice: a base URL for Anthropic's SDKs ends without it."),
    (
        re.compile(r"/(chat/completions|completions|responses|embeddings|models)"),
        "`/v1` is missing: a base URL for OpenAI's SDKs ends in it.",
    ),
    (re.compile(r"/agents/[^/]*"), "Agents are at `/agents/{name}/`, with a slash at the end."),
    (re.compile(r"/agents/[^/]*/.*"), "There is no agent of this name, or its path is not in normal form."),
)


def _not_found(request: Request) -> Reject:
    hint = next((words for pattern, words in _HINTS if pattern.fullmatch(request.path)), None)
    return Reject(
        404,
        "unknown_endpoint",
        f"This gateway has no such endpoint. {hint or 'Check the base URL, the path and the method.'}",
        why=f"{request.method} {request.loggable_path}",
    )

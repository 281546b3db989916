"""Which upstream takes a call, and by which path it is asked there. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

from extproc.call import Call, Endpoint, Operation
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.exchange import Request

_OPENAI_PATHS: Final = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETIONS: "/completions",
    Operation.RESPONSES: "/responses",
    Operation.EMBEDDINGS: "/embeddings",
}
_ANTHROPIC_PATHS: Final = {
    Operation.MESSAGES: "/v1/messages",
    Operation.COUNT_TOKENS: "/v1/messages/count_tokens",
}
# A deployment becomes a path segment: anything that would need an escape there is no deployment.
_DEPLOYMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# RFC 6750 section 2.3, Google, Azure and API Management take credentials from the query.
_QUERY_CREDENTIALS: Final = frozenset({"access_token", "api-key", "api_key", "key", "subscription-key"})
_CLIENT_ROOT: Final = re.compile(r"/openai/v1(?=/)|/v1(?=/)")


def choose(endpoint: Endpoint, call: Call, request: Request, catalogue: Catalogue) -> Target | None:
    """The target of a call, or None if nothing serves it."""
    if endpoint.operation is Operation.AGENT:
        agent = catalogue.agent(endpoint.route or "")
        return Target(agent.name, _with_query(agent.base_path + (endpoint.rest or "/"), request.query)) if agent else None
    if endpoint.operation is Operation.OPAQUE:
        return _opaque(endpoint, request, catalogue)
    if call.model is None or endpoint.operation is Operation.MODEL:
        return None
    found = catalogue.find(endpoint.dialect, call.model)
    return _llm(endpoint, request, call.model, *found) if found else None


def _llm(endpoint: Endpoint, request: Request, asked: str, upstream: Upstream, entry: Model) -> Target | None:
    model = entry.target or asked
    base = upstream.base_path
    query = _for_provider(request.query, keep_version=False)
    match upstream.provider:
        case Provider.ANTHROPIC:
            path = base + _ANTHROPIC_PATHS[endpoint.operation]
        case Provider.AZURE if upstream.api_version is not None:
            if not _DEPLOYMENT.fullmatch(model):
                return None
            root = base if base.endswith("/openai") else base + "/openai"
            suffix = _OPENAI_PATHS[endpoint.operation]
            in_path = endpoint.operation is not Operation.RESPONSES
            path = f"{root}/deployments/{model}{suffix}" if in_path else root + suffix
            version = urlencode({"api-version": endpoint.api_version or upstream.api_version})
            query = f"{version}&{query}" if query else version
        case Provider.AZURE:
            path = (base or "/openai/v1") + _OPENAI_PATHS[endpoint.operation]
        case Provider.OPENAI:
            path = base + _OPENAI_PATHS[endpoint.operation]
    return Target(upstream.name, _with_query(path, query), upstream.provider, model)


def _opaque(endpoint: Endpoint, request: Request, catalogue: Catalogue) -> Target | None:
    """An opaque route keeps its path below the API's root: `/v1/files` is `/openai/v1/files` on Azure."""
    route = next((route for route in catalogue.opaque if route.name == endpoint.route), None)
    upstream = catalogue.upstream(route.upstream) if route else None
    if upstream is None:
        return None
    path = request.path
    if upstream.provider is not Provider.ANTHROPIC and (root := _CLIENT_ROOT.match(path)):
        path = path[root.end() :]
        base = upstream.base_path or ("/openai/v1" if upstream.provider is Provider.AZURE else "")
    else:
        base = upstream.base_path
    return Target(upstream.name, _with_query(base + path, _for_provider(request.query)), upstream.provider)


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _for_provider(query: str, *, keep_version: bool = True) -> str:
    """The client's query, less credentials, and less the parameter that only Azure's own paths carry.

    Names are compared decoded and without case, as the most lenient reader would: `API%2DVersion` is a version too.
    """
    if not query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [
        (name, value)
        for name, value in pairs
        if (lower := name.lower()) not in _QUERY_CREDENTIALS and (keep_version or lower != "api-version")
    ]
    return query if kept == pairs else urlencode(kept)

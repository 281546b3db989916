"""A small gateway in plain values: what the tests of the host's pure modules ask about."""

from __future__ import annotations

from typing import Final

from extproc.call import Endpoint
from extproc.catalogue import Agent, Catalogue, Model, Opaque, Provider, Upstream
from extproc.endpoints import match
from extproc.exchange import Exchange, Headers, Request
from extproc.outcome import Reject

CATALOGUE: Final = Catalogue(
    upstreams=(
        Upstream(
            "openai",
            Provider.OPENAI,
            "/v1",
            models=(Model("gpt-4o"), Model("fast", "gpt-4o-mini"), Model("ft:*", output_field="max_tokens"), Model("o?")),
        ),
        Upstream(
            "azure", Provider.AZURE, "", "2024-10-21", models=(Model("prod"), Model("alias", "dep-1"), Model("az-*"))
        ),
        Upstream("azure-v1", Provider.AZURE, "/openai/v1", models=(Model("v1-4o"),)),
        Upstream("azure-bare", Provider.AZURE, "", models=(Model("bare"),)),
        Upstream("anthropic", Provider.ANTHROPIC, "", models=(Model("claude-sonnet"),), identity_headers=True),
        Upstream("claude-proxy", Provider.ANTHROPIC, "/proxy", models=(Model("claude-proxied"),)),
    ),
    agents=(Agent("kb", "/base"), Agent("tools", forward_token=True), Agent("quiet", identity_headers=False)),
    opaque=(
        Opaque("files", "/v1/files", "openai"),
        Opaque("file", "/v1/files/*", "openai", frozenset({"GET", "DELETE"})),
        Opaque("azure-files", "/openai/v1/files", "azure-v1"),
        Opaque("azure-batches", "/v1/batches", "azure-bare"),
        Opaque("claude-batches", "/v1/messages/batches", "claude-proxy"),
        Opaque("lost", "/v1/lost", "nowhere"),
    ),
)


def request(
    path: str = "/v1/chat/completions",
    method: str = "POST",
    *,
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),),
) -> Request:
    """A request as the conversation reads it. `path` may hold a query."""
    stem, _, query = path.partition("?")
    return Request(method, stem, query, "gateway.example", "https", Headers(headers), "req-1")


def exchange(of: Request | None = None) -> Exchange:
    return Exchange("ex-1", of or request())


def endpoint(path: str, method: str = "POST") -> Endpoint:
    """The endpoint of a request line that there is one for."""
    found = match(request(path, method), CATALOGUE)
    assert not isinstance(found, Reject), found
    return found

"""A small gateway to decide about: upstreams, agents, opaque routes, permissions of every sort, and callers."""

from __future__ import annotations

from typing import Any

from extproc.call import Call, Endpoint, Operation
from extproc.catalogue import Agent, Catalogue, Model, Opaque, Provider, Upstream
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.access.grants import Grants, compile_grants
from policies.access.settings import AccessSettings

CATALOGUE = Catalogue(
    upstreams=(
        Upstream(
            "cloud",
            Provider.OPENAI,
            models=(Model("gpt-4o"), Model("gpt-4o-mini"), Model("o3"), Model("text-embedding-3-small"), Model("ft:*")),
        ),
        Upstream("azure-east", Provider.AZURE, models=(Model("gpt-5"),)),
        Upstream("local", Provider.OPENAI, models=(Model("llama-3"), Model("gpt-4o"), Model("ft:mine"))),
        Upstream("claude", Provider.ANTHROPIC, models=(Model("claude-sonnet"), Model("claude-haiku"))),
    ),
    agents=(Agent("kb"), Agent("tools")),
    opaque=(
        Opaque("files", "/v1/files", "cloud"),
        Opaque("file", "/v1/files/*", "cloud"),
        Opaque("batches", "/v1/batches", "azure-east"),
    ),
)

GROUP = "6f1c2d3e-0000-4000-8000-000000000001"

SETTINGS: dict[str, Any] = {
    "permissions": {
        "ask": {
            "operations": ["chat", "responses", "messages", "count_tokens", "models"],
            "models": ["gpt-4o*", "claude-*"],
            "max_output_tokens": 1000,
        },
        "ask_at_length": {"operations": ["chat"], "models": ["gpt-4o"], "max_output_tokens": 4000},
        "ask_without_end": {"operations": ["chat"], "models": ["gpt-4o-mini"]},
        "embed": {"operations": ["embeddings"], "models": ["text-embedding-3-small"], "max_output_tokens": 1},
        "search_web": {
            "operations": ["responses"],
            "models": ["gpt-4o"],
            "hosted_tools": ["web_search*"],
            "max_output_tokens": 500,
        },
        "run_code": {"operations": ["responses"], "models": ["gpt-4o"], "hosted_tools": ["code_interpreter"]},
        "at_home": {"operations": ["chat", "completions"], "models": ["*"], "upstreams": ["local"]},
        "in_azure": {"operations": ["chat"], "models": ["*"], "upstreams": ["azure-*"]},
        "read_kb": {"agents": [{"name": "kb", "methods": ["GET"], "paths": ["/search", "/docs/**"]}]},
        "run_tools": {"agents": ["tools"]},
        "send_files": {"opaque": [{"name": "files", "methods": ["POST"]}]},
        "own_files": {"opaque": ["file*"]},
        "own_azure": {"opaque": ["*"], "upstreams": ["azure-*"]},
        "list": {"operations": ["models"]},
        "a_name_only": {},
    },
    "roles": {
        "Asker": ["ask"],
        "Person": {"permissions": ["ask"], "callers": ["user"]},
        "Machine": {"permissions": ["ask", "embed"], "callers": ["app"]},
        "Writer": ["ask", "ask_at_length"],
        "Novelist": ["ask", "ask_at_length", "ask_without_end"],
        "Embedder": ["embed"],
        "Searcher": ["ask", "search_web"],
        "Coder": ["run_code"],
        "Researcher": ["search_web", "run_code"],
        "Homebody": ["at_home"],
        "Azure": ["in_azure", "own_azure"],
        "Reader": ["read_kb"],
        "Tooler": ["run_tools"],
        "Sender": ["send_files"],
        "Filer": ["own_files"],
        "Lister": ["list"],
        "Idle": ["a_name_only"],
        "Nothing": [],
        "Root": ["*"],
    },
    "groups": {GROUP: ["ask_at_length", "embed", "run_tools"]},
}

GRANTS = compile_grants(AccessSettings.model_validate(SETTINGS), CATALOGUE)


def grants(**settings: Any) -> Grants:
    return compile_grants(AccessSettings.model_validate(settings), CATALOGUE)


def person(
    *roles: str, groups: tuple[str, ...] = (), groups_known: bool = True, scopes: tuple[str, ...] = ()
) -> Identity:
    return Identity(
        tenant="t-1",
        user="u-1",
        app="a-1",
        kind=CallerKind.USER,
        roles=frozenset(roles),
        groups=frozenset(groups),
        groups_known=groups_known,
        scopes=frozenset(scopes),
    )


def machine(*roles: str) -> Identity:
    return Identity(tenant="t-1", user="sp-1", app="a-2", kind=CallerKind.APP, roles=frozenset(roles))


def call(operation: str, model: str | None, *, max_output: int | None = None, tools: tuple[str, ...] = ()) -> Call:
    dialect = Dialect.ANTHROPIC if operation in ("messages", "count_tokens") else Dialect.OPENAI
    return Call(Operation(operation), dialect, model=model, max_output=max_output, hosted_tools=tools)


def endpoint(operation: str, *, route: str | None = None, rest: str | None = None, model: str | None = None) -> Endpoint:
    dialect = Dialect.ANTHROPIC if operation in ("messages", "count_tokens") else Dialect.OPENAI
    return Endpoint(Operation(operation), dialect, route=route, rest=rest, model=model)

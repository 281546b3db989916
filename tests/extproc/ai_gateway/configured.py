"""Settings for the tests of the AI Gateway profile, and a look into its documents."""

from __future__ import annotations

from typing import Any

from extproc.ai_gateway.resources import Options, resources
from extproc.settings import Settings, parse

UPSTREAMS: list[dict[str, Any]] = [
    {
        "name": "azure_east",
        "provider": "azure",
        "url": "https://contoso.openai.azure.com",
        "api_version": "2024-10-21",
        "credential": {"env": "AZURE_KEY"},
        "models": ["gpt-4o"],
    },
    {
        "name": "openai",
        "provider": "openai",
        "url": "https://api.openai.com/v1",
        "credential": {"env": "OPENAI_KEY"},
        "models": ["gpt-5"],
    },
    {
        "name": "anthropic",
        "provider": "anthropic",
        "url": "https://api.anthropic.com",
        "credential": {"file": "/run/secrets/anthropic"},
        "models": ["claude-x"],
    },
    {"name": "local", "provider": "openai", "url": "http://vllm.models.svc:8000/v1", "models": ["llama"]},
]
AGENTS: list[dict[str, Any]] = [{"name": "kb", "url": "http://kb.agents.svc:8000/base"}]


def configured(**changes: Any) -> Settings:
    """Settings with a provider of each kind and an agent. `changes` replace sections."""
    tree: dict[str, Any] = {"upstreams": UPSTREAMS, "agents": AGENTS, "policies": [{"policy": "access"}]}
    return parse({**tree, **changes})


def upstream(**changes: Any) -> dict[str, Any]:
    """An upstream that asks for nothing special, with changes."""
    return {"name": "one", "provider": "openai", "url": "https://api.example/v1", "models": ["m"], **changes}


def documents(
    *, standalone: bool = False, told: tuple[str, ...] = (), options: Options | None = None, **changes: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """The documents by kind and name. No two have both in common: `aigw` would leave one of them out."""
    made = resources(configured(**changes), standalone=standalone, options=options or Options(), response_fields=told)
    found = {(document["kind"], document["metadata"]["name"]): document for document in made}
    assert len(found) == len(made)
    return found


def of_kind(found: dict[tuple[str, str], dict[str, Any]], kind: str) -> dict[str, Any]:
    """What the documents of one kind specify, by name."""
    return {name: document.get("spec") for (its, name), document in found.items() if its == kind}

"""Providers: the API that each speaks, how its certificate is judged, what it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extproc.ai_gateway.backends import schema
from extproc.settings import UpstreamEntry
from tests.extproc.ai_gateway.configured import documents, of_kind, upstream


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"url": "https://api.openai.com/v1"}, {"name": "OpenAI", "prefix": "/v1"}),
        ({"url": "https://gemini.example/v1beta/openai"}, {"name": "OpenAI", "prefix": "/v1beta/openai"}),
        # AI Gateway takes no prefix for /v1.
        ({"url": "https://api.example"}, {"name": "OpenAI", "prefix": "/"}),
        ({"provider": "azure", "url": "https://a.example"}, {"name": "OpenAI", "prefix": "/openai/v1"}),
        ({"provider": "azure", "url": "https://a.example/openai/v1"}, {"name": "OpenAI", "prefix": "/openai/v1"}),
        (
            {"provider": "azure", "url": "https://a.example", "api_version": "2024-10-21"},
            {"name": "AzureOpenAI", "version": "2024-10-21"},
        ),
        ({"provider": "anthropic", "url": "https://api.anthropic.com"}, {"name": "Anthropic", "prefix": "/v1"}),
        ({"provider": "anthropic", "url": "https://a.example/claude"}, {"name": "Anthropic", "prefix": "/claude/v1"}),
    ],
)
def test_schemas(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert schema(UpstreamEntry.model_validate(upstream(**changes))) == expected


def test_each_provider_is_shown_its_key_in_its_own_way() -> None:
    policies = of_kind(documents(), "BackendSecurityPolicy")
    assert {name: spec["type"] for name, spec in policies.items()} == {
        "sluicegate-azure-east": "AzureAPIKey",
        "sluicegate-openai": "APIKey",
        "sluicegate-anthropic": "AnthropicAPIKey",
    }
    for name, member in (("azure-east", "azureAPIKey"), ("openai", "apiKey"), ("anthropic", "anthropicAPIKey")):
        spec = policies[f"sluicegate-{name}"]
        assert spec[member] == {"secretRef": {"name": f"sluicegate-{name}"}}
        assert [target["name"] for target in spec["targetRefs"]] == [f"sluicegate-{name}"]
        # Exactly one of them may be there.
        assert set(spec) == {"targetRefs", "type", member}


def test_in_a_cluster_secrets_are_made_by_somebody_else() -> None:
    assert of_kind(documents(), "Secret") == {}


def test_standalone_secrets_say_where_the_key_is_and_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_KEY", "sk-not-to-be-seen")
    found = documents(standalone=True)
    annotations = {name: made["metadata"]["annotations"] for (kind, name), made in found.items() if kind == "Secret"}
    assert annotations == {
        "sluicegate-azure-east": {"substitution.aigw.run/env/apiKey": "AZURE_KEY"},
        "sluicegate-openai": {"substitution.aigw.run/env/apiKey": "OPENAI_KEY"},
        "sluicegate-anthropic": {"substitution.aigw.run/file/apiKey": "/run/secrets/anthropic"},
    }
    assert "sk-not-to-be-seen" not in json.dumps([*found.values()])


def test_certificates_are_judged_by_the_host_name_and_the_systems_authorities() -> None:
    found = documents()
    policies = of_kind(found, "BackendTLSPolicy")
    assert policies["sluicegate-openai"] == {
        "targetRefs": [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "sluicegate-openai"}],
        "validation": {"wellKnownCACertificates": "System", "hostname": "api.openai.com"},
    }
    # What is reached by http has none.
    assert set(policies) == {"sluicegate-azure-east", "sluicegate-openai", "sluicegate-anthropic"}
    assert of_kind(found, "Backend")["sluicegate-openai"] == {
        "endpoints": [{"fqdn": {"hostname": "api.openai.com", "port": 443}}]
    }


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://10.1.2.3:8000/v1", {"ip": {"address": "10.1.2.3", "port": 8000}}),
        ("http://[fd00::1]/v1", {"ip": {"address": "fd00::1", "port": 80}}),
        ("http://vllm.models.svc/v1", {"fqdn": {"hostname": "vllm.models.svc", "port": 80}}),
    ],
)
def test_places(url: str, endpoint: dict[str, Any]) -> None:
    found = documents(upstreams=[upstream(url=url)])
    assert of_kind(found, "Backend")["sluicegate-one"] == {"endpoints": [endpoint]}


def test_providers_are_told_neither_our_routing_nor_where_a_request_came_from() -> None:
    for spec in of_kind(documents(), "AIServiceBackend").values():
        removed = spec["headerMutation"]["remove"]
        assert {"x-sluicegate-upstream", "x-sluicegate-stream", "x-forwarded-for"} <= set(removed)
        # The most that AI Gateway takes.
        assert len(removed) <= 16

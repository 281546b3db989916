"""What somebody must do beside applying the documents is said, and no secret with it."""

from __future__ import annotations

import pytest

from extproc.ai_gateway.notes import notes
from extproc.ai_gateway.resources import Options
from tests.extproc.ai_gateway.configured import AGENTS, configured
from tests.extproc.ai_gateway.test_policy_server import SERVICE, TLS


def test_in_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_KEY", "sk-not-to-be-seen")
    settings = configured(
        server={**SERVICE, "workers": 2, "tls": TLS, "profile": "ai-gateway"},
        listen={"tls": {"certificate": "/l.crt", "key": "/l.key"}},
        agents=[{**AGENTS[0], "credential": {"env": "KB_KEY"}}],
    )
    assert notes(settings, Options(namespace="edge"), standalone=False)[1:] == [
        "Secrets that must be there, in the namespace edge:",
        "  sluicegate-azure-east: apiKey = what is in the variable AZURE_KEY",
        "  sluicegate-openai: apiKey = what is in the variable OPENAI_KEY",
        "  sluicegate-anthropic: apiKey = what is in the file /run/secrets/anthropic",
        "  sluicegate-agent-kb: credential = `Bearer`, a space, and what is in the variable KB_KEY",
        "  sluicegate-envoy-tls: tls.crt, tls.key, ca.crt = `server.tls.envoy`",
        "  sluicegate-listen-tls: tls.crt, tls.key = `listen.tls`",
        "The policy server is the Service sluicegate-policy, ports 50051, 50052, 50053.",
    ]


def test_a_sidecar() -> None:
    settings = configured(server={"listen": "unix:/run/sg/policy.sock", "profile": "ai-gateway"})
    assert notes(settings, Options(), standalone=False)[-1] == "  /run/sg/policy.sock"


def test_standalone() -> None:
    said = "\n".join(notes(configured(listen={"port": 8181}), Options(envoy_version="1.38.3"), standalone=True))
    assert "port 8181 of every address" in said
    assert "envoy-versions/1.38.3/bin/envoy" in said
    assert "the variable OPENAI_KEY, the file /run/secrets/anthropic" in said
    # What serves must make paths for AI Gateway.
    assert "`server.profile: ai-gateway`" in said

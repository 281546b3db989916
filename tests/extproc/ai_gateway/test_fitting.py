"""What the profile cannot serve is said, with its place."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.ai_gateway.fitting import misfits
from extproc.ai_gateway.resources import Options
from tests.extproc.ai_gateway.configured import AGENTS, configured, documents, upstream

FILES = {"certificate": "/c.crt", "key": "/c.key"}
TLS = {**FILES, "client_ca": "/ca.crt", "envoy": {**FILES, "ca": "/ca.crt", "server_name": "policy.sg"}}


def found(standalone: bool, told: tuple[str, ...] = (), **changes: Any) -> list[str]:
    return misfits(configured(**changes), Options(), standalone=standalone, told=told)


EVERYWHERE: list[tuple[dict[str, Any], str]] = [
    ({"upstreams": []}, "upstreams: AI Gateway is for providers"),
    (
        {"opaque": [{"name": "files", "path": "/v1/files", "upstream": "openai"}]},
        "opaque[0]: AI Gateway answers 404 to /v1/files",
    ),
    (
        {"upstreams": [upstream(provider="azure", url="https://a.example/east", api_version="2024-10-21")]},
        "upstreams[0].url: with `api_version` AI Gateway asks Azure below /openai, never below /east",
    ),
    ({"listen": {"port": 0}}, "listen.port: 0"),
    ({"listen": {"cors": {"allow_origins": ["https://a.example"]}}}, "listen.cors: "),
    (
        {"upstreams": [upstream(url="https://10.0.0.1/v1")]},
        "upstreams[0].url: Envoy Gateway judges certificates by a host",
    ),
    (
        {"agents": [{"name": "kb", "url": "https://10.0.0.1"}]},
        "agents[0].url: Envoy Gateway judges certificates by a host",
    ),
    (
        {"upstreams": [upstream(url="http://a_b.example/v1")]},
        "upstreams[0].url: a_b.example is no host name to Kubernetes",
    ),
    (
        {"upstreams": [upstream(name="a_b"), upstream(name="a-b")]},
        "upstreams[1].name: a-b and another are both a-b in Kubernetes",
    ),
    (
        {"agents": [{"name": "x", "url": "http://a.example"}, {"name": "x_", "url": "http://a.example"}]},
        "agents[1].name: x_ and another are both x in Kubernetes",
    ),
]
STANDALONE: list[tuple[dict[str, Any], str]] = [
    *(({"listen": {"port": port}}, f"listen.port: {port} is one of the ports") for port in (1061, 9856, 18001, 19003)),
    ({"listen": {"tls": FILES}}, "listen.tls: "),
    ({"server": {"listen": "127.0.0.1:50051", "tls": TLS}}, "server.tls: "),
    ({"agents": [{**AGENTS[0], "credential": {"env": "KEY"}}]}, "agents[0].credential: "),
]
CLUSTER: list[tuple[dict[str, Any], str]] = [
    *(({"server": {"listen": f"{host}:50051"}}, "server.listen: ") for host in ("127.0.0.1", "localhost", "[::1]")),
    ({"server": {"listen": "0.0.0.0:50051", "workers": 17}}, "server.workers: 17"),
    (
        {"upstreams": [upstream(url="http://127.0.0.1:8000/v1")]},
        "upstreams[0].url: nobody in a cluster reaches 127.0.0.1",
    ),
    (
        {"upstreams": [upstream(url="http://localhost:8000/v1")]},
        "upstreams[0].url: Envoy Gateway takes no name of one part",
    ),
    ({"agents": [{"name": "kb", "url": "http://kb:8000"}]}, "agents[0].url: Envoy Gateway takes no name of one part"),
]


@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize(("changes", "mistake"), EVERYWHERE)
def test_what_it_never_serves(changes: dict[str, Any], mistake: str, standalone: bool) -> None:
    said = found(standalone, **changes)
    assert any(line.startswith(mistake) for line in said), said


@pytest.mark.parametrize(("changes", "mistake"), STANDALONE)
def test_what_it_does_not_serve_on_one_machine(changes: dict[str, Any], mistake: str) -> None:
    said = found(True, **changes)
    assert [line.startswith(mistake) for line in said] == [True], said
    assert not any(line.startswith(mistake) for line in found(False, **changes))


@pytest.mark.parametrize(("changes", "mistake"), CLUSTER)
def test_what_it_does_not_serve_in_a_cluster(changes: dict[str, Any], mistake: str) -> None:
    said = found(False, **changes)
    assert [line.startswith(mistake) for line in said] == [True], said
    assert found(True, **changes) == []


@pytest.mark.parametrize("standalone", [False, True])
def test_what_it_serves(standalone: bool) -> None:
    assert found(standalone, told=tuple(f"x-{number}" for number in range(40))) == []
    assert (
        found(standalone, upstreams=[upstream(provider="azure", url="https://a.example/openai", api_version="v1")]) == []
    )


def test_as_many_fields_of_answers_as_envoy_gateway_takes() -> None:
    names = tuple(f"x-{number}" for number in range(64))
    fit = max(number for number in range(65) if found(True, told=names[:number]) == [])
    policy = documents(told=names[:fit])["ClientTrafficPolicy", "sluicegate"]["spec"]
    assert len(policy["headers"]["lateResponseHeaders"]["set"]) == 64

"""The configuration: every mistake has its path, and no secret is repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extproc.catalogue import Agent, Catalogue, Model, Opaque, Provider, Upstream
from extproc.configured import read_tree
from extproc.mistakes import ConfigurationError
from extproc.policy import FailureMode
from extproc.price_list import PriceList
from extproc.settings import Settings, parse
from extproc.tariff import Terms

LEAST: dict[str, Any] = {"policies": [{"policy": "p"}]}
UPSTREAM: dict[str, Any] = {"name": "up", "provider": "openai", "url": "http://host/v1", "models": ["m"]}
AGENT: dict[str, Any] = {"name": "kb", "url": "http://host"}
OPAQUE: dict[str, Any] = {"name": "files", "path": "/v1/files", "upstream": "up"}


def upstream(**changes: Any) -> dict[str, Any]:
    return {"upstreams": [{**UPSTREAM, **changes}]}


def agent(**changes: Any) -> dict[str, Any]:
    return {"agents": [{**AGENT, **changes}]}


def opaque(**changes: Any) -> dict[str, Any]:
    return {"upstreams": [UPSTREAM], "opaque": [{**OPAQUE, **changes}]}


def policy(**changes: Any) -> dict[str, Any]:
    return {"policies": [{"policy": "p", **changes}]}


def mistakes(tree: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(tree)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def test_the_least() -> None:
    settings = parse(LEAST)
    assert settings.listen.port == 8080
    assert settings.listen.cors is None
    assert settings.max_body_bytes == 50 * 1024 * 1024
    assert (settings.timeouts.idle, settings.timeouts.stream_idle, settings.timeouts.total) == (60, 120, 180)
    assert settings.policies[0].failure is FailureMode.CLOSED
    assert settings.policies[0].shadow is False
    assert settings.catalogue() == Catalogue(terms=Terms(listed=PriceList()))


TLS: dict[str, Any] = {
    "certificate": "c",
    "key": "k",
    "client_ca": "a",
    "envoy": {"certificate": "c", "key": "k", "ca": "a", "server_name": "policy.internal"},
}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"policies": []}, "policies", "at least 1"),
    ({"policies": None}, "policies", ""),
    ({"policies": {}}, "policies", ""),
    ({"Policies": []}, "Policies", "unknown key"),
    ({"policy": []}, "policy", "unknown key"),
    ({"listen": {"prot": 1}}, "listen.prot", "unknown key"),
    ({"listen": None}, "listen", ""),
    ({"listen": {"port": "8080"}}, "listen.port", "whole number"),
    ({"listen": {"port": True}}, "listen.port", "whole number"),
    ({"listen": {"port": 80.0}}, "listen.port", "whole number"),
    ({"listen": {"port": -1}}, "listen.port", "expected at least 0 (found '-1')"),
    ({"listen": {"port": 65_536}}, "listen.port", "65535"),
    ({"listen": {"address": "localhost"}}, "listen.address", "an IP address"),
    ({"listen": {"tls": {"certificate": "c"}}}, "listen.tls.key", "missing"),
    ({"listen": {"tls": {"certificate": "c", "key": 1}}}, "listen.tls.key", "expected text"),
    ({"listen": {"cors": {}}}, "listen.cors.allow_origins", "missing"),
    ({"listen": {"cors": {"allow_origins": []}}}, "listen.cors.allow_origins", "at least 1"),
    ({"listen": {"cors": {"allow_origins": ["*"]}}}, "listen.cors", "not a wildcard"),
    ({"listen": {"cors": {"allow_origins": ["https://*.example"]}}}, "listen.cors", "not a wildcard"),
    ({"listen": {"cors": {"allow_origins": ["https://a.example/path"]}}}, "listen.cors", "without a path"),
    ({"listen": {"cors": {"allow_origins": ["null"]}}}, "listen.cors", "without a path"),
    (
        {"listen": {"cors": {"allow_origins": ["https://a"], "allow_headers": ["x\r\nset-cookie: a=b"]}}},
        "listen.cors.allow_headers[0]",
        "name of a header field",
    ),
    (
        {"listen": {"cors": {"allow_origins": ["https://a"], "allow_headers": ["x\n"]}}},
        "listen.cors.allow_headers[0]",
        "name of a header field",
    ),
    ({"server": {"transport": "tcp"}}, "server.transport", "wire"),
    ({"server": {"workers": 0}}, "server.workers", "at least 1"),
    ({"server": {"workers": 65}}, "server.workers", "at most 64"),
    ({"server": {"workers": "2"}}, "server.workers", "whole number"),
    ({"server": {"workers": 2, "transport": "grpcio"}}, "server", "needs `transport: wire`"),
    ({"server": {"workers": 2, "transport": "wire", "listen": "h:65534"}}, "server", "65534 to 65536"),
    ({"server": {"admin": "9100"}}, "server.admin", "expected unix:/path or host:port"),
    ({"server": {"admin": "host:70000"}}, "server.admin", "65535"),
    ({"server": {"listen": "/run/x"}}, "server.listen", "expected unix:/path or host:port"),
    ({"server": {"listen": "unix:x"}}, "server.listen", "expected unix:/path or host:port"),
    ({"server": {"listen": "host"}}, "server.listen", "expected unix:/path or host:port"),
    ({"server": {"listen": "host:70000"}}, "server.listen", "65535"),
    ({"server": {"tls": TLS}}, "server", "a unix socket is its owner's alone"),
    ({"server": {"tls": TLS, "listen": "h:1", "transport": "grpcio"}}, "server", "would serve without it"),
    (
        {"server": {"tls": {name: TLS[name] for name in TLS if name != "client_ca"}, "listen": "h:1"}},
        "server.tls.client_ca",
        "missing",
    ),
    (
        {"server": {"tls": {**TLS, "envoy": {**TLS["envoy"], "server_name": "10.0.0.1/x"}}, "listen": "h:1"}},
        "server.tls.envoy.server_name",
        "a DNS name",
    ),
    ({"server": {"tls": TLS, "listen": "0.0.0.0:1"}}, "server", "`tls.envoy.host` is needed"),
    ({"server": {"tls": TLS, "listen": "[::]:1"}}, "server", "`tls.envoy.host` is needed"),
    (
        {"server": {"tls": {**TLS, "envoy": {**TLS["envoy"], "host": "h:1"}}, "listen": "h:1"}},
        "server.tls.envoy.host",
        "a host name",
    ),
    ({"server": {"tls": {**TLS, "client_names": "envoy"}, "listen": "h:1"}}, "server.tls.client_names", "a list"),
    ({"server": {"decision_timeout": 0}}, "server.decision_timeout", "at least 0.001"),
    ({"server": {"decision_timeout": float("nan")}}, "server.decision_timeout", ""),
    ({"timeouts": {"total": float("inf")}}, "timeouts.total", "at most 86400"),
    ({"timeouts": {"total": "60s"}}, "timeouts.total", "number"),
    ({"timeouts": {"total": True}}, "timeouts.total", "number"),
    ({"timeouts": {"idle": 0.0001}}, "timeouts.idle", "at least 0.001"),
    ({"max_body_bytes": 1}, "max_body_bytes", "1024"),
    ({"max_body_bytes": 1e6}, "max_body_bytes", "whole number"),
    ({"max_body_bytes": "50MiB"}, "max_body_bytes", "whole number"),
    ({"identity_headers": {"tenant": "tenant"}}, "identity_headers", "begins with x-"),
    ({"identity_headers": {"tenant": "X-Tenant"}}, "identity_headers", "lower-case"),
    ({"identity_headers": {"tenant": "x-a\r\nx-b"}}, "identity_headers", "lower-case"),
    ({"identity_headers": {"tenant": "x-user-id"}}, "identity_headers", "different"),
    ({"identity_headers": {"tenant": "x-sluicegate-upstream"}}, "identity_headers", "another meaning"),
    ({"identity_headers": {"tenant": "x-api-key"}}, "identity_headers", "another meaning"),
    ({"identity_headers": {"tenant": "x-request-id"}}, "identity_headers", "another meaning"),
    (upstream(name="Up"), "upstreams[0].name", "lower-case letters, digits"),
    (upstream(name="a/b"), "upstreams[0].name", "lower-case letters, digits"),
    (upstream(name="a" * 64), "upstreams[0].name", "lower-case letters, digits"),
    (upstream(name="up\n"), "upstreams[0].name", "lower-case letters, digits"),
    (upstream(provider="open-ai"), "upstreams[0].provider", "expected openai, azure or anthropic"),
    (upstream(url="host"), "upstreams[0].url", "https://"),
    (upstream(url=1), "upstreams[0].url", "expected text"),
    (upstream(models=[]), "upstreams[0].models", "at least 1"),
    (upstream(models="m"), "upstreams[0].models", "expected a list (found 'm')"),
    (upstream(models=[""]), "upstreams[0].models[0].name", "at least 1"),
    (upstream(models=[1]), "upstreams[0].models[0]", "expected a name, or {name: …, target: …} (found '1')"),
    (upstream(models=[{"name": "m", "taget": "x"}]), "upstreams[0].models[0].taget", "unknown key"),
    (
        upstream(models=[{"name": "m", "target": "../x"}]),
        "upstreams[0].models[0].target",
        "the upstream's name of the model",
    ),
    (
        upstream(models=[{"name": "m", "target": "a b"}]),
        "upstreams[0].models[0].target",
        "the upstream's name of the model",
    ),
    (upstream(api_version="2024-10-21"), "upstreams[0]", "belongs to `provider: azure`"),
    (upstream(provider="azure", api_version="a&b"), "upstreams[0].api_version", "a version such as 2024-10-21"),
    (upstream(credential="x"), "upstreams[0].credential", "{env: NAME} or {file: PATH}, never the secret itself"),
    (upstream(models=[{"name": "m", "deployment": "x"}]), "upstreams[0].models[0].deployment", "did you mean 'target'?"),
    (upstream(base_url="x"), "upstreams[0].base_url", "did you mean 'url'?"),
    (upstream(modles=["x"]), "upstreams[0].modles", "unknown key (did you mean 'models'?)"),
    (upstream(credential={}), "upstreams[0].credential", "exactly one"),
    (upstream(credential={"env": "A", "file": "/b"}), "upstreams[0].credential", "exactly one"),
    (upstream(credential={"value": "x"}), "upstreams[0].credential.value", "unknown key"),
    (upstream(credential={"env": "A-B"}), "upstreams[0].credential.env", "the name of an environment variable"),
    (upstream(credential={"file": ""}), "upstreams[0].credential.file", "at least 1"),
    ({"upstreams": [UPSTREAM, UPSTREAM]}, "upstreams[1].name", "'up' stands at upstreams[0] already"),
    ({**upstream(), **agent(name="up")}, "agents[0].name", "the name 'up' is an upstream's already"),
    (agent(forward_token=True, credential={"env": "A"}), "agents[0]", "choose one"),
    (agent(models=["m"]), "agents[0].models", "unknown key"),
    ({"agents": [AGENT, AGENT]}, "agents[1].name", "'kb' stands at agents[0] already"),
    (opaque(upstream="down"), "opaque[0].upstream", "there is no upstream 'down'"),
    (opaque(path="v1/files"), "opaque[0].path", "a path such as /v1/files"),
    (opaque(path="/*"), "opaque[0].path", "a path such as /v1/files"),
    (opaque(path="/v1/*/x"), "opaque[0].path", "a path such as /v1/files"),
    (opaque(path="/v1/files?x"), "opaque[0].path", "a path such as /v1/files"),
    (opaque(path="/v1//files"), "opaque[0]", "no other is ever matched"),
    (opaque(path="/v1/../files"), "opaque[0]", "no other is ever matched"),
    (opaque(path="/v1/*"), "opaque[0]", "covers /v1/chat/completions"),
    (opaque(path="/openai/deployments/*"), "opaque[0]", "covers /openai/deployments/"),
    (opaque(path="/v1/embeddings"), "opaque[0]", "covers /v1/embeddings"),
    (opaque(methods=[]), "opaque[0].methods", "at least 1"),
    (opaque(methods=["get"]), "opaque[0].methods[0]", "expected GET, POST, PUT, PATCH or DELETE"),
    (opaque(methods=["CONNECT"]), "opaque[0].methods[0]", "expected GET, POST, PUT, PATCH or DELETE"),
    ({"policies": [{"policy": "p"}, {"policy": "p"}]}, "policies[1].policy", "'p' stands at policies[0] already"),
    (policy(policy="P"), "policies[0].policy", "the name of an installed policy"),
    (policy(failure="ignore"), "policies[0].failure", "expected closed or open"),
    (policy(shadow="perhaps"), "policies[0].shadow", "true or false"),
    (policy(settings=[]), "policies[0].settings", "expected a mapping"),
    (policy(setings={}), "policies[0].setings", "unknown key"),
]


@pytest.mark.parametrize(("tree", "path", "word"), WRONG, ids=lambda value: str(value)[:50])
def test_a_mistake_and_its_path(tree: dict[str, Any], path: str, word: str) -> None:
    (line,) = mistakes({**LEAST, **tree})
    assert line.startswith(f"{path}: ")
    assert word in line


@pytest.mark.parametrize("tree", [[], None, "x", 1])
def test_no_mapping(tree: Any) -> None:
    assert mistakes(tree)[0].startswith("configuration: ")


def test_all_mistakes_at_once() -> None:
    tree = {"listen": {"port": -1, "adress": ""}, **upstream(url="x", name="X"), "policies": []}
    found = {line.partition(":")[0] for line in mistakes(tree)}
    assert found == {"listen.port", "listen.adress", "upstreams[0].url", "upstreams[0].name", "policies"}


SECRETS: list[dict[str, Any]] = [
    upstream(credential="hunter2"),
    upstream(credential={"env": "sk-hunter2"}),
    upstream(credential={"env": ["hunter2"]}),
    upstream(credential={"value": "hunter2"}),
    upstream(credential={"env": "A", "key": "hunter2"}),
    upstream(api_key="hunter2"),
    upstream(url="http://user:hunter2@host"),
    upstream(url="http://hunter2@host"),
    upstream(url="ftp://user:p@hunter2@host"),
    agent(credential="hunter2"),
    {"listen": {"tls": {"certificate": "c", "key": ["hunter2"]}}},
]


@pytest.mark.parametrize("tree", SECRETS, ids=str)
def test_no_secret_is_repeated(tree: dict[str, Any]) -> None:
    assert "hunter2" not in "\n".join(mistakes({**LEAST, **tree}))


def test_the_catalogue() -> None:
    tree = {
        **LEAST,
        "prices": {"list": "none"},
        "upstreams": [
            {**UPSTREAM, "url": "http://host/v1/", "region": "eu", "models": ["m", {"name": "f", "target": "org/f:2"}]},
            {
                **UPSTREAM,
                "name": "az",
                "provider": "azure",
                "url": "https://az",
                "api_version": "v1",
                "identity_headers": True,
            },
        ],
        "agents": [{**AGENT, "url": "http://host/base", "forward_token": True, "identity_headers": False}],
        "opaque": [{**OPAQUE, "methods": ["GET"]}],
    }
    assert parse(tree).catalogue() == Catalogue(
        (
            Upstream(
                *("up", Provider.OPENAI, "/v1"),
                models=(Model("m"), Model("f", "org/f:2")),
                region="eu",
                url="http://host/v1",
            ),
            Upstream("az", Provider.AZURE, "", "v1", (Model("m"),), identity_headers=True, url="https://az"),
        ),
        (Agent("kb", "/base", identity_headers=False, forward_token=True),),
        (Opaque("files", "/v1/files", "up", frozenset({"GET"})),),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping of sections"),
        (b"[]", "expected a mapping of sections"),
        (b"x", "expected a mapping of sections"),
        (b"\xff\xfe", "not UTF-8"),
        ("policies: ä".encode("latin-1"), "not UTF-8"),
        ("policies: []".encode("utf-16"), "not UTF-8"),
        (b"a: 1\na: 2", "line 2, column 1: the key 'a' stands twice"),
        (b"a: *b", "line 1, column 4: anchors and aliases are not accepted"),
        (b"[" * 5000, "nested too deeply"),
    ],
)
def test_files_that_are_no_configuration(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_tree(path)
    assert caught.value.mistakes == [f"{path}: {message}"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, message in [(tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")]:
        with pytest.raises(ConfigurationError) as caught:
            read_tree(path)
        assert caught.value.mistakes == [f"{path}: {message}"]


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    section = "upstreams: [{name: az, provider: azure, url: 'https://az', api_version: 2024-10-21, models: [m]}]"
    path.write_text(f"{section}\npolicies: [{{policy: p}}]\n")
    assert parse(read_tree(path)).upstreams[0].api_version == "2024-10-21"


def test_settings_are_immutable() -> None:
    settings = parse(LEAST)
    with pytest.raises(ValidationError):
        settings.policies = ()
    assert isinstance(settings, Settings)

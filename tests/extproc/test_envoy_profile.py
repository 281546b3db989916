"""The rendered profile: Envoy takes it, Envoy's own types hold it, and the guard stands where it must."""

from __future__ import annotations

import importlib
import json
import subprocess
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from extproc.envoy_profile import bootstrap
from extproc.placement import MAX_WORKERS
from extproc.settings import Settings, parse
from tests.servers import envoy_binary

SECRET = "sk-hunter2"
ADMIN = "127.0.0.1:9901"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate, its key, and a provider's key."""
    folder = tmp_path_factory.mktemp("files")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "provider").write_text(SECRET)
    return folder


LEAST: dict[str, Any] = {"policies": [{"policy": "p"}]}
EVERYTHING: dict[str, Any] = {
    "listen": {
        "address": "0.0.0.0",
        "port": 8443,
        "tls": {"certificate": "FILES/certificate.pem", "key": "FILES/key.pem"},
        "cors": {"allow_origins": ["https://chat.example", "http://localhost:3000"], "max_age": 60},
    },
    "server": {"listen": "policy.example:9002", "decision_timeout": 2.5},
    "timeouts": {"connect": 0.25, "idle": 45.5, "stream_idle": 300, "total": 86_400},
    "max_body_bytes": 1_048_576,
    "upstreams": [
        {
            "name": "openai",
            "provider": "openai",
            "url": "https://api.openai.com/v1",
            "credential": {"env": "PROVIDER_KEY"},
            "models": ["gpt-*"],
        },
        {
            "name": "azure",
            "provider": "azure",
            "url": "https://name.openai.azure.com:8443",
            "api_version": "2024-10-21",
            "credential": {"file": "FILES/provider"},
            "models": ["prod"],
        },
        {
            "name": "anthropic",
            "provider": "anthropic",
            "url": "https://api.anthropic.com",
            "credential": {"env": "PROVIDER_KEY"},
            "models": ["claude-*"],
        },
        {"name": "local", "provider": "openai", "url": "http://127.0.0.1:8000/v1", "models": ["llama"]},
        {"name": "six", "provider": "openai", "url": "https://[::1]:8001", "models": ["mistral"]},
    ],
    "agents": [
        {"name": "kb", "url": "http://kb.internal:9000/base", "credential": {"env": "PROVIDER_KEY"}},
        {"name": "tools", "url": "https://10.0.0.1", "forward_token": True},
    ],
    "opaque": [
        {"name": "files", "path": "/v1/files", "upstream": "openai"},
        {"name": "file", "path": "/v1/files/*", "upstream": "openai"},
    ],
    "policies": [{"policy": "p"}],
}


def settings(tree: dict[str, Any], files: Path | None = None) -> Settings:
    return parse(json.loads(json.dumps(tree).replace("FILES", str(files or "/files"))))


POLICY_TLS: dict[str, Any] = {
    "certificate": "/policy/certificate.pem",
    "key": "/policy/key.pem",
    "client_ca": "/policy/ca.pem",
    "envoy": {
        "certificate": "FILES/certificate.pem",
        "key": "FILES/key.pem",
        "ca": "FILES/certificate.pem",
        "server_name": "policy.internal",
    },
}
CASES: dict[str, dict[str, Any]] = {
    "least": LEAST,
    "everything": EVERYTHING,
    "tls": {**LEAST, "listen": EVERYTHING["listen"]},
    "cors": {**LEAST, "listen": {"cors": {"allow_origins": ["https://chat.example"]}}},
    "address of version 6": {**LEAST, "listen": {"address": "::1"}},
    "policy server by address": {**LEAST, "server": {"listen": "127.0.0.1:9002"}},
    "policy server by address of version 6": {**LEAST, "server": {"listen": "[::1]:9002"}},
    "several workers": {**LEAST, "server": {"transport": "wire", "workers": 3, "listen": "unix:/run/policy.sock"}},
    "several workers by address": {**LEAST, "server": {"transport": "wire", "workers": 2, "listen": "127.0.0.1:9002"}},
    "policy server by TLS": {**LEAST, "server": {"listen": "policy.example:9002", "tls": POLICY_TLS}},
    "several workers by TLS": {**LEAST, "server": {"workers": 2, "listen": "policy.example:9002", "tls": POLICY_TLS}},
    "fractions of seconds": {**LEAST, "timeouts": {"connect": 0.001, "idle": 0.12345, "total": 1234.5678}},
    **{f"upstream {entry['name']}": {**LEAST, "upstreams": [entry]} for entry in EVERYTHING["upstreams"]},
    **{f"agent {entry['name']}": {**LEAST, "agents": [entry]} for entry in EVERYTHING["agents"]},
}


@pytest.mark.parametrize("case", CASES)
def test_envoy_takes_it(case: str, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(bootstrap(settings(CASES[case], files), admin=ADMIN)))
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(path), "-l", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PROVIDER_KEY": SECRET})
    assert done.returncode == 0, done.stderr[-2000:]
    assert "deprecated" not in done.stderr


def test_envoys_admin_on_a_socket(tmp_path: Path) -> None:
    rendered = bootstrap(settings(LEAST), admin=f"unix:{tmp_path}/admin.sock")
    assert rendered["admin"] == {"address": {"pipe": {"path": f"{tmp_path}/admin.sock"}}}


def types(tree: Any) -> Iterator[str]:
    """The message types that the tree names."""
    if isinstance(tree, dict):
        if "@type" in tree:
            yield tree["@type"].removeprefix("type.googleapis.com/")
        for value in tree.values():
            yield from types(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from types(value)


def load(rendered: dict[str, Any]) -> Any:
    """The bootstrap in the types of envoy-data-plane. Their modules register themselves when they are imported."""
    with warnings.catch_warnings():
        # Pydantic's, about how the generated classes are written.
        warnings.simplefilter("ignore")
        for name in sorted(set(types(rendered))):
            importlib.import_module(f"envoy_data_plane.{name.rpartition('.')[0]}")
        module = importlib.import_module("envoy_data_plane.envoy.config.bootstrap.v3")
        return module.Bootstrap().from_dict(rendered)


@pytest.mark.parametrize("case", CASES)
def test_envoys_types_hold_it(case: str) -> None:
    given = settings(CASES[case])
    loaded = load(bootstrap(given, admin=ADMIN))
    (listener,) = loaded.static_resources.listeners
    assert listener.per_connection_buffer_limit_bytes == given.max_body_bytes
    assert listener.address.socket_address.port_value == given.listen.port
    clusters = {cluster.name for cluster in loaded.static_resources.clusters}
    assert clusters == {
        "sluicegate_policy",
        *(["sluicegate_settlement"] if given.server.workers > 1 else []),
        *(f"upstream_{entry.name}" for entry in given.upstreams),
        *(f"agent_{entry.name}" for entry in given.agents),
    }
    policy = manager(loaded).http_filters[-4].typed_config.unpack()
    assert policy.failure_mode_allow is False
    assert policy.message_timeout == timedelta(seconds=given.server.decision_timeout + 1)


def test_envoys_types_refuse_what_they_do_not_know() -> None:
    rendered = bootstrap(settings(LEAST), admin=ADMIN)
    with pytest.raises(KeyError):
        load({**rendered, "static_resource": {}})


def manager(loaded: Any) -> Any:
    return loaded.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.unpack()


def connection_manager(tree: dict[str, Any]) -> dict[str, Any]:
    rendered = bootstrap(settings(tree), admin=ADMIN)
    found: dict[str, Any] = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


@pytest.mark.parametrize("case", CASES)
def test_the_guard_stands_right_after_the_policies(case: str) -> None:
    filters = connection_manager(CASES[case])["http_filters"]
    names = [one["name"] for one in filters]
    cors = ["envoy.filters.http.cors"] if "cors" in CASES[case].get("listen", {}) else []
    assert names == [*cors, "sluicegate.policy", "sluicegate.guard", "sluicegate.meter", "envoy.filters.http.router"]
    policy, guard = (one["typed_config"] for one in filters[len(cors) : len(cors) + 2])
    assert policy["failure_mode_allow"] is False
    assert "disable_immediate_response" not in policy
    rules = guard["rules"]
    assert rules["action"] == "ALLOW"
    ((principal,),) = [one["principals"] for one in rules["policies"].values()]
    matcher = principal["sourced_metadata"]["metadata_matcher"]
    assert (matcher["filter"], matcher["path"]) == ("sluicegate", [{"key": "verdict"}])
    assert matcher["value"] == {"string_match": {"exact": "allow"}}


@pytest.mark.parametrize("case", CASES)
def test_no_filter_is_optional_or_switched_off(case: str) -> None:
    text = json.dumps(connection_manager(CASES[case]))
    assert '"disabled"' not in text
    assert '"is_optional"' not in text
    assert '"failure_mode_allow": true' not in text


@pytest.mark.parametrize("case", CASES)
def test_no_secret_and_no_placeholder_is_in_it(case: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", SECRET)
    text = json.dumps(bootstrap(settings(CASES[case], files), admin=ADMIN))
    assert SECRET not in text
    assert "PRIVATE KEY" not in text
    assert not [value for value in strings(json.loads(text)) if value.startswith("$")]


def strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from strings(value)


def test_paths_are_left_as_they_were_sent() -> None:
    made = connection_manager(LEAST)
    assert (made["normalize_path"], made["merge_slashes"]) == (False, False)
    assert made["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
    assert made["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert made["preserve_external_request_id"] is False
    assert made["use_remote_address"] is True


def clusters() -> dict[str, Any]:
    rendered = bootstrap(settings(EVERYTHING), admin=ADMIN)
    return {one["name"]: one for one in rendered["static_resources"]["clusters"]}


@pytest.mark.parametrize(
    ("name", "kind", "address", "port", "san"),
    [
        ("sluicegate_policy", "STRICT_DNS", "policy.example", 9002, None),
        ("upstream_openai", "STRICT_DNS", "api.openai.com", 443, "DNS"),
        ("upstream_azure", "STRICT_DNS", "name.openai.azure.com", 8443, "DNS"),
        ("upstream_local", "STATIC", "127.0.0.1", 8000, None),
        ("upstream_six", "STATIC", "::1", 8001, "IP_ADDRESS"),
        ("agent_kb", "STRICT_DNS", "kb.internal", 9000, None),
        ("agent_tools", "STATIC", "10.0.0.1", 443, "IP_ADDRESS"),
    ],
)
def test_clusters(name: str, kind: str, address: str, port: int, san: str | None) -> None:
    cluster = clusters()[name]
    (locality,) = cluster["load_assignment"]["endpoints"]
    ((endpoint,),) = [locality["lb_endpoints"]]
    assert cluster["type"] == kind
    assert endpoint["endpoint"]["address"] == {"socket_address": {"address": address, "port_value": port}}
    if san is None:
        assert "transport_socket" not in cluster
        return
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert context["match_typed_subject_alt_names"] == [{"san_type": san, "matcher": {"exact": address}}]
    assert context["trusted_ca"]["filename"].startswith("/etc/")


def addresses(cluster: dict[str, Any]) -> list[Any]:
    (locality,) = cluster["load_assignment"]["endpoints"]
    return [one["endpoint"]["address"] for one in locality["lb_endpoints"]]


def test_several_workers_share_the_decisions_and_the_access_log_goes_to_one_of_its_own() -> None:
    rendered = bootstrap(settings(CASES["several workers"]), admin=ADMIN)
    found = {one["name"]: one for one in rendered["static_resources"]["clusters"]}
    policy, settlement = found["sluicegate_policy"], found["sluicegate_settlement"]
    assert addresses(policy) == [{"pipe": {"path": f"/run/policy.{index}.sock"}} for index in (1, 2, 3)]
    assert addresses(settlement) == [{"pipe": {"path": "/run/policy.settle.sock"}}]
    assert policy["lb_policy"] == "LEAST_REQUEST"
    (check,) = policy["health_checks"]
    assert (check["interval"], check["timeout"], check["no_traffic_interval"]) == ("1s", "0.5s", "1s")
    assert (check["unhealthy_threshold"], check["healthy_threshold"], check["grpc_health_check"]) == (1, 1, {})
    # One of 64 that is well is all that is asked; where none is, all are.
    assert 0 < policy["common_lb_config"]["healthy_panic_threshold"]["value"] < 100 / MAX_WORKERS
    assert not {"health_checks", "common_lb_config"} & set(settlement)
    for part in ("circuit_breakers", "typed_extension_protocol_options", "connect_timeout", "type"):
        assert policy[part] == settlement[part]
    made = connection_manager(CASES["several workers"])
    assert settlement_of(made) == "sluicegate_settlement"
    assert made["http_filters"][0]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == "sluicegate_policy"


def test_envoy_and_the_policy_server_show_each_other_certificates() -> None:
    rendered = bootstrap(settings(CASES["several workers by TLS"]), admin=ADMIN)
    policy, settlement = rendered["static_resources"]["clusters"]
    assert policy["transport_socket"] == settlement["transport_socket"]
    typed = policy["transport_socket"]["typed_config"]
    context = typed["common_tls_context"]
    assert (typed["sni"], context["alpn_protocols"]) == ("policy.internal", ["h2"])
    assert set(context["tls_params"].values()) == {"TLSv1_3"}
    assert context["combined_validation_context"]["default_validation_context"] == {
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "policy.internal"}}]
    }
    # Named, and part of the bootstrap.
    assert context["tls_certificate_sds_secret_configs"] == [{"name": "policy_certificate"}]
    assert rendered["static_resources"]["secrets"] == [
        {
            "name": "policy_certificate",
            "tls_certificate": {
                "certificate_chain": {"filename": "/files/certificate.pem"},
                "private_key": {"filename": "/files/key.pem"},
            },
        },
        {
            "name": "policy_authority",
            "validation_context": {"trusted_ca": {"filename": "/files/certificate.pem"}},
        },
    ]
    # The policy server's own files are nothing to Envoy.
    assert "/policy/" not in json.dumps(rendered)


def test_without_tls_there_is_none() -> None:
    assert "transport_socket" not in clusters()["sluicegate_policy"]


def test_one_worker_decides_and_settles() -> None:
    assert not {"lb_policy", "health_checks", "common_lb_config"} & set(clusters()["sluicegate_policy"])
    assert settlement_of(connection_manager(EVERYTHING)) == "sluicegate_policy"


def test_the_access_log_comes_in_small_batches_and_is_kept_while_nobody_takes_it() -> None:
    """With Envoy's default of 16 KiB entries are dropped under load whenever settlement's connection is made anew."""
    (log,) = connection_manager(LEAST)["access_log"]
    common = log["typed_config"]["common_config"]
    assert float(common["buffer_flush_interval"].removesuffix("s")) <= 0.02
    assert common["buffer_size_bytes"] >= 1 << 20


def settlement_of(manager: dict[str, Any]) -> str:
    (log,) = manager["access_log"]
    name: str = log["typed_config"]["common_config"]["grpc_service"]["envoy_grpc"]["cluster_name"]
    return name


@pytest.mark.parametrize(
    ("name", "header", "prefix", "source"),
    [
        ("upstream_openai", "authorization", "Bearer ", {"environment_variable": "PROVIDER_KEY"}),
        ("upstream_azure", "api-key", None, {"filename": "/files/provider"}),
        ("upstream_anthropic", "x-api-key", None, {"environment_variable": "PROVIDER_KEY"}),
        ("agent_kb", "authorization", "Bearer ", {"environment_variable": "PROVIDER_KEY"}),
        ("upstream_local", None, None, None),
        ("agent_tools", None, None, None),
    ],
)
def test_credentials(name: str, header: str | None, prefix: str | None, source: dict[str, str] | None) -> None:
    (protocol,) = clusters()[name]["typed_extension_protocol_options"].values()
    injectors = [one["typed_config"] for one in protocol["http_filters"] if "credential" in one["typed_config"]]
    rendered = bootstrap(settings(EVERYTHING), admin=ADMIN)
    secrets = {one["name"]: one["generic_secret"]["secret"] for one in rendered["static_resources"]["secrets"]}
    assert secrets.get(name) == source
    if header is None:
        assert injectors == []
        return
    (injector,) = injectors
    credential = injector["credential"]["typed_config"]
    assert injector["overwrite"] is True
    assert credential["credential"] == {"name": name}
    assert (credential["header"], credential.get("header_value_prefix")) == (header, prefix)


def test_routes_lead_only_where_the_verdict_says() -> None:
    routes = connection_manager(EVERYTHING)["route_config"]["virtual_hosts"][0]["routes"]
    leading = [route for route in routes if "route" in route]
    chosen = {
        tuple(matcher["string_match"]["exact"] for matcher in route["match"]["headers"]): route["route"]["cluster"]
        for route in leading
    }
    assert len(chosen) == len(leading) == 2 * 7
    for (name, stream), cluster in chosen.items():
        assert cluster in (f"upstream_{name}", f"agent_{name}")
        assert stream in ("0", "1")
    for route in leading:
        removed = set(route["request_headers_to_remove"])
        assert {"x-sluicegate-upstream", "x-sluicegate-stream", "x-envoy-original-path"} <= removed
        assert ("x-forwarded-for" in removed) is route["route"]["cluster"].startswith("upstream_")
    assert all("direct_response" in route for route in routes if "route" not in route)

"""Envoy's secrets for TLS to the policy server. That Envoy takes them anew is in `contract/test_tls.py`."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pytest

from extproc.envoy_profile import bootstrap
from extproc.envoy_tls import policy_socket, secret_files, secrets
from extproc.settings import Settings, parse

PLAIN = parse({"policies": [{"policy": "p"}]})
ENVOY = {"certificate": "/e/tls.crt", "key": "/e/tls.key", "ca": "/e/ca.crt", "server_name": "policy.internal"}
TLS = {"certificate": "/p/tls.crt", "key": "/p/tls.key", "client_ca": "/p/ca.crt", "envoy": ENVOY}
DIRECTORY = PurePath("/etc/envoy/secrets")


def secured() -> Settings:
    return parse({"policies": [{"policy": "p"}], "server": {"listen": "policy.internal:9000", "tls": TLS}})


def sources(socket: Any) -> list[Any]:
    context = socket["typed_config"]["common_tls_context"]
    named = [
        *context["tls_certificate_sds_secret_configs"],
        context["combined_validation_context"]["validation_context_sds_secret_config"],
    ]
    return [(one["name"], one.get("sds_config", {}).get("path_config_source", {}).get("path")) for one in named]


def test_without_tls_there_is_nothing() -> None:
    assert (policy_socket(PLAIN, None), secrets(PLAIN), secret_files(PLAIN)) == (None, [], {})


def test_each_secret_that_is_named_stands_in_the_bootstrap() -> None:
    settings = secured()
    named = sources(policy_socket(settings, None))
    assert named == [(secret["name"], None) for secret in secrets(settings)]


def test_or_in_a_file_of_its_own() -> None:
    """Envoy refuses a file that holds two."""
    settings = secured()
    files = secret_files(settings)
    assert sources(policy_socket(settings, DIRECTORY)) == [
        (held["resources"][0]["name"], str(DIRECTORY / name)) for name, held in files.items()
    ]
    for held, secret in zip(files.values(), secrets(settings), strict=True):
        (resource,) = held["resources"]
        assert resource.pop("@type").endswith(".tls.v3.Secret")
        assert resource == secret
    rendered = bootstrap(settings, admin="127.0.0.1:0", secret_directory=DIRECTORY)
    assert rendered["static_resources"]["secrets"] == []


@pytest.mark.parametrize(
    ("host", "listen", "workers", "connects"),
    [
        (None, "10.0.0.5:9000", 1, [("10.0.0.5", 9000)]),
        ("policy.example", "0.0.0.0:9000", 1, [("policy.example", 9000)]),
        ("policy.example", "[::]:9000", 1, [("policy.example", 9000)]),
        ("10.0.0.5", "0.0.0.0:9000", 2, [("10.0.0.5", 9000), ("10.0.0.5", 9001), ("10.0.0.5", 9002)]),
    ],
)
def test_where_envoy_connects_to(host: str | None, listen: str, workers: int, connects: list[tuple[str, int]]) -> None:
    server = {"listen": listen, "workers": workers, "tls": {**TLS, "envoy": {**ENVOY, "host": host}}}
    rendered = bootstrap(parse({"policies": [{"policy": "p"}], "server": server}), admin="127.0.0.1:0")
    found = [
        one["endpoint"]["address"]["socket_address"]
        for cluster in rendered["static_resources"]["clusters"]
        for one in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert [(address["address"], address["port_value"]) for address in found] == connects

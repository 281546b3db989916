"""What a reload cannot do, and whom else it concerns."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.settings import parse
from extproc.workers.reload import refusals, told_to_envoy

SERVER: dict[str, Any] = {"workers": 2, "transport": "wire", "listen": "unix:/run/policy.sock"}
OLD: dict[str, Any] = {
    "server": SERVER,
    "upstreams": [{"name": "a", "provider": "openai", "url": "https://a.example/v1", "models": ["m"]}],
    "policies": [{"policy": "p"}],
}


@pytest.mark.parametrize(
    ("server", "keys"),
    [
        ({}, []),
        ({"grace": 3, "decision_timeout": 1}, []),
        ({"workers": 3}, ["workers"]),
        ({"listen": "unix:/run/other.sock"}, ["listen"]),
        ({"admin": "127.0.0.1:9902"}, ["admin"]),
        ({"workers": 1, "transport": "grpcio"}, ["workers", "transport"]),
    ],
)
def test_what_the_supervisor_has_bound_stays(server: dict[str, Any], keys: list[str]) -> None:
    found = refusals(parse(OLD), parse(OLD | {"server": SERVER | server}))
    assert [line.partition(":")[0] for line in found] == [f"server.{key}" for key in keys]


@pytest.mark.parametrize(
    ("change", "sections"),
    [
        ({}, []),
        ({"policies": [{"policy": "q"}]}, []),
        ({"identity_headers": {"tenant": "x-t"}}, []),
        ({"server": SERVER | {"grace": 3}}, []),
        ({"server": SERVER | {"decision_timeout": 3}}, ["server"]),
        ({"listen": {"port": 9999}}, ["listen"]),
        ({"timeouts": {"idle": 5}, "max_body_bytes": 2048}, ["timeouts", "max_body_bytes"]),
        ({"upstreams": []}, ["upstreams"]),
        ({"upstreams": [{**OLD["upstreams"][0], "models": ["m", "n"]}]}, []),
        ({"agents": [{"name": "kb", "url": "http://kb"}]}, ["agents"]),
        ({"opaque": [{"name": "f", "path": "/v1/files", "upstream": "a"}]}, ["opaque"]),
    ],
)
def test_envoy_must_be_told_of_what_its_bootstrap_depends_on(change: dict[str, Any], sections: list[str]) -> None:
    assert told_to_envoy(parse(OLD), parse(OLD | change)) == sections

"""Envoy Gateway itself makes Envoy's configuration of our resources: the filters stand in the order that is asked for."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.certificates import Authority
from tests.k8s.manifests import NAMESPACE, Document, fixture, for_envoy, one, tool

FILTERS = ("ext_proc", "lua", "buffer", "router")
CLUSTERED = ("Service", "EnvoyProxy")
"""Of the chart's, what Envoy Gateway reads."""


def in_the_place_of_ai_gateways(found: list[Document]) -> Document:
    """An HTTPRoute: Envoy Gateway does not know AI Gateway's own, of which AI Gateway makes one."""
    backend = next(
        x["metadata"]["name"] for x in found if x["kind"] == "Backend" and "policy" not in x["metadata"]["name"]
    )
    rule = {"backendRefs": [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": backend}]}
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "sluicegate"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "sluicegate", "namespace": NAMESPACE},
        "spec": {"parentRefs": [parent], "rules": [rule]},
    }


def with_addresses(found: list[Document]) -> list[Document]:
    """As they stand in a cluster: each Service has an address."""
    for number, service in enumerate((x for x in found if x["kind"] == "Service"), 1):
        if service["spec"].get("clusterIP") != "None":
            service["spec"]["clusterIP"] = f"10.96.0.{number}"
    return [x for x in found if x["kind"] in CLUSTERED]


def secrets(folder: Path) -> Iterator[Document]:
    """What cert-manager would make for Envoy."""
    authority = Authority(folder, "mesh")
    pair = authority.sign("envoy", "sluicegate-envoy")
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.path}
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sluicegate-envoy-tls", "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(Path(path).read_bytes()).decode() for key, path in files.items()},
    }


def translated(found: list[Document], folder: Path) -> Any:
    """What egctl makes of documents."""
    path = folder / "all.yaml"
    path.write_text(yaml.safe_dump_all(found))
    command = [tool("egctl"), "x", "translate", "--from", "gateway-api", "--to", "xds", "-o", "json", "-f", str(path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert made.returncode == 0, made.stderr[-2000:]
    return json.loads(made.stdout)


def prepared(name: str, folder: Path) -> list[Document]:
    chart = fixture(name)
    envoys = for_envoy(chart)
    kept = [x for x in envoys if not x["apiVersion"].startswith("aigateway.")]
    return [*with_addresses(chart), *secrets(folder), *kept, in_the_place_of_ai_gateways(kept)]


def named(tree: Any, name: str) -> Iterator[Any]:
    """Every value under this key."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == name:
                yield value
            yield from named(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from named(value, name)


def chain(tree: Any) -> list[str]:
    """The HTTP filters of the gateway's listener, by their kind, each kind once."""
    (filters,) = (x for x in named(tree, "httpFilters") if any("ext_proc" in y["name"] for y in x))
    kinds = [next((kind for kind in FILTERS if kind in x["name"]), "other") for x in filters]
    return [x for x in dict.fromkeys(kinds) if x != "other"]


@pytest.mark.parametrize("name", ["production", "sidecar"])
def test_the_policy_server_stands_first(name: str, tmp_path: Path) -> None:
    assert chain(translated(prepared(name, tmp_path), tmp_path)) == ["ext_proc", "lua", "buffer", "router"]


def test_without_the_order_it_would_not(tmp_path: Path) -> None:
    found = prepared("production", tmp_path)
    del one(found, "EnvoyProxy")["spec"]["filterOrder"]
    assert chain(translated(found, tmp_path))[0] != "ext_proc"


def test_a_sidecar_is_asked_by_its_socket(tmp_path: Path) -> None:
    found = translated(prepared("sidecar", tmp_path), tmp_path)
    assert "/run/sluicegate/policy/policy.sock" in {x.get("path") for x in named(found, "pipe")}

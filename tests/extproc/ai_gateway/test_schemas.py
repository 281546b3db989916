"""The documents before those who know their schemas: kubectl-validate, and Envoy Gateway's own translation.

Nothing is fetched: see `tests.k8s.manifests` for where tools and definitions are looked for. Those of AI Gateway's kinds
are looked for beside them, or in the folder that `SLUICEGATE_AIGW_CRDS` names.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import yaml

from extproc.ai_gateway.resources import Options, resources
from extproc.settings import Settings, parse
from tests.certificates import Authority
from tests.extproc.ai_gateway.configured import AGENTS, configured, upstream
from tests.extproc.ai_gateway.test_policy_server import SERVICE, TLS
from tests.k8s.manifests import beside, tool
from tests.servers import REPOSITORY

AI_GATEWAY = ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy")
SETTINGS: Mapping[str, tuple[Settings, bool]] = {
    "example": (parse(yaml.safe_load((REPOSITORY / "examples/ai-gateway.yaml").read_text("utf-8"))), False),
    "sidecar": (configured(), False),
    "service": (configured(server={**SERVICE, "workers": 3}), False),
    "tls": (
        configured(
            server={**SERVICE, "tls": TLS},
            listen={"port": 443, "tls": {"certificate": "/l.crt", "key": "/l.key"}},
            agents=[{**AGENTS[0], "credential": {"env": "KB"}}, {"name": "ip", "url": "http://10.0.0.7:8000"}],
        ),
        False,
    ),
    "many": (configured(upstreams=[upstream(name=f"u_{number}") for number in range(33)]), False),
    "standalone": (configured(timeouts={"connect": 0.5, "stream_idle": 86_400}), True),
}


def made(case: str) -> list[dict[str, Any]]:
    """The documents of a case, but for Secrets: `aigw` takes annotations for them that Kubernetes does not."""
    settings, standalone = SETTINGS[case]
    documents = resources(settings, standalone=standalone, options=Options(), response_fields=["x-told"])
    return [document for document in documents if document["kind"] != "Secret"]


def definitions(folder: Path, documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Arguments for kubectl-validate, which looks into no folder below."""
    named = os.environ.get("SLUICEGATE_AIGW_CRDS")
    places = [folder, *([Path(named)] if named else [])]
    if not [found for place in places for found in place.glob("aigateway.envoyproxy.io_*.yaml")]:
        pytest.skip("the definitions of AI Gateway are not here: SLUICEGATE_AIGW_CRDS=FOLDER")
    assert documents
    return [f"--local-crds={place}" for place in places]


def validated(documents: Sequence[Mapping[str, Any]], folder: Path) -> subprocess.CompletedProcess[str]:
    """What kubectl-validate says of them: schemas and the rules in them."""
    command = [tool("kubectl-validate"), *definitions(beside("crds"), documents)]
    folder.mkdir()
    for number, document in enumerate(documents):
        (folder / f"{number:03}-{document['kind']}.yaml").write_text(yaml.safe_dump(document), "utf-8")
    return subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("case", SETTINGS)
def test_the_schemas_take_every_document(case: str, tmp_path: Path) -> None:
    said = validated(made(case), tmp_path / "documents")
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_schemas_would_not_take_a_word_that_they_do_not_know(tmp_path: Path) -> None:
    documents = made("sidecar")
    policy = next(document for document in documents if document["kind"] == "EnvoyExtensionPolicy")
    policy["spec"]["extProc"][0]["statusOnError"] = 503
    said = validated(documents, tmp_path / "documents")
    assert said.returncode != 0
    assert "statusOnError" in said.stdout + said.stderr


def as_routes(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The HTTPRoutes that AI Gateway's controller makes of its routes, as far as Envoy Gateway sees them: a rule for each
    of theirs, and one that answers 404 to all else."""
    backend = {"group": "gateway.envoyproxy.io", "kind": "Backend"}
    routes: list[dict[str, Any]] = []
    for document in documents:
        if document["kind"] == "AIGatewayRoute":
            rules = [
                {**rule, "backendRefs": [{**backend, "name": ref["name"]} for ref in rule["backendRefs"]]}
                for rule in document["spec"]["rules"]
            ]
            last = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}
            spec = {"parentRefs": document["spec"]["parentRefs"], "rules": [*rules, last]}
            route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
            routes.append({**route, "metadata": document["metadata"], "spec": spec})
    return routes


def cluster() -> list[dict[str, Any]]:
    """What is in a cluster beside the documents."""
    metadata = {"name": "sluicegate-policy", "namespace": "default"}
    ports = [{"name": f"p{number}", "port": number, "protocol": "TCP"} for number in range(50051, 50055)]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "10.0.0.9", "ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "sluicegate-policy"}},
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": ["10.1.0.4"], "conditions": {"ready": True}}],
        },
    ]


def translated(documents: Sequence[Mapping[str, Any]], file: Path) -> dict[str, Any]:
    """What Envoy Gateway makes of the documents: resources with their conditions, and Envoy's configuration."""
    own = [document for document in documents if document["kind"] not in AI_GATEWAY]
    file.write_text(yaml.safe_dump_all([*own, *as_routes(documents), *cluster()]), "utf-8")
    command = [tool("egctl"), "x", "translate", "--from", "gateway-api", "--to", "gateway-api,xds"]
    said = subprocess.run(
        [*command, "--type", "all", "--output", "yaml", "--file", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    tree: dict[str, Any] = yaml.safe_load(said.stdout)
    return tree


def conditions(tree: Any, path: str = "") -> list[str]:
    """Every condition that says no, with its place."""
    if isinstance(tree, dict):
        own = [
            f"{path}: {condition['message']}"
            for condition in tree.get("conditions") or ()
            if condition["status"] != "True" or condition["type"] in ("PartiallyInvalid", "Invalid")
        ]
        return [*own, *(line for key, value in tree.items() for line in conditions(value, f"{path}/{key}"))]
    if isinstance(tree, list):
        return [line for number, value in enumerate(tree) for line in conditions(value, f"{path}/{number}")]
    return []


def filters(tree: dict[str, Any]) -> list[str]:
    """The names of the HTTP filters of the gateway's listener, in order."""
    for dump in next(iter(tree["xds"].values()))["configs"]:
        for entry in dump.get("dynamicListeners", ()):
            listener = entry["activeState"]["listener"]
            chain = listener.get("defaultFilterChain") or listener["filterChains"][0]
            for one in chain["filters"]:
                if "ready" not in listener["name"] and "httpFilters" in one["typedConfig"]:
                    return [filter_["name"] for filter_ in one["typedConfig"]["httpFilters"]]
    raise AssertionError("there is no listener")


@pytest.mark.parametrize("case", ["example", "sidecar", "service", "many"])
def test_envoy_gateway_takes_every_document_and_puts_the_filters_in_order(case: str, tmp_path: Path) -> None:
    tree = translated(made(case), tmp_path / "documents.yaml")
    assert conditions({key: value for key, value in tree.items() if key != "xds"}) == []
    names = filters(tree)
    last = {part: max(n for n, name in enumerate(names) if part in name) for part in ("ext_proc", "lua")}
    first = {part: min(n for n, name in enumerate(names) if part in name) for part in ("lua", "buffer")}
    # AI Gateway comes right after the buffer.
    assert last["ext_proc"] < first["lua"] <= last["lua"] < first["buffer"], names


def secret(name: str, **held: str) -> dict[str, Any]:
    """A Secret as it is in a cluster. An underscore in a key stands for a dot."""
    data = {key.replace("_", "."): base64.b64encode(text.encode()).decode() for key, text in held.items()}
    metadata = {"name": name, "namespace": "default"}
    kind = "kubernetes.io/tls" if "tls.crt" in data else "Opaque"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}


def test_envoy_gateway_makes_mutual_tls_of_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "house")
    envoy, front = authority.sign("envoy", "envoy.sg"), authority.sign("front", "llm.example")
    ca, *texts = [Path(path).read_text("utf-8") for path in (authority.path, *astuple(envoy), *astuple(front))]
    secrets = [
        secret("sluicegate-envoy-tls", tls_crt=texts[0], tls_key=texts[1], ca_crt=ca),
        secret("sluicegate-listen-tls", tls_crt=texts[2], tls_key=texts[3]),
        secret("sluicegate-agent-kb", credential="Bearer x"),
    ]
    tree = translated([*made("tls"), *secrets], tmp_path / "documents.yaml")
    assert conditions({key: value for key, value in tree.items() if key != "xds"}) == []
    dumps = next(iter(tree["xds"].values()))["configs"]
    clusters = [entry["cluster"] for dump in dumps for entry in dump.get("dynamicActiveClusters", ())]
    asked = [each for each in clusters if "extproc" in each["name"] or "accesslog" in each["name"]]
    assert len(asked) == 3
    for cluster in asked:
        matches = cluster.get("transportSocketMatches") or [{"transportSocket": cluster["transportSocket"]}]
        (context,) = [match["transportSocket"]["typedConfig"] for match in matches]
        assert context["sni"] == "policy.sg"
        common = context["commonTlsContext"]
        assert common["tlsCertificateSdsSecretConfigs"]
        names = common["combinedValidationContext"]["defaultValidationContext"]["matchTypedSubjectAltNames"]
        assert names == [{"matcher": {"exact": "policy.sg"}, "sanType": "DNS"}]


def test_envoy_gateway_would_say_what_is_missing(tmp_path: Path) -> None:
    documents = [document for document in made("sidecar") if document["metadata"]["name"] != "sluicegate-policy"]
    tree = translated(documents, tmp_path / "documents.yaml")
    assert any("sluicegate-policy" in line for line in conditions({k: v for k, v in tree.items() if k != "xds"}))

"""What the chart makes of each file of values is right, by everybody who can be asked."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extproc.assembly import examine
from extproc.strict_yaml import read
from k8s.checks import Severity, check
from k8s.schemas import VERSIONS
from tests.k8s.manifests import (
    CHART,
    FIXED,
    FIXTURES,
    VALUES,
    Document,
    beside,
    configuration,
    for_envoy,
    helm,
    one,
    rendered,
    small,
    template,
    tool,
)

SPOKEN_OF: Final = {"minimal": {"not_encrypted"}}
"""What is found in a file of values, and said in it."""


def run(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)


def locations(version: str) -> list[str]:
    """Where kubeconform finds schemas: files alone."""
    schemas = beside("schemas")
    names = (f"{schemas}/v{version}.0", str(schemas))
    return [part for name in names for part in ("-schema-location", name + "/{{.ResourceKind}}{{.KindSuffix}}.json")]


def test_there_are_the_values_that_are_promised() -> None:
    assert VALUES == ("air-gapped", "azure", "minimal", "production", "sidecar")


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_nothing_to_say(values: str) -> None:
    linted = helm("lint", "--strict", str(CHART), "--values", str(CHART / "values" / f"{values}.yaml"))
    assert linted.returncode == 0, linted.stdout
    assert "[WARNING]" not in linted.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUES)
def test_kubernetes_knows_every_member(values: str, version: str) -> None:
    command = [tool("kubeconform"), "-strict", "-summary", *locations(version)]
    found = run(command, template(values))
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"Valid: {len(rendered(values))}," in found.stdout


@pytest.mark.parametrize("values", VALUES)
def test_rules_of_kinds_hold(values: str, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(template(values))
    found = run([tool("kubectl-validate"), "--version", "1.30", "--local-crds", str(beside("crds")), str(path)])
    assert found.returncode == 0, found.stdout + found.stderr


ORDER = {"name": "envoy.filters.http.lua", "before": "envoy.filters.http.buffer", "after": "envoy.filters.http.cors"}


@pytest.mark.parametrize(
    ("values", "kind", "member", "value"),
    [
        ("minimal", "Deployment", "minReadySecond", 5),
        ("minimal", "NetworkPolicy", "podSelector", "all"),
        # A rule that is no schema: one of `before` and `after`.
        ("sidecar", "EnvoyProxy", "filterOrder", [ORDER]),
    ],
)
def test_rules_of_kinds_would_be_missed(values: str, kind: str, member: str, value: Any, tmp_path: Path) -> None:
    documents = rendered(values)
    next(x for x in documents if x["kind"] == kind)["spec"][member] = value
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    found = run([tool("kubectl-validate"), "--version", "1.30", "--local-crds", str(beside("crds")), str(path)])
    assert found.returncode != 0


@pytest.mark.parametrize("values", VALUES)
def test_the_checks_find_nothing_that_the_file_does_not_say(values: str) -> None:
    documents = rendered(values)
    found = check([*documents, *for_envoy(documents)])
    assert {x.code for x in found} == SPOKEN_OF.get(values, set())
    assert all(x.severity is Severity.WARNING for x in found)


@pytest.mark.parametrize("values", VALUES)
def test_the_configuration_is_one_that_the_policy_server_takes(values: str) -> None:
    assert examine(read(configuration(rendered(values)))).chain.links


@pytest.mark.parametrize("name", FIXED)
def test_the_fixture_is_what_helm_makes(name: str) -> None:
    assert small(name) == (FIXTURES / f"{name}.yaml").read_text("utf-8"), "python -m tests.k8s.manifests"


def test_the_example_of_external_secrets_makes_the_secrets_that_the_values_name() -> None:
    example = CHART / "examples/external-secret.yaml"
    found = run([tool("kubeconform"), "-strict", *locations(VERSIONS[-1])], example.read_text("utf-8"))
    assert found.returncode == 0, found.stdout
    made = {
        line.split("target: {name: ")[1].rstrip("}") for line in example.read_text().splitlines() if "target:" in line
    }
    assert {x["name"] for x in secrets("production")} - made == {"sluicegate-policy-tls"}
    assert {x["name"] for x in secrets("azure")} - made == {"sluicegate-policy-tls"}


def secrets(values: str) -> list[Document]:
    """Every reference to a Secret in the pods."""
    spec = one(rendered(values), "StatefulSet")["spec"]["template"]["spec"]
    variables = [x for container in spec["containers"] for x in container["env"]]
    keys = [{"name": x["valueFrom"]["secretKeyRef"]["name"]} for x in variables if "valueFrom" in x]
    return [*keys, *({"name": x["secret"]["secretName"]} for x in spec["volumes"] if "secret" in x)]


@pytest.mark.parametrize("values", VALUES)
def test_the_notes_say_what_to_do_next(values: str, tmp_path: Path) -> None:
    # `helm template` leaves notes out, and `helm install` wants a cluster: here they are a document.
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    text = (chart / "templates/NOTES.txt").read_text("utf-8")
    document = '{{ define "notes" }}' + text + '{{ end }}kind: Notes\ntext: {{ include "notes" . | quote }}\n'
    (chart / "templates/notes.yaml").write_text(document)
    file = str(chart / "values" / f"{values}.yaml")
    made = helm("template", "sluicegate", str(chart), "-n", "sluicegate", "-f", file, "-s", "templates/notes.yaml")
    assert made.returncode == 0, made.stderr
    notes = yaml.safe_load(made.stdout)["text"]
    assert "sluicegate render ai-gateway" in notes
    assert ("The journal is on the claim" in notes) == (values in ("production", "azure"))
    assert ("kubectl patch gatewayclass" in notes) == (values == "sidecar")
    assert ("Without TLS" in notes) == (values == "minimal")
    assert "<no value>" not in notes


def test_a_package_holds_what_it_needs(tmp_path: Path) -> None:
    packed = run([tool("helm"), "package", str(CHART), "--destination", str(tmp_path)])
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")
    file = str(CHART / "values/production.yaml")
    made = helm("template", "sluicegate", str(archive), "-n", "sluicegate", "-f", file)
    assert made.returncode == 0, made.stderr
    assert made.stdout == template("production")

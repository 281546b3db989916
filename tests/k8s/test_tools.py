"""The tools that manifests are tested with are those that the page names."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest
import yaml

from k8s.schemas import VERSIONS
from tests.k8s.manifests import CHART, ROOT

SCRIPT: Final = ROOT / "k8s/tools.sh"
PAGE: Final = (ROOT / "docs/operations/kubernetes.md").read_text("utf-8")


def pinned() -> dict[str, str]:
    """Name and version of everything in the script."""
    return dict(re.findall(r"^([a-z_]+)=v?([0-9.]+)\b", SCRIPT.read_text("utf-8"), re.MULTILINE))


def row(name: str) -> str:
    """The row of the table of versions that begins with this."""
    (found,) = (line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    return found


def test_it_is_a_script() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    assert subprocess.run([str(SCRIPT)], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Helm", ["helm"]),
        (
            "cert-manager, Prometheus operator, External Secrets",
            ["cert_manager", "prometheus_operator", "external_secrets"],
        ),
    ],
)
def test_the_page_names_the_versions(name: str, said: list[str]) -> None:
    for one in said:
        assert ".".join(pinned()[one].split(".")[:2]) in row(name)


def test_the_page_names_the_versions_of_envoy_gateway_and_kubernetes() -> None:
    assert pinned()["envoy_gateway"] in row("Envoy Gateway")
    assert f"--version v{pinned()['envoy_gateway']} " in PAGE
    assert all(version in row("Kubernetes") for version in VERSIONS)
    oldest = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["kubeVersion"]
    assert oldest == f">={VERSIONS[0]}.0-0"


def test_the_page_names_every_file_of_values() -> None:
    listed = set(re.findall(r"^ *\| `([a-z-]+)\.yaml` \|", PAGE, re.MULTILINE))
    assert listed == {path.stem for path in (CHART / "values").glob("*.yaml")}

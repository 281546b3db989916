"""The tools that manifests are tested with are those that the page names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
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


def test_a_python_of_here_is_found_from_elsewhere(tmp_path: Path) -> None:
    """As CI calls it, `.venv/bin/python`: it is called in other folders."""
    tools, source = tmp_path / "tools", tmp_path / "source"
    for name in ("helm", "kubeconform", "kubectl-validate", "egctl"):
        executable(tools / "bin" / name, "exit 0")
    definitions = re.findall(r"/([\w./{},*-]+\.yaml)", SCRIPT.read_text("utf-8").partition("/schemas/.all")[0])
    folders = re.findall(r"\)/(charts/\S+|deploy/\S+|example/\S+|config/\S+)$", SCRIPT.read_text("utf-8"), re.MULTILINE)
    assert len(definitions) == 5
    assert len(folders) == 4
    for folder in folders:
        (source / folder / "generated").mkdir(parents=True)
        # Each has them all: what it takes of them is not what is asked here.
        for name in names(definitions):
            (source / folder / name).write_text("{}")
    executable(tmp_path / "path/go", f'echo \'{{"Dir": "{source}"}}\'')
    (tools / "schemas").mkdir()
    (tools / "schemas/.all").touch()
    (tmp_path / "python").symlink_to(sys.executable)
    path = f"{tmp_path / 'path'}:{os.environ['PATH']}"
    told = subprocess.run(
        [str(SCRIPT), "tools", "./python"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    assert (tools / "crds/.all").exists()
    assert (tools / "crds/gatewayapi-crds.yaml").exists()


def executable(path: Path, line: str) -> None:
    """A script of one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def names(patterns: list[str]) -> Iterator[str]:
    """One file for each pattern of the shell."""
    for pattern in patterns:
        head, brace, rest = pattern.partition("{")
        inside, _, tail = rest.partition("}")
        for one in inside.split(",") if brace else [""]:
            yield f"{head}{one}{tail}".replace("*", "any")


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

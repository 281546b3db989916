"""What the chart makes, and what it is tested with: `python -m tests.k8s.manifests` writes the fixtures anew.

The fixtures are what `helm template` makes of two files of values, without dashboards and rules, so that what reads them
needs no tool. Tools are looked for in `$SLUICEGATE_K8S_TOOLS` (`k8s/tools.sh` makes it), then in the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extproc.ai_gateway.resources import Options, resources
from extproc.settings import parse
from extproc.strict_yaml import read

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "k8s/chart"
VALUES: Final = tuple(sorted(path.stem for path in (CHART / "values").glob("*.yaml")))
FIXTURES: Final = ROOT / "tests/fixtures/k8s"
FIXED: Final = ("production", "sidecar")
"""The values of which there is a fixture."""
NAMESPACE: Final = "sluicegate"
_KUBERNETES: Final = "1.33.0"
_SMALL: Final = ("monitoring.dashboards=false", "monitoring.rules=false")
Document = dict[str, Any]


def tools() -> Path | None:
    """The folder of tools, definitions and schemas."""
    named = os.environ.get("SLUICEGATE_K8S_TOOLS")
    return Path(named) if named else None


def tool(name: str) -> str:
    """The path of a tool; without it the test is skipped."""
    folder = tools()
    found = shutil.which(name, path=str(folder / "bin")) if folder is not None else None
    found = found or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: k8s/tools.sh FOLDER, and SLUICEGATE_K8S_TOOLS=FOLDER")
    return found


def beside(name: str) -> Path:
    """A folder beside the tools; without it the test is skipped."""
    folder = tools()
    if folder is None or not (folder / name).is_dir():
        pytest.skip(f"{name} of the tools are not here: k8s/tools.sh FOLDER, and SLUICEGATE_K8S_TOOLS=FOLDER")
    return folder / name


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command of helm says."""
    command = [tool("helm"), *arguments, "--kube-version", _KUBERNETES]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def template(values: str, *given: str, release: str = "sluicegate", upgrade: bool = False) -> str:
    """What `helm template` makes of a file of values. `given`: `key=JSON` that counts more.

    Raises:
        AssertionError: it makes nothing; with what helm says.
    """
    made = helm(*asked(values, *given, release=release), *(("--is-upgrade",) if upgrade else ()))
    assert made.returncode == 0, made.stderr
    return made.stdout


def asked(values: str, *given: str, release: str = "sluicegate") -> list[str]:
    """The arguments of `helm template`."""
    file = str(CHART / "values" / f"{values}.yaml")
    more = [part for one in given for part in ("--set-json", one)]
    return ["template", release, str(CHART), "--namespace", NAMESPACE, "--values", file, *more]


def documents(text: str) -> list[Document]:
    """The documents of a stream of YAML, without empty ones."""
    return [one for one in yaml.safe_load_all(text) if one]


def rendered(values: str, *given: str) -> list[Document]:
    """The documents that `helm template` makes of a file of values."""
    return documents(template(values, *given))


def fixture(name: str) -> list[Document]:
    """The documents of a fixture, to be changed as you like."""
    return deepcopy(_fixture(name))


@cache
def _fixture(name: str) -> list[Document]:
    return documents((FIXTURES / f"{name}.yaml").read_text("utf-8"))


def one(found: Sequence[Document], kind: str, name: str | None = None) -> Document:
    """The one document of this kind, or of this name."""
    (document,) = (x for x in found if x["kind"] == kind and name in (None, x["metadata"]["name"]))
    return document


def configuration(found: Sequence[Document]) -> str:
    """The configuration in the ConfigMap of the policy server."""
    (text,) = (x["data"]["gateway.yaml"] for x in found if x["kind"] == "ConfigMap" and "gateway.yaml" in x["data"])
    return str(text)


def for_envoy(found: Sequence[Document]) -> list[Document]:
    """What `sluicegate render ai-gateway` makes of the configuration of these documents. In a sidecar the GatewayClass
    names the EnvoyProxy of the chart, as its notes say."""
    made = resources(parse(read(configuration(found))), standalone=False, options=Options(namespace=NAMESPACE))
    if any(x["kind"] == "EnvoyProxy" for x in found):
        one(made, "GatewayClass")["spec"]["parametersRef"] = {
            "group": "gateway.envoyproxy.io",
            "kind": "EnvoyProxy",
            "name": "sluicegate-sidecar",
            "namespace": NAMESPACE,
        }
        one(made, "EnvoyProxy")["spec"]["mergeType"] = "StrategicMerge"
    return made


def small(name: str) -> str:
    """The text of a fixture, as helm makes it now."""
    return template(name, *_SMALL)


if __name__ == "__main__":
    for fixed in FIXED:
        (FIXTURES / f"{fixed}.yaml").write_text(small(fixed), "utf-8")

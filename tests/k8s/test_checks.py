"""Nothing is found in what the chart makes; each defect in the pods, their replacement and their journal is, alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import yaml

from k8s.checks import Severity, check
from k8s.checks.__main__ import main
from tests.k8s.manifests import FIXED, Document, fixture, for_envoy, one

Mutation = Callable[[list[Document]], object]


def pod(found: list[Document]) -> Document:
    spec: Document = one(found, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def policy(found: list[Document]) -> Document:
    container: Document = pod(found)["containers"][0]
    return container


def workload(found: list[Document]) -> Document:
    spec: Document = one(found, "StatefulSet")["spec"]
    return spec


def secured(key: str, value: Any) -> Mutation:
    return lambda found: policy(found)["securityContext"].update({key: value})


def without(found: list[Document], kind: str, name: str | None = None) -> None:
    found.remove(one(found, kind, name))


def root(found: list[Document]) -> None:
    policy(found)["securityContext"].pop("runAsUser")
    pod(found)["securityContext"]["runAsUser"] = 0


def a_deployment(found: list[Document]) -> None:
    workload(found).pop("updateStrategy")
    workload(found)["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    one(found, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["kind"] = "Deployment"
    one(found, "StatefulSet")["kind"] = "Deployment"


def rolled_carelessly(found: list[Document]) -> None:
    a_deployment(found)
    one(found, "Deployment")["spec"]["strategy"] = {"type": "Recreate"}


def on_a_claim_each(found: list[Document]) -> None:
    volumes = pod(found)["volumes"]
    volumes.remove(next(x for x in volumes if x["name"] == "sluicegate-journal"))
    workload(found)["volumeClaimTemplates"] = [{"metadata": {"name": "sluicegate-journal"}, "spec": {}}]


def on_an_empty_folder(found: list[Document]) -> None:
    volume = next(x for x in pod(found)["volumes"] if x["name"] == "sluicegate-journal")
    volume.pop("persistentVolumeClaim")
    volume["emptyDir"] = {}


def on_one_node(found: list[Document]) -> None:
    one(found, "PersistentVolumeClaim")["spec"]["accessModes"] = ["ReadWriteOnce"]


def mount_by_sub_path(found: list[Document]) -> None:
    mount = next(x for x in policy(found)["volumeMounts"] if x["name"] == "sluicegate-tls")
    mount["subPath"] = "tls"


def edited(found: list[Document], old: str, new: str) -> None:
    """Another configuration, as `kubectl edit` would make it, with the annotation that belongs to it."""
    import hashlib

    data = one(found, "ConfigMap")["data"]
    assert old in data["gateway.yaml"]
    data["gateway.yaml"] = data["gateway.yaml"].replace(old, new)
    template = workload(found)["template"]["metadata"]
    template["annotations"]["checksum/config"] = hashlib.sha256(data["gateway.yaml"].encode()).hexdigest()


PODS: dict[str, tuple[str, Mutation]] = {
    "token": ("token_mounted", lambda x: pod(x).pop("automountServiceAccountToken")),
    "node's network": ("host_namespace", lambda x: pod(x).update(hostNetwork=True)),
    "node's folder": ("host_path", lambda x: pod(x)["volumes"].append({"name": "n", "hostPath": {"path": "/"}})),
    "root": ("runs_as_root", root),
    "perhaps root": ("runs_as_root", secured("runAsNonRoot", False)),
    "writable": ("root_writable", secured("readOnlyRootFilesystem", False)),
    "privileged": ("may_gain_privileges", secured("privileged", True)),
    "escalation": ("may_gain_privileges", lambda x: policy(x)["securityContext"].pop("allowPrivilegeEscalation")),
    "capability": ("capabilities_kept", secured("capabilities", {"drop": ["ALL"], "add": ["NET_ADMIN"]})),
    "system calls": ("seccomp_missing", secured("seccompProfile", {"type": "Unconfined"})),
    "no requests": ("nothing_requested", lambda x: policy(x)["resources"].pop("requests")),
    "no memory limit": ("memory_unlimited", lambda x: policy(x)["resources"].pop("limits")),
    "limit of CPU": ("cpu_limited", lambda x: policy(x)["resources"]["limits"].update(cpu="1")),
    "latest": ("image_not_pinned", lambda x: policy(x).update(image="registry.example:5000/sluicegate:latest")),
    "no tag": ("image_not_pinned", lambda x: policy(x).update(image="registry.example:5000/sluicegate")),
    "password": ("secret_in_plain", lambda x: policy(x)["env"].append({"name": "DB_PASSWORD", "value": "hunter2"})),
    "no readiness": ("probe_missing", lambda x: policy(x).pop("readinessProbe")),
    "liveness by keys": (
        "liveness_is_readiness",
        lambda x: policy(x)["livenessProbe"]["httpGet"].update(path="/health/ready"),
    ),
    "gRPC without a certificate": (
        "grpc_probe_cannot_ask",
        lambda x: policy(x).update(readinessProbe={"grpc": {"port": 50051}}),
    ),
    "admin on loopback": ("admin_unreachable", lambda x: edited(x, "admin: 0.0.0.0", "admin: 127.0.0.1")),
}
ROLLOUT: dict[str, tuple[str, Mutation]] = {
    "no pause": ("no_pause_before_stop", lambda x: policy(x).pop("lifecycle")),
    "killed": ("killed_while_draining", lambda x: pod(x).update(terminationGracePeriodSeconds=30)),
    "longer grace": ("killed_while_draining", lambda x: edited(x, "grace: 30", "grace: 60")),
    "old configuration": (
        "configuration_not_rolled",
        lambda x: workload(x)["template"]["metadata"]["annotations"].pop("checksum/config"),
    ),
    "no configuration": ("no_configuration", lambda x: without(x, "ConfigMap")),
    "no budget": ("no_disruption_budget", lambda x: without(x, "PodDisruptionBudget")),
    "budget of others": (
        "no_disruption_budget",
        lambda x: one(x, "PodDisruptionBudget")["spec"]["selector"].update(matchLabels={"app": "other"}),
    ),
    "budget of none": ("node_never_drained", lambda x: one(x, "PodDisruptionBudget")["spec"].update(maxUnavailable=0)),
    "number beside an autoscaler": ("replicas_reset", lambda x: workload(x).update(replicas=3)),
    "one": ("one_replica", lambda x: one(x, "HorizontalPodAutoscaler")["spec"].update(minReplicas=1)),
    "all on one node": ("not_spread", lambda x: pod(x).pop("topologySpreadConstraints")),
}
JOURNAL: dict[str, tuple[str, Mutation]] = {
    "no follower": ("no_follower", lambda x: pod(x).pop("initContainers")),
    "nobody's name": ("journal_without_a_name", a_deployment),
    "a volume each": ("journals_apart", on_a_claim_each),
    "gone with the pod": ("journal_not_on_a_volume", on_an_empty_folder),
    "elsewhere": (
        "journal_not_on_a_volume",
        lambda x: edited(x, "folder: /var/lib/sluicegate/journal", "folder: /srv/j"),
    ),
    "on one node": ("journal_not_shared", on_one_node),
    "removed": ("journal_not_kept", lambda x: one(x, "PersistentVolumeClaim")["metadata"].pop("annotations")),
    "removed with its owner": (
        "journal_not_kept",
        lambda x: workload(x).update(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"}),
    ),
}
VARIANTS = {**PODS, **ROLLOUT, **JOURNAL}


@pytest.mark.parametrize("name", FIXED)
def test_nothing_is_found_in_what_the_chart_makes(name: str) -> None:
    found = fixture(name)
    assert check(found) == []
    assert check([*found, *for_envoy(found)]) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_each_defect_is_found_and_nothing_else(name: str) -> None:
    code, mutate = VARIANTS[name]
    found = fixture("production")
    mutate(found)
    assert {one.code for one in check(found)} == {code}


def test_a_deployment_that_is_recreated_is_away_meanwhile() -> None:
    found = fixture("production")
    rolled_carelessly(found)
    assert "away_while_rolled" in {one.code for one in check(found)}


def test_a_budget_that_asks_for_all_blocks() -> None:
    found = fixture("production")
    without(found, "HorizontalPodAutoscaler")
    workload(found)["replicas"] = 3
    budget = one(found, "PodDisruptionBudget")["spec"]
    del budget["maxUnavailable"]
    budget["minAvailable"] = 2
    assert check(found) == []
    budget["minAvailable"] = 3
    assert [one.code for one in check(found)] == ["node_never_drained"]


def envoys(found: list[Document]) -> Document:
    kubernetes: Document = one(found, "EnvoyProxy")["spec"]["provider"]["kubernetes"]
    return kubernetes


def patched(found: list[Document]) -> Document:
    container: Document = envoys(found)["envoyDeployment"]["patch"]["value"]["spec"]["template"]["spec"][
        "initContainers"
    ][0]
    return container


SIDECAR: dict[str, tuple[str, Mutation]] = {
    "no budget": ("no_disruption_budget", lambda x: envoys(x).pop("envoyPDB")),
    "writable": ("root_writable", lambda x: patched(x)["securityContext"].pop("readOnlyRootFilesystem")),
    "old configuration": (
        "configuration_not_rolled",
        lambda x: envoys(x)["envoyDeployment"]["pod"]["annotations"].clear(),
    ),
    "gRPC on a socket": (
        "grpc_probe_cannot_ask",
        lambda x: patched(x).update(readinessProbe={"grpc": {"port": 50051}}),
    ),
    "one": ("one_replica", lambda x: envoys(x)["envoyDeployment"].update(replicas=1)),
    "inner ports": ("inner_ports_open", lambda x: without(x, "NetworkPolicy")),
}


@pytest.mark.parametrize("name", SIDECAR)
def test_each_defect_of_a_sidecar_is_found(name: str) -> None:
    code, mutate = SIDECAR[name]
    found = fixture("sidecar")
    mutate(found)
    assert {one.code for one in check(found)} == {code}


def test_the_variants_are_what_they_seem() -> None:
    for _, mutate in VARIANTS.values():
        found = fixture("production")
        before = deepcopy(found)
        mutate(found)
        assert found != before


def test_errors_come_first_and_are_told_in_a_line() -> None:
    found = fixture("production")
    policy(found)["resources"]["limits"]["cpu"] = "1"
    pod(found).pop("automountServiceAccountToken")
    first, second = check(found)
    assert (first.severity, second.severity) == (Severity.ERROR, Severity.WARNING)
    assert str(first).startswith("error: StatefulSet sluicegate/sluicegate: token_mounted: ")
    assert "\n" not in str(first)


def test_other_workloads_are_nobodys_business() -> None:
    stranger = {"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [{}]}}}}
    assert check([stranger, None, "text"]) == []


@pytest.mark.parametrize(
    ("change", "arguments", "status"),
    [
        (lambda x: None, [], 0),
        (lambda x: policy(x)["resources"]["limits"].update(cpu="1"), [], 0),
        (lambda x: policy(x)["resources"]["limits"].update(cpu="1"), ["--strict"], 1),
        (root, [], 1),
    ],
)
def test_the_command_has_an_exit_status_for_scripts(
    change: Mutation,
    arguments: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = fixture("production")
    change(found)
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump_all(found)))
    assert main(arguments) == status
    assert bool(capsys.readouterr().out) == bool(check(found))


def test_what_is_no_yaml_cannot_be_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a: [b"))
    assert main([]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "---\n", "---\n# what helm could not make\n---\n"])
def test_nothing_is_no_result(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main([]) == 2
    assert "nothing to check" in capsys.readouterr().err

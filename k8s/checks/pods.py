"""What containers of the policy server may do, and how they are asked how they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from k8s.checks.documents import Served, at, items
from k8s.checks.finding import Finding, Severity

_SECRET: Final = re.compile(r"PASSWORD|SECRET|TOKEN|API_?KEY|_KEY$", re.IGNORECASE)


def check_pods(one: Served) -> Iterator[Finding]:
    """Of one policy server."""
    spec = one.pod.spec
    if not one.pod.is_envoys and spec.get("automountServiceAccountToken") is not False:
        yield Finding("token_mounted", one.where, "a token of Kubernetes is mounted, and nothing here asks Kubernetes")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield Finding("host_namespace", one.where, f"{key}: what the node does is open to the container")
    for volume in items(spec, "volumes"):
        if "hostPath" in volume:
            yield Finding("host_path", one.where, f"volume {volume.get('name')} is a folder of the node")
    for container in one.pod.containers():
        yield from _container(one, container)
    yield from _probes(one)


def _container(one: Served, container: Mapping[str, Any]) -> Iterator[Finding]:
    where = f"{one.where}, {container.get('name')}"
    own, pods = container.get("securityContext") or {}, one.pod.spec.get("securityContext") or {}

    def secured(key: str) -> Any:
        return own[key] if key in own else pods.get(key)

    if secured("runAsNonRoot") is not True or secured("runAsUser") in (0, "0"):
        yield Finding("runs_as_root", where, "it may run as root: set runAsNonRoot, and a runAsUser that is not 0")
    if own.get("readOnlyRootFilesystem") is not True:
        yield Finding("root_writable", where, "whoever gets in can change the program: set readOnlyRootFilesystem")
    if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
        yield Finding("may_gain_privileges", where, "set allowPrivilegeEscalation: false")
    if "ALL" not in items(own, "capabilities", "drop") or items(own, "capabilities", "add"):
        yield Finding("capabilities_kept", where, "it needs none: drop ALL, and add none")
    if at(secured("seccompProfile"), "type") not in ("RuntimeDefault", "Localhost"):
        yield Finding("seccomp_missing", where, "every system call is open to it: set a seccompProfile")
    yield from _resources(where, container)
    yield from _image(where, str(container.get("image", "")))
    for variable in items(container, "env"):
        if _SECRET.search(str(variable.get("name"))) and variable.get("value"):
            yield Finding("secret_in_plain", where, f"{variable['name']} stands in the manifest: refer to a Secret")


def _resources(where: str, container: Mapping[str, Any]) -> Iterator[Finding]:
    requested = at(container, "resources", "requests") or {}
    limited = at(container, "resources", "limits") or {}
    if not requested.get("cpu") or not requested.get("memory"):
        yield Finding("nothing_requested", where, "it is placed anywhere, and evicted first: request CPU and memory")
    if not limited.get("memory"):
        yield Finding("memory_unlimited", where, "what goes wrong in it takes the node's memory: set a limit")
    if limited.get("cpu"):
        what = "a limit of CPU stops it in the middle of decisions, and Envoy's messages time out"
        yield Finding("cpu_limited", where, what, Severity.WARNING)


def _image(where: str, image: str) -> Iterator[Finding]:
    name, _, tag = image.rpartition("/")[2].partition(":")
    if "@sha256:" not in name and tag in ("", "latest"):
        yield Finding("image_not_pinned", where, f"{image}: replicas may run different programs, and none can go back")


def _probes(one: Served) -> Iterator[Finding]:
    container = one.container
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        if not container.get(key):
            yield Finding("probe_missing", one.where, f"{key}: requests go to a server that cannot decide")
    if at(container, "livenessProbe", "httpGet", "path") == "/health/ready" or at(container, "livenessProbe", "grpc"):
        what = "an identity provider that is away would have every replica killed: ask /health/live"
        yield Finding("liveness_is_readiness", one.where, what)
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        if at(container, key, "grpc") and (one.server("tls") or not one.is_on_the_network):
            yield Finding("grpc_probe_cannot_ask", one.where, f"{key}: kubelets show no certificate and know no sockets")
        if at(container, key, "httpGet") and one.tree and _is_loopback(str(one.server("admin", "unix:"))):
            yield Finding("admin_unreachable", one.where, f"{key}: server.admin listens where no kubelet can ask")


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "localhost:", "[::1]", "unix:"))

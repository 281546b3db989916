"""Manifests as the checks look at them: by kind, and the pods that they describe. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

Document = Mapping[str, Any]
WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet")


def at(tree: Any, *path: str | int) -> Any:
    """What stands there; None where there is nothing."""
    for step in path:
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, list) and step < len(tree) else None
        else:
            tree = tree.get(step) if isinstance(tree, Mapping) else None
    return tree


def items(tree: Any, *path: str | int) -> list[Any]:
    """The list that stands there; an empty one where there is none."""
    found = at(tree, *path)
    return found if isinstance(found, list) else []


def where(document: Document) -> str:
    """How a document is called in findings."""
    namespace = at(document, "metadata", "namespace")
    name = at(document, "metadata", "name")
    return f"{document.get('kind')} {namespace}/{name}" if namespace else f"{document.get('kind')} {name}"


def fits(selector: Any, labels: Mapping[str, Any]) -> bool:
    """Whether a label selector takes these labels. `matchExpressions` are not understood: it is taken not to."""
    if not isinstance(selector, Mapping) or selector.get("matchExpressions"):
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


@dataclass(frozen=True)
class Pod:
    """The pods of a workload, or those of Envoy that an EnvoyProxy changes.

    Attributes:
        owner: the document that describes them.
        replicas: how many there are; None where something else decides it.
        is_envoys: only what is added to Envoy's pods is known.
    """

    owner: Document
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]
    spec: Mapping[str, Any]
    replicas: int | None
    is_envoys: bool = False

    @property
    def namespace(self) -> str | None:
        return at(self.owner, "metadata", "namespace")  # type: ignore[no-any-return]

    def containers(self) -> list[Mapping[str, Any]]:
        """All of them, those that stand beside others included."""
        return [*items(self.spec, "initContainers"), *items(self.spec, "containers")]

    def running(self, *words: str) -> Mapping[str, Any] | None:
        """The container that runs this command of `sluicegate`."""
        found = (one for one in self.containers() if items(one, "args")[: len(words)] == list(words))
        return next(found, None)

    def volumes(self) -> list[Mapping[str, Any]]:
        """All of them; of a claim that each replica gets for itself, the name."""
        names = [at(one, "metadata", "name") for one in items(self.owner, "spec", "volumeClaimTemplates")]
        own = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
        return [*items(self.spec, "volumes"), *own]

    def volume(self, container: Mapping[str, Any], path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """The mount in which a path lies, and its volume. The longest counts."""
        mounts = [one for one in items(container, "volumeMounts") if f"{path}/".startswith(f"{one['mountPath']}/")]
        if not mounts:
            return None
        mount = max(mounts, key=lambda one: len(one["mountPath"]))
        volume = next((one for one in self.volumes() if one.get("name") == mount["name"]), None)
        return None if volume is None else (mount, volume)


class Documents:
    """All of them, in order."""

    def __init__(self, documents: Iterable[Any]) -> None:
        """What is no mapping, as an empty document, is left out."""
        self._all: list[Document] = [one for one in documents if isinstance(one, Mapping)]

    def of(self, *kinds: str) -> list[Document]:
        return [one for one in self._all if one.get("kind") in kinds]

    def named(self, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """One by its name. A namespace that is not said fits all."""
        for one in self.of(kind):
            own = at(one, "metadata", "namespace")
            if at(one, "metadata", "name") == name and (namespace is None or own is None or own == namespace):
                return one
        return None

    def pods(self) -> Iterator[Pod]:
        """Those of the policy server: of its own workload, or in Envoy's."""
        for document in self.of(*WORKLOADS):
            template = at(document, "spec", "template") or {}
            pod = Pod(
                document,
                at(template, "metadata", "labels") or {},
                at(template, "metadata", "annotations") or {},
                template.get("spec") or {},
                at(document, "spec", "replicas"),
            )
            if pod.running("serve") is not None:
                yield pod
        for document in self.of("EnvoyProxy"):
            pod = _in_envoy(document)
            if pod.running("serve") is not None:
                yield pod


def _in_envoy(document: Document) -> Pod:
    deployment = at(document, "spec", "provider", "kubernetes", "envoyDeployment") or {}
    patched = at(deployment, "patch", "value", "spec", "template", "spec") or {}
    described = deployment.get("pod") or {}
    spec = {
        **patched,
        "securityContext": described.get("securityContext") or patched.get("securityContext") or {},
        "volumes": [*items(described, "volumes"), *items(patched, "volumes")],
    }
    annotations = described.get("annotations") or {}
    return Pod(document, {}, annotations, spec, deployment.get("replicas"), is_envoys=True)


@dataclass(frozen=True)
class Served:
    """A pod of the policy server, and the configuration that it reads.

    Attributes:
        text: the configuration as it stands in the ConfigMap; None where it is in none of these documents.
        tree: what it says; empty where it is not known.
    """

    pod: Pod
    container: Mapping[str, Any]
    text: str | None
    tree: Mapping[str, Any]

    @property
    def where(self) -> str:
        return where(self.pod.owner)

    def server(self, key: str, default: Any = None) -> Any:
        """A key of `server` in the configuration."""
        found = at(self.tree, "server", key)
        return default if found is None else found

    @property
    def is_on_the_network(self) -> bool:
        """Whether it listens on a port, and not on a unix socket."""
        return not str(self.server("listen", "unix:")).startswith("unix:")

    def policy(self, name: str) -> Mapping[str, Any] | None:
        """The settings of a policy in the chain; None where it is not in it."""
        found: Sequence[Any] = items(self.tree, "policies")
        return next((one.get("settings") or {} for one in found if at(one, "policy") == name), None)


def served(documents: Documents) -> Iterator[Served]:
    """The policy servers, each with its configuration."""
    for pod in documents.pods():
        container = pod.running("serve") or {}
        text = _configuration(documents, pod, container)
        tree = yaml.safe_load(text) if text is not None else {}
        yield Served(pod, container, text, tree if isinstance(tree, Mapping) else {})


def _configuration(documents: Documents, pod: Pod, container: Mapping[str, Any]) -> str | None:
    path = str(items(container, "args")[-1])
    held = pod.volume(container, path)
    name = at(held[1], "configMap", "name") if held is not None else None
    source = documents.named("ConfigMap", name) if name is not None else None
    text = at(source, "data", path.rpartition("/")[2])
    return text if isinstance(text, str) else None

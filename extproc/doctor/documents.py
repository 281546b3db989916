"""Kubernetes documents of Envoy Gateway and Envoy AI Gateway: by kind, and who is about whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from extproc.doctor.tree import Tree, UnreadableError


@dataclass(frozen=True, slots=True)
class Document:
    """A resource. `tree` is the whole of it."""

    kind: str
    name: str
    namespace: str
    tree: Tree

    @property
    def spec(self) -> Tree:
        return self.tree.at("spec")

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.kind} {self.namespace}/{self.name}"

    def targets(self, kind: str) -> list[Tree]:
        """What a policy is about, of this kind: references by name and by label."""
        listed = [*self.spec.items("targetRefs"), *self.spec.items("targetSelectors")]
        single = self.spec.at("targetRef")
        return [each for each in [*listed, *([single] if single else [])] if each.text("kind") == kind]


@dataclass(frozen=True, slots=True)
class Resources:
    """All documents of a gateway."""

    documents: tuple[Document, ...]

    def of(self, kind: str) -> list[Document]:
        """The resources of this kind, in order."""
        return [each for each in self.documents if each.kind == kind]


def are_documents(values: Iterable[object]) -> bool:
    """Whether these have the form of Kubernetes documents."""
    listed = list(values)
    return bool(listed) and all(isinstance(each, dict) and "kind" in each and "apiVersion" in each for each in listed)


def resources_of(values: Iterable[Any]) -> Resources:
    """The documents by kind.

    Raises:
        UnreadableError: they are none, or hold no Gateway.
    """
    found = Resources(tuple(_each(values)))
    if not found.of("Gateway"):
        raise UnreadableError("there is no Gateway among the documents: give all that is rendered, in one file")
    return found


def _each(values: Iterable[Any]) -> Iterator[Document]:
    for index, value in enumerate(values):
        tree = Tree(value, f"document {index + 1}")
        if tree.text("kind") == "List":
            yield from _each(item.value for item in tree.items("items"))
            continue
        metadata = tree.at("metadata")
        yield Document(tree.text("kind"), metadata.text("name"), metadata.text("namespace") or "default", tree)

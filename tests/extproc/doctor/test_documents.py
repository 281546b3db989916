"""Kubernetes documents, by kind."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.doctor.documents import are_documents, resources_of
from extproc.doctor.tree import UnreadableError


def document(kind: str, name: str = "a", **members: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **members}


def test_lists_are_what_is_in_them() -> None:
    listed = document("List", items=[document("Gateway"), document("Secret", "s")])
    found = resources_of([listed, document("Secret", "t")])
    assert [each.where for each in found.of("Secret")] == ["Secret default/s", "Secret default/t"]


def test_who_a_policy_is_about() -> None:
    refs = [{"kind": "Gateway", "name": "g"}, {"kind": "HTTPRoute", "name": "r"}]
    spec = {"targetRefs": refs, "targetSelectors": [{"kind": "HTTPRoute"}], "targetRef": {"kind": "Gateway", "name": "h"}}
    (policy,) = resources_of([document("Gateway"), document("P", spec=spec)]).of("P")
    assert [target.text("name") for target in policy.targets("Gateway")] == ["g", "h"]
    assert len(policy.targets("HTTPRoute")) == 2


@pytest.mark.parametrize("values", [[], [1], [{"kind": "Gateway"}], [document("Gateway"), "x"]])
def test_what_are_no_documents(values: list[Any]) -> None:
    assert not are_documents(values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([document("Secret")], "no Gateway"),
        ([document("Gateway"), {**document("Secret"), "metadata": []}], "document 2.metadata: expected a mapping"),
        ([{**document("List"), "items": {}}], "items: expected a list"),
    ],
)
def test_what_is_wrong_with_them_is_told(values: list[Any], said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        resources_of(values)

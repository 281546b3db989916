"""The documents as a whole: from the examples, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from extproc.ai_gateway.resources import resources
from extproc.mistakes import ConfigurationError
from tests.extproc.ai_gateway.configured import configured, documents

KINDS = {
    *("GatewayClass", "Gateway", "EnvoyProxy", "ClientTrafficPolicy", "BackendTrafficPolicy", "EnvoyExtensionPolicy"),
    *("Backend", "BackendTLSPolicy", "AIServiceBackend", "BackendSecurityPolicy", "AIGatewayRoute"),
    *("HTTPRoute", "HTTPRouteFilter"),
}


def test_kinds() -> None:
    assert {kind for kind, _ in documents()} == KINDS
    assert {kind for kind, _ in documents(standalone=True)} == {*KINDS, "Secret"}


def references(tree: Any) -> list[str]:
    """The names of the Backends that a document names."""
    if isinstance(tree, dict):
        own = [tree["name"]] if tree.get("kind") == "Backend" and "name" in tree else []
        return [*own, *(name for value in tree.values() for name in references(value))]
    return [name for value in tree for name in references(value)] if isinstance(tree, list) else []


@pytest.mark.parametrize("standalone", [False, True])
def test_what_is_named_is_there(standalone: bool) -> None:
    found = documents(standalone=standalone)
    there = {name for kind, name in found if kind == "Backend"}
    named = {name for made in found.values() for name in references(made.get("spec", {}))}
    assert named == there
    services = {name for kind, name in found if kind == "AIServiceBackend"}
    rules = [rule for (kind, _), made in found.items() if kind == "AIGatewayRoute" for rule in made["spec"]["rules"]]
    assert {ref["name"] for rule in rules for ref in rule["backendRefs"]} == services


def test_what_policies_tell_comes_from_the_configuration() -> None:
    policies = [{"policy": "access"}, {"policy": "limits"}]
    made = resources(configured(policies=policies), standalone=False)
    (spec,) = [document["spec"] for document in made if document["kind"] == "ClientTrafficPolicy"]
    told = {field["name"] for field in spec["headers"]["lateResponseHeaders"]["set"]}
    assert "x-ratelimit-remaining-tokens" in told


def test_the_documents_share_nothing() -> None:
    made = resources(configured(), standalone=False)
    assert "&id" not in yaml.safe_dump_all(made)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    opaque = [{"name": "files", "path": "/v1/files", "upstream": "openai"}]
    with pytest.raises(ConfigurationError) as refused:
        resources(configured(opaque=opaque, listen={"port": 1061}), standalone=True)
    assert len(refused.value.mistakes) == 2

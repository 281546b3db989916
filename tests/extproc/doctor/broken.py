"""Breaks a configuration of ours and asks the doctor: for the tests of each check."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from extproc.ai_gateway.resources import resources
from extproc.doctor.reading import report
from extproc.envoy_profile import bootstrap
from tests.extproc.doctor import recorded
from tests.extproc.doctor.parts import of_bootstrap, of_dump
from tests.extproc.doctor.variants import PLAIN, Variant
from tests.gateway import settings


def plain(**changes: Any) -> dict[str, Any]:
    """The bootstrap of the plain profile: upstreams of each provider, an agent, an opaque route."""
    return bootstrap(settings("http://127.0.0.1:9", **changes), admin="127.0.0.1:9901", response_fields=recorded.FIELDS)


@cache
def _documents() -> str:
    return json.dumps(resources(recorded.settings(), standalone=True, response_fields=recorded.FIELDS))


def documents() -> list[dict[str, Any]]:
    """The resources of the AI Gateway profile for this machine, to be changed."""
    return list(json.loads(_documents()))


def documents_of_a_cluster(*, tls: bool) -> list[dict[str, Any]]:
    """Those for a cluster, with TLS to the policy server or without."""
    files = {"certificate": "/tls/tls.crt", "key": "/tls/tls.key"}
    envoy = {**files, "ca": "/tls/ca.crt", "server_name": "policy.internal", "host": "policy.internal"}
    secured = {"tls": {**files, "client_ca": "/tls/ca.crt", "client_names": ["envoy"], "envoy": envoy}} if tls else {}
    upstream = {"name": "openai", "provider": "openai", "url": "https://api.openai.com/v1", "models": ["gpt-4o"]}
    given = recorded.settings(
        server={"listen": "0.0.0.0:50051", "profile": "ai-gateway", **secured},
        upstreams=[upstream],
        agents=[{"name": "kb", "url": "http://kb.agents.svc.cluster.local"}],
    )
    return resources(given, standalone=False, response_fields=recorded.FIELDS)


def of_kind(listed: Iterable[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The `spec` of the first document of this kind."""
    return next(dict.__getitem__(each, "spec") for each in listed if each["kind"] == kind)


def codes(whole: Any) -> set[str]:
    """What the doctor finds in a document."""
    return {finding.code for finding in report(json.dumps(whole)).findings}


def codes_of_documents(listed: list[dict[str, Any]]) -> set[str]:
    """What the doctor finds in Kubernetes documents, as `kubectl get -o json` writes them."""
    return codes({"apiVersion": "v1", "kind": "List", "items": listed})


def both(variants: Iterable[Variant]) -> list[Any]:
    """Each variant in each profile that it is possible in, as arguments of `found`."""
    return [
        pytest.param(variant, profile, id=f"{variant}-{profile}") for variant in variants for profile in variant.profiles
    ]


def found(variant: Variant, profile: str) -> set[str]:
    """What the doctor finds in this variant."""
    parts = of_bootstrap(plain()) if profile == PLAIN else of_dump(recorded.dump())
    variant.change(parts)
    return codes(parts.whole)

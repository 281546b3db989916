"""All checks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from k8s.checks.documents import Documents, served
from k8s.checks.finding import Finding, Severity
from k8s.checks.gateway import check_gateway
from k8s.checks.journal import check_journal
from k8s.checks.network import check_network
from k8s.checks.pods import check_pods
from k8s.checks.rollout import check_rollout

_DECISION: Final = 5.0
"""Seconds: the default of `server.decision_timeout`."""


def check(manifests: Iterable[Any]) -> list[Finding]:
    """All that is wrong with manifests: those of the chart, those for Envoy Gateway, or both together, which finds more.

    Errors come first.
    """
    documents = Documents(manifests)
    servers = list(served(documents))
    found: list[Finding] = []
    for one in servers:
        found += check_pods(one)
        found += check_rollout(documents, one)
        found += check_journal(documents, one)
        found += check_network(documents, one)
    timeouts = [float(one.server("decision_timeout", _DECISION)) for one in servers]
    found += check_gateway(documents, max(timeouts, default=_DECISION))
    return sorted(dict.fromkeys(found), key=lambda one: one.severity is Severity.WARNING)

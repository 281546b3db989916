"""Whether the policy server is there while pods are replaced, nodes are drained, and load grows. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from k8s.checks.documents import Document, Documents, Served, at, fits, items, where
from k8s.checks.finding import Finding, Severity

_GRACE: Final = 10.0
"""Seconds: the default of `server.grace`."""
_BEYOND: Final = 5
"""Seconds beyond twice `server.grace` that a process may take to end."""


def check_rollout(documents: Documents, one: Served) -> Iterator[Finding]:
    """Of one policy server."""
    yield from _rolled(one)
    if one.pod.is_envoys:
        kubernetes = at(one.pod.owner, "spec", "provider", "kubernetes") or {}
        if not kubernetes.get("envoyPDB"):
            yield Finding("no_disruption_budget", one.where, "a drained node may take all of Envoy's pods: set envoyPDB")
        yield from _few(one, [])
        return
    yield from _ending(one)
    scalers = [scaler for scaler in documents.of("HorizontalPodAutoscaler") if _scales(scaler, one)]
    yield from _few(one, scalers)
    yield from _budgets(documents, one, bool(scalers))
    strategy = at(one.pod.owner, "spec", "strategy") or {}
    if one.pod.owner.get("kind") == "Deployment":
        least = at(strategy, "rollingUpdate", "maxUnavailable")
        if strategy.get("type") == "Recreate" or least not in (0, "0", "0%"):
            yield Finding("away_while_rolled", one.where, "an old pod goes before a new one is ready: maxUnavailable: 0")
    if not items(one.pod.spec, "topologySpreadConstraints") and not at(one.pod.spec, "affinity", "podAntiAffinity"):
        yield Finding("not_spread", one.where, "all replicas may be on one node", Severity.WARNING)


def _rolled(one: Served) -> Iterator[Finding]:
    if one.text is None:
        yield Finding("no_configuration", one.where, "the configuration that it reads is in none of these documents")
        return
    digest = hashlib.sha256(one.text.encode()).hexdigest()
    if digest not in one.pod.annotations.values():
        what = "pods go on with the old configuration: an annotation must hold the SHA-256 of the new one"
        yield Finding("configuration_not_rolled", one.where, what)


def _ending(one: Served) -> Iterator[Finding]:
    pause = at(one.container, "lifecycle", "preStop")
    seconds = at(pause, "sleep", "seconds") or 0
    if not pause:
        yield Finding("no_pause_before_stop", one.where, "Envoy still asks a pod that has stopped listening: set preStop")
    needed = seconds + 2 * float(one.server("grace", _GRACE)) + _BEYOND
    given = one.pod.spec.get("terminationGracePeriodSeconds", 30)
    if given < needed:
        what = f"it is killed after {given} s, and may need {needed:g} s: preStop, twice server.grace, and {_BEYOND} s"
        yield Finding("killed_while_draining", one.where, what)


def _scales(scaler: Document, one: Served) -> bool:
    target = at(scaler, "spec", "scaleTargetRef") or {}
    named = target.get("kind"), target.get("name")
    return named == (one.pod.owner.get("kind"), at(one.pod.owner, "metadata", "name"))


def _few(one: Served, scalers: list[Document]) -> Iterator[Finding]:
    if scalers and one.pod.replicas is not None:
        what = "`replicas` stands beside an autoscaler: each upgrade puts the number back"
        yield Finding("replicas_reset", one.where, what)
    least = min((at(scaler, "spec", "minReplicas") or 1 for scaler in scalers), default=one.pod.replicas or 1)
    if least < 2:
        yield Finding("one_replica", one.where, "while it is replaced every request gets 503", Severity.WARNING)


def _budgets(documents: Documents, one: Served, scaled: bool) -> Iterator[Finding]:
    budgets = [
        budget
        for budget in documents.of("PodDisruptionBudget")
        if at(budget, "metadata", "namespace") == one.pod.namespace
        and fits(at(budget, "spec", "selector"), one.pod.labels)
    ]
    if not budgets:
        yield Finding("no_disruption_budget", one.where, "a drained node may take all replicas at once")
    for budget in budgets:
        spec = budget.get("spec") or {}
        if _blocks(spec, None if scaled else one.pod.replicas or 1):
            yield Finding("node_never_drained", where(budget), "it allows no eviction: nodes cannot be drained")


def _blocks(spec: Any, replicas: int | None) -> bool:
    if spec.get("maxUnavailable") in (0, "0", "0%") or spec.get("minAvailable") == "100%":
        return True
    least = spec.get("minAvailable")
    return isinstance(least, int) and replicas is not None and least >= replicas

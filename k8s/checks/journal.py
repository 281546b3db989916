"""Whether what is written down stays, and is whole. Pure.

The two halves of an exchange may be written by two replicas, because any of them settles what another has decided. So all
journals of a gateway stand in one folder, which one process follows (`sluicegate audit follow`): with a folder for each
replica it would take every such exchange for lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from k8s.checks.documents import Document, Documents, Served, at, items, where
from k8s.checks.finding import Finding, Severity


def check_journal(documents: Documents, one: Served) -> Iterator[Finding]:
    """Of one policy server."""
    settings = one.policy("audit")
    if settings is None:
        return
    if one.pod.running("audit", "follow") is None:
        what = "nothing brings records to sinks, and nothing completes what a killed process left: run `audit follow`"
        yield Finding("no_follower", one.where, what)
    held = one.pod.volume(one.container, str(at(settings, "journal", "folder") or "/"))
    if held is None:
        yield Finding("journal_not_on_a_volume", one.where, "the journal's folder is on no volume")
        return
    name = held[1].get("name")
    if _several(documents, one) and name in [at(claim, "metadata", "name") for claim in _own_claims(one)]:
        yield Finding(
            "journals_apart", one.where, "each replica has a volume of its own: exchanges would be taken for lost"
        )
    claim = at(held[1], "persistentVolumeClaim", "claimName")
    if claim is None:
        yield Finding("journal_not_on_a_volume", one.where, f"the journal goes with its pod: {name} is no claim")
        return
    if one.pod.owner.get("kind") == "Deployment":
        what = "pods have new names each time: what a killed one left is settled again by nobody"
        yield Finding("journal_without_a_name", one.where, what)
    if at(one.pod.owner, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted") == "Delete":
        what = "the journal is removed with the workload: whenDeleted: Retain"
        yield Finding("journal_not_kept", one.where, what, Severity.WARNING)
    document = documents.named("PersistentVolumeClaim", claim)
    if document is not None:
        yield from _claim(documents, one, document)


def _claim(documents: Documents, one: Served, claim: Document) -> Iterator[Finding]:
    modes = items(claim, "spec", "accessModes")
    if "ReadWriteMany" not in modes and _several(documents, one):
        yield Finding("journal_not_shared", where(claim), "several replicas write there: ReadWriteMany")
    policy = at(claim, "metadata", "annotations", "helm.sh/resource-policy")
    if policy != "keep":
        what = "`helm uninstall` removes the journal: annotate helm.sh/resource-policy: keep"
        yield Finding("journal_not_kept", where(claim), what, Severity.WARNING)


def _own_claims(one: Served) -> list[Any]:
    return items(one.pod.owner, "spec", "volumeClaimTemplates")


def _several(documents: Documents, one: Served) -> bool:
    scaled = any(
        at(scaler, "spec", "scaleTargetRef", "name") == at(one.pod.owner, "metadata", "name")
        for scaler in documents.of("HorizontalPodAutoscaler")
    )
    return scaled or one.pod.is_envoys or (one.pod.replicas or 1) > 1

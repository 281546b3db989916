"""What is wrong with manifests that would be accepted all the same: Sluicegate's chart, and the resources that
`sluicegate render ai-gateway` makes. Pure; asked of documents, not of a cluster.

    helm template sluicegate k8s/chart -f values.yaml | python -m k8s.checks
"""

from __future__ import annotations

from k8s.checks.check import check
from k8s.checks.finding import Finding, Severity

__all__ = ["Finding", "Severity", "check"]

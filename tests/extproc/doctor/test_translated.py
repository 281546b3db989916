"""What Envoy Gateway itself makes of the resources for a cluster, where its `egctl` is there to be asked."""

from __future__ import annotations

import json
from pathlib import Path

from extproc.doctor.reading import Kind, report
from tests.extproc.ai_gateway.test_schemas import translated
from tests.extproc.doctor.broken import documents_of_a_cluster


def test_nothing_is_found_but_what_ai_gateway_would_add(tmp_path: Path) -> None:
    tree = translated(documents_of_a_cluster(tls=False), tmp_path / "documents.yaml")
    found = report(json.dumps(tree["xds"]))
    assert found.kind is Kind.DUMP
    # The first is AI Gateway's to do; the second is so.
    assert {finding.code for finding in found.findings} == {"internal_headers_kept", "policy_in_clear"}
    assert len(found.unknown) == 1

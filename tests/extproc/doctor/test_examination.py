"""Nothing is found in what is ours, and every trap is found somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from extproc.doctor import traps
from extproc.doctor.examination import examine
from extproc.doctor.reading import Kind, report
from extproc.doctor.view import Gateway
from tests.extproc.doctor import recorded, variants
from tests.extproc.doctor.broken import codes_of_documents, documents, documents_of_a_cluster, plain
from tests.extproc.doctor.checks import test_extension_policies, test_gateway_routes, test_traffic


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"listen": {"port": 8080, "cors": {"allow_origins": ["https://app.example"]}}},
        {"server": {"workers": 3, "listen": "unix:/tmp/x/policy.sock"}},
    ],
    ids=["one process", "cors", "workers"],
)
def test_nothing_is_found_in_the_plain_profile(changes: dict[str, Any]) -> None:
    found = report(json.dumps(plain(**changes)))
    assert found.kind is Kind.BOOTSTRAP
    assert found.findings == []


def test_nothing_is_found_in_what_the_real_ai_gateway_made_of_ours() -> None:
    found = report(json.dumps(recorded.dump()))
    assert found.kind is Kind.DUMP
    assert found.findings == []
    assert found.unknown == ()


def test_nothing_is_found_in_the_resources_for_this_machine() -> None:
    assert codes_of_documents(documents()) == set()


def test_in_a_cluster_the_policy_server_is_another_machine() -> None:
    assert codes_of_documents(documents_of_a_cluster(tls=True)) == set()
    assert codes_of_documents(documents_of_a_cluster(tls=False)) == {"policy_in_clear"}


def test_who_serves_nothing_is_no_gateway() -> None:
    assert [finding.code for finding in examine(Gateway((), {}))] == ["policy_missing"]


def broken() -> Iterator[str]:
    yield from (variant.code for variant in variants.ALL)
    for module in (test_extension_policies, test_traffic, test_gateway_routes):
        yield from (code for code, _, _ in module.BROKEN)


def test_every_trap_is_found_somewhere() -> None:
    # Those that no configuration of ours can be turned into by one change: see the tests of their checks.
    apart = {"tcp_unjudged", "update_refused"}
    assert set(traps.ALL) - set(broken()) == apart

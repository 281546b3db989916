"""AIGatewayRoutes and HTTPRoutes: each defect is found, and nothing else with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.extproc.doctor.broken import codes_of_documents, documents, of_kind

Documents = list[dict[str, Any]]


def rule(listed: Documents, kind: str = "AIGatewayRoute") -> dict[str, Any]:
    found: dict[str, Any] = of_kind(listed, kind)["rules"][0]
    return found


def filters(listed: Documents) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rule(listed, "HTTPRoute")["filters"]
    return found


def mcp(listed: Documents) -> None:
    listed.append({"apiVersion": "aigateway.envoyproxy.io/v1beta1", "kind": "MCPRoute", "metadata": {"name": "tools"}})


def unremoved(listed: Documents) -> None:
    kept = filters(listed)
    kept[:] = [each for each in kept if each["type"] != "RequestHeaderModifier"]


BROKEN: Final[list[tuple[str, str, Callable[[Documents], Any]]]] = [
    ("costs_missing", "none", lambda d: of_kind(d, "AIGatewayRoute").pop("llmRequestCosts")),
    ("costs_missing", "one", lambda d: of_kind(d, "AIGatewayRoute")["llmRequestCosts"].pop()),
    ("route_without_verdict", "no match", lambda d: rule(d).pop("matches")),
    (
        "route_without_verdict",
        "a pattern",
        lambda d: rule(d)["matches"][0]["headers"][0].update(type="RegularExpression"),
    ),
    ("route_without_verdict", "an agent", lambda d: rule(d, "HTTPRoute")["matches"][0].pop("headers")),
    ("retries", "agent", lambda d: rule(d, "HTTPRoute").update(retry={"attempts": 3})),
    ("answer_cut", "default", lambda d: rule(d).pop("timeouts")),
    ("answer_cut", "short", lambda d: rule(d, "HTTPRoute")["timeouts"].update(request="1m")),
    ("mirrored", "agent", lambda d: filters(d).append({"type": "RequestMirror", "requestMirror": {}})),
    ("internal_headers_kept", "provider", lambda d: of_kind(d, "AIServiceBackend").pop("headerMutation")),
    ("internal_headers_kept", "agent", unremoved),
    ("mcp_open", "no network policy", mcp),
]


@pytest.mark.parametrize(("code", "change"), [pytest.param(c, f, id=f"{c}-{n}") for c, n, f in BROKEN])
def test_a_defect_is_found_and_nothing_else(code: str, change: Callable[[Documents], Any]) -> None:
    listed = documents()
    change(listed)
    assert codes_of_documents(listed) == {code}


def test_a_network_policy_closes_the_ports_of_mcp() -> None:
    listed = documents()
    mcp(listed)
    listed.append({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"}})
    assert codes_of_documents(listed) == set()

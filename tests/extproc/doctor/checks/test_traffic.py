"""EnvoyProxy, ClientTrafficPolicy, BackendTrafficPolicy: each defect is found, and nothing else with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.extproc.doctor.broken import codes_of_documents, documents, of_kind

Documents = list[dict[str, Any]]


def proxy(listed: Documents) -> dict[str, Any]:
    return of_kind(listed, "EnvoyProxy")


def settings(listed: Documents) -> dict[str, Any]:
    found: dict[str, Any] = proxy(listed)["telemetry"]["accessLog"]["settings"][0]
    return found


def clients(listed: Documents) -> dict[str, Any]:
    return of_kind(listed, "ClientTrafficPolicy")


def backends(listed: Documents) -> dict[str, Any]:
    return of_kind(listed, "BackendTrafficPolicy")


def als(listed: Documents) -> dict[str, Any]:
    found: dict[str, Any] = settings(listed)["sinks"][0]["als"]
    return found


BROKEN: Final[list[tuple[str, str, Callable[[Documents], Any]]]] = [
    ("ai_gateway_first", "no order", lambda d: proxy(d).pop("filterOrder")),
    ("ai_gateway_first", "half an order", lambda d: proxy(d)["filterOrder"].pop(0)),
    ("ai_gateway_first", "no buffer", lambda d: backends(d).pop("requestBuffer")),
    ("version_untested", "1.37", lambda d: proxy(d)["provider"]["host"].update(envoyVersion="1.37.0")),
    ("access_log_missing", "none", lambda d: proxy(d).pop("telemetry")),
    ("access_log_missing", "disabled", lambda d: proxy(d)["telemetry"]["accessLog"].update(disable=True)),
    ("access_log_twice", "two", lambda d: settings(d)["sinks"].append(settings(d)["sinks"][0])),
    ("access_log_filtered", "matches", lambda d: settings(d).update(matches=["response.code >= 400"])),
    ("access_log_of_connections", "TCP", lambda d: als(d).update(type="TCP")),
    ("circuit_breaker", "access log", lambda d: als(d)["backendSettings"].pop("circuitBreaker")),
    ("access_log_dropped", "default", lambda d: als(d)["backendSettings"].pop("connection")),
    ("access_log_dropped", "little", lambda d: als(d)["backendSettings"]["connection"].update(bufferLimit="32Ki")),
    ("body_limit", "default", lambda d: clients(d).pop("connection")),
    ("body_limit", "request buffer", lambda d: backends(d)["requestBuffer"].update(limit="1Mi")),
    ("path_rewritten", "slashes", lambda d: clients(d)["path"].pop("disableMergeSlashes")),
    ("path_rewritten", "escapes", lambda d: clients(d)["path"].update(escapedSlashesAction="UnescapeAndRedirect")),
    ("request_id_trusted", "preserved", lambda d: clients(d)["headers"].update(requestID="PreserveOrGenerate")),
    ("underscores_allowed", "set", lambda d: clients(d)["headers"].update(withUnderscoresAction="Allow")),
    (
        "client_fields_trusted",
        "forwarded for",
        lambda d: clients(d).update(clientIPDetection={"xForwardedFor": {"numTrustedHops": 1}}),
    ),
    ("silence_cut", "clients", lambda d: clients(d)["timeout"]["http"].update(streamIdleTimeout="20s")),
    ("silence_cut", "backends", lambda d: backends(d)["timeout"]["http"].update(streamIdleTimeout="20s")),
    ("answer_cut", "backends", lambda d: backends(d)["timeout"]["http"].update(requestTimeout="1m")),
    ("retries", "set", lambda d: backends(d).update(retry={"numRetries": 2})),
    ("compressed_before_metering", "set", lambda d: backends(d).update(compression=[{"type": "Gzip"}])),
    ("upstream_breaker", "default", lambda d: backends(d).pop("circuitBreaker")),
]


@pytest.mark.parametrize(("code", "change"), [pytest.param(c, f, id=f"{c}-{n}") for c, n, f in BROKEN])
def test_a_defect_is_found_and_nothing_else(code: str, change: Callable[[Documents], Any]) -> None:
    listed = documents()
    change(listed)
    assert codes_of_documents(listed) == {code}


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("EnvoyProxy", {"access_log_missing", "ai_gateway_first"}),
        ("ClientTrafficPolicy", {"body_limit", "underscores_allowed"}),
    ],
)
def test_what_is_not_there_at_all(kind: str, codes: set[str]) -> None:
    assert codes_of_documents([each for each in documents() if each["kind"] != kind]) == codes

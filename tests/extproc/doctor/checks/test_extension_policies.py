"""EnvoyExtensionPolicies: each defect is found, and nothing else with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.extproc.doctor.broken import codes_of_documents, documents, of_kind

Documents = list[dict[str, Any]]
KIND: Final = "EnvoyExtensionPolicy"


def policy(listed: Documents) -> dict[str, Any]:
    return of_kind(listed, KIND)


def entry(listed: Documents) -> dict[str, Any]:
    found: dict[str, Any] = policy(listed)["extProc"][0]
    return found


def shadow(listed: Documents) -> None:
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "sluicegate"}
    spec = {"targetRefs": [target], "lua": [{"type": "Inline", "inline": "-- theirs"}]}
    api = "gateway.envoyproxy.io/v1alpha1"
    listed.append({"apiVersion": api, "kind": KIND, "metadata": {"name": "theirs"}, "spec": spec})


def drop_script(listed: Documents, word: str) -> None:
    scripts = policy(listed)["lua"]
    scripts[:] = [each for each in scripts if word not in each["inline"]]


GUARD: Final = "-- The guard"
METER: Final = "-- Reads token usage"
FOREIGN: Final = {"type": "Inline", "inline": "function envoy_on_request(h) h:headers():add('a', 'b') end"}
BROKEN: Final[list[tuple[str, str, Callable[[Documents], Any]]]] = [
    ("policy_missing", "no policy", lambda d: d.pop([e["kind"] for e in d].index(KIND))),
    ("policy_bypassed", "one listener", lambda d: policy(d)["targetRefs"][0].update(sectionName="http")),
    ("policy_shadowed", "a route's own", shadow),
    ("policy_twice", "two entries", lambda d: policy(d)["extProc"].append(entry(d))),
    ("fail_open", "set", lambda d: entry(d).update(failOpen=True)),
    ("observed_only", "shadow mode", lambda d: entry(d).update(shadowMode=True)),
    ("message_timeout", "default", lambda d: entry(d).pop("messageTimeout")),
    ("message_timeout", "short", lambda d: entry(d).update(messageTimeout="500ms")),
    ("verdict_not_received", "no namespace", lambda d: entry(d).pop("metadata")),
    ("mode_override_forbidden", "default", lambda d: entry(d)["processingMode"].pop("allowModeOverride")),
    ("body_not_judged", "streamed", lambda d: entry(d)["processingMode"]["request"].update(body="Streamed")),
    ("response_for_nothing", "streamed", lambda d: entry(d)["processingMode"].update(response={"body": "Streamed"})),
    ("circuit_breaker", "default", lambda d: entry(d)["backendSettings"].pop("circuitBreaker")),
    ("hanging_unnoticed", "default", lambda d: entry(d)["backendSettings"].pop("http2")),
    ("guard_missing", "no script", lambda d: drop_script(d, GUARD)),
    ("meter_missing", "no script", lambda d: drop_script(d, METER)),
    ("guard_late", "behind another", lambda d: policy(d)["lua"].insert(0, FOREIGN)),
    ("changed_after_judgement", "another behind", lambda d: policy(d)["lua"].append(FOREIGN)),
    (
        "script_of_another_version",
        "guard",
        lambda d: policy(d)["lua"][0].update(inline=policy(d)["lua"][0]["inline"] + "--"),
    ),
]


@pytest.mark.parametrize(("code", "change"), [pytest.param(c, f, id=f"{c}-{n}") for c, n, f in BROKEN])
def test_a_defect_is_found_and_nothing_else(code: str, change: Callable[[Documents], Any]) -> None:
    listed = documents()
    change(listed)
    assert codes_of_documents(listed) == {code}


def test_without_the_request_neither_headers_nor_body_are_judged() -> None:
    listed = documents()
    entry(listed)["processingMode"].pop("request")
    assert codes_of_documents(listed) == {"headers_not_judged", "body_not_judged"}

"""The SDK, as it is installed, makes what is sent; and nothing else of it happens."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from policies.audit.following.sink import SinkError
from policies.audit.sinks.exchanges import Exchange
from policies.audit.sinks.generations import Generation, generation
from policies.audit.sinks.langfuse_sdk import SDK_VERSION, maker
from policies.audit.sinks.otlp_spans import Outcome, Span
from tests.policies.audit.sinks.trace_receiver import START, TRACE, closing, decision, exchange_id, refused

ROOT = Path(__file__).parents[4]


def told(number: int = 1, **fields: Any) -> Generation:
    return generation(Exchange(decision(number, **fields).record, closing(number, **fields).record))


def made(*generations: Generation, key: str = "pk-lf-1") -> list[Span]:
    return maker(key).made(generations, "prod", "")


def test_a_generation() -> None:
    [span] = made(told(1, trace_id=TRACE, params={"temperature": "0.5", "messages": [{"role": "user", "content": "hi"}]}))
    assert (span.trace, span.span, span.parent, span.name) == (TRACE, exchange_id(1)[16:], "", "chat")
    assert (span.start - START, span.end - START, span.outcome) == (0, 1_500_000_000, Outcome.UNSET)
    found = dict(span.attributes)
    assert json.loads(str(found.pop("langfuse.observation.usage_details"))) == {
        "input": 10,
        "input_cached_tokens": 2,
        "input_cache_creation": 1,
        "output": 15,
        "output_reasoning_tokens": 5,
        "total": 33,
    }
    assert json.loads(str(found.pop("langfuse.observation.cost_details"))) == {"total": 0.001234}
    assert json.loads(str(found.pop("langfuse.observation.model.parameters"))) == {"temperature": 0.5}
    assert json.loads(str(found.pop("langfuse.observation.input"))) == [{"role": "user", "content": "hi"}]
    metadata = {name: found.pop(name) for name in list(found) if name.startswith("langfuse.observation.metadata.")}
    assert metadata["langfuse.observation.metadata.tenant"] == '"contoso"'
    assert metadata["langfuse.observation.metadata.status"] == "200"
    assert found == {
        "langfuse.environment": "prod",
        "langfuse.internal.is_app_root": True,
        "langfuse.observation.completion_start_time": '"2026-11-21T13:38:23.250000Z"',
        "langfuse.observation.level": "DEFAULT",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.type": "generation",
        "langfuse.release": "1.2.3",
        "langfuse.trace.name": "chat",
        "langfuse.trace.tags": ["department:research", "app:app-7", "upstream:azure-east", "price_fallback"],
        "langfuse.version": "1.2.3",
        "session.id": "session-1",
        "user.id": "kim",
    }


def test_usage_and_cost_are_of_whatever_was_called() -> None:
    for span in made(*(told(1, **fields) for fields in ({"tool": "search"}, {"operation": "agent"}))):
        assert span.attributes["langfuse.observation.type"] == "generation"
        assert "langfuse.observation.cost_details" in span.attributes
    [span] = made(told(1, operation="embeddings"))
    assert span.attributes["langfuse.observation.type"] == "embedding"
    assert span.attributes["langfuse.observation.model.name"] == "gpt-4o"
    assert "langfuse.observation.usage_details" in span.attributes


@pytest.mark.parametrize("kind", ["tool", "agent", "span"])
def test_kinds_without_usage(kind: Any) -> None:
    [span] = made(replace(told(1), kind=kind))
    assert span.attributes["langfuse.observation.type"] == kind
    assert "langfuse.observation.metadata.exchange_id" in span.attributes


def test_what_failed_and_what_was_refused() -> None:
    halves = refused(2, operation="")
    failed, turned_away = made(
        told(1, result="failure", status=500), generation(Exchange(halves[0].record, halves[1].record))
    )
    assert (failed.outcome, failed.message) == (Outcome.ERROR, "status 500")
    assert failed.attributes["langfuse.observation.level"] == "ERROR"
    assert turned_away.outcome is Outcome.UNSET
    assert turned_away.attributes["langfuse.observation.type"] == "span"
    assert turned_away.attributes["langfuse.observation.level"] == "WARNING"
    assert str(turned_away.attributes["langfuse.observation.status_message"]).startswith("limits: budget_exhausted")


def test_more_than_the_sdks_queue_holds_are_made_in_their_order(caplog: pytest.LogCaptureFixture) -> None:
    generations = [told(number, user_id="x" * 300) for number in range(1, 3_000)]
    with caplog.at_level(logging.DEBUG):
        spans = made(*generations)
    assert [span.span for span in spans] == [one.span for one in generations]
    # It warns of what it drops: of what is too long, and of a queue that is full.
    assert caplog.records == []


def test_each_sink_has_its_own_environment_though_they_share_a_key() -> None:
    one = maker("pk-lf-shared")
    assert maker("pk-lf-shared") is one
    [first] = one.made([told()], "prod", "r1")
    [second] = one.made([told()], "test", "r2")
    assert [span.attributes["langfuse.environment"] for span in (first, second)] == ["prod", "test"]
    assert [span.attributes["langfuse.release"] for span in (first, second)] == ["r1", "r2"]
    assert one.scope.attributes == {"public_key": "pk-lf-shared"}
    assert (one.scope.name, one.scope.version) == ("langfuse-sdk", SDK_VERSION)


def test_several_threads_take_turns() -> None:
    found: list[list[str]] = []

    def work(first: int) -> None:
        spans = made(*(told(number) for number in range(first, first + 300)), key="pk-lf-threads")
        found.append([span.span for span in spans])

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 1_001, 2_001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [
        [exchange_id(number)[16:] for number in range(first, first + 300)] for first in (1, 1_001, 2_001)
    ]


def test_it_is_not_the_provider_of_the_process() -> None:
    made(told())
    assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


MAKE = """
from tests.policies.audit.sinks.test_langfuse_sdk import told, made
print(made(told(1))[0].attributes["langfuse.observation.type"])
"""


def test_it_works_where_envoys_package_was_installed_later() -> None:
    """Then opentelemetry-proto has old classes, and OpenTelemetry's exporter cannot be imported."""
    broken = (
        "import sys, types\n"
        "old = types.ModuleType('opentelemetry.proto.common.v1.common_pb2')\n"
        "sys.modules[old.__name__] = old\n"
    )
    ran = python(broken + MAKE)
    assert (ran.stdout, ran.returncode) == ("generation\n", 0), ran.stderr


def test_the_process_ends_at_once_and_its_spans_are_not_logged() -> None:
    """LANGFUSE_DEBUG logs whole spans, and the SDK's own end waits for what it could not send."""
    ran = python("import logging; logging.basicConfig(level=0)\n" + MAKE, LANGFUSE_DEBUG="true")
    assert (ran.stdout, ran.returncode) == ("generation\n", 0), ran.stderr
    assert "kim" not in ran.stderr
    assert "langfuse.observation" not in ran.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LANGFUSE_TRACING_ENABLED": "false"}, "made 0 spans of 1: is it disabled by LANGFUSE_TRACING_ENABLED or"),
        ({"OTEL_SDK_DISABLED": "true"}, "made 0 spans of 1: is it disabled by"),
        ({"LANGFUSE_TIMEOUT": "soon"}, "cannot be set up: ValueError: invalid literal"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "10"}, "cannot be set up: ValueError: max_export_batch_size"),
    ],
)
def test_where_the_environment_disables_the_sdk_that_is_told(environment: dict[str, str], words: str) -> None:
    ran = python(MAKE, **environment)
    assert ran.returncode == 1
    assert f"SinkError: Langfuse's SDK {words}" in ran.stderr


def test_no_sampling_and_no_limits_of_the_environment() -> None:
    ran = python(
        MAKE,
        LANGFUSE_SAMPLE_RATE="0",
        OTEL_TRACES_SAMPLER="always_off",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="1",
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="1",
        LANGFUSE_FLUSH_AT="1",
    )
    assert (ran.stdout, ran.returncode) == ("generation\n", 0), ran.stderr


def test_what_the_sdk_does_not_make_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    one = maker("pk-lf-less")
    monkeypatch.setattr(one._keeper, "taken", list)
    with pytest.raises(SinkError, match="Langfuse's SDK made 0 spans of 1: is it disabled by"):
        one.made([told()], "prod", "")

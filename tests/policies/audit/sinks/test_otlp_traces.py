"""Traces, with a receiver that decodes the wire format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policies.audit.following.sink import SinkError
from policies.audit.sinks.otlp_traces import TracesSink
from policies.audit.sinks.settings import TracesSettings
from tests.policies.audit.sinks.otlp_receiver import named
from tests.policies.audit.sinks.trace_receiver import TRACE, TraceReceiver, both, refused, told


async def sink_to(url: str, folder: Path, **more: Any) -> TracesSink:
    settings = TracesSettings.model_validate({"kind": "traces", "name": "traces", "url": url, **more})
    sink = TracesSink(settings, folder, lambda: 1_000.0)
    await sink.start()
    return sink


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_exchanges_arrive(compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP_TOKEN", "Bearer s3cret")
    more = {
        "compression": compression,
        "headers": {"authorization": {"env": "OTLP_TOKEN"}},
        "resource": {"deployment.environment.name": "prod"},
    }
    with TraceReceiver() as receiver:
        sink = await sink_to(receiver.url, tmp_path, **more)
        await sink.deliver([*both(1, trace_id=TRACE), *refused(2)])
        await sink.stop()
    assert [span.name for span in receiver.taken] == [
        *("POST /v1/chat/completions", "decide", "chat gpt-4o"),
        *("POST /v1/chat/completions", "decide"),
    ]
    [request] = receiver.requests
    [resource] = request.resource_spans
    assert named(resource.resource.attributes) == {"service.name": "sluicegate", "deployment.environment.name": "prod"}
    assert resource.scope_spans[0].scope.name == "sluicegate.audit"
    [headers] = receiver.headers
    assert headers["authorization"] == "Bearer s3cret"
    assert headers.get("content-encoding") == ("gzip" if compression == "gzip" else None)
    server, _, call = receiver.taken[:3]
    assert {span.trace_id.hex() for span in receiver.taken[:3]} == {TRACE}
    assert (server.kind, server.parent_span_id, server.flags) == (2, b"", 1)
    assert (call.kind, call.parent_span_id) == (3, server.span_id)
    assert told(call)["gen_ai.usage.input_tokens"] == 13
    assert [event.name for event in receiver.taken[3].events] == ["sluicegate.refused"]


async def test_a_secret_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="header authorization: environment variable SLUICEGATE_UNSET"):
        await sink_to("http://127.0.0.1:9/v1/traces", tmp_path, headers={"authorization": {"env": "SLUICEGATE_UNSET"}})

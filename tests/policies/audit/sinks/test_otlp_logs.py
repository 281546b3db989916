"""Log records, and how they are packed, as the protocol's own classes read them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.audit.record import Closed, Level
from policies.audit.sinks.otlp_logs import log_record, packed
from policies.audit.sinks.otlp_messages import ExportLogsServiceRequest, LogRecord
from tests.policies.audit.sinks.made import HARD, big, full, made, records
from tests.policies.audit.sinks.otlp_receiver import body, named, records_of, sequences


def test_a_log_record() -> None:
    closed = full()
    found = LogRecord.FromString(log_record(closed, 42).SerializeToString())
    # 2026-11-21T13:38:23.000001Z
    assert found.time_unix_nano == 1_795_268_303_000_001_000
    assert found.observed_time_unix_nano == 42
    assert (found.severity_text, found.severity_number) == ("info", 9)
    assert found.event_name == "sluicegate.request.closed"
    assert found.body.string_value.encode() == closed.line
    assert found.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert found.span_id == b""
    assert named(found.attributes)["user.id"] == "<user_id>"


@pytest.mark.parametrize(("level", "number"), [(Level.INFO, 9), (Level.WARNING, 13), (Level.ERROR, 17), ("odd", 17)])
def test_severities(level: str, number: int) -> None:
    assert log_record(made(level=level), 0).severity_number == number


@pytest.mark.parametrize("trace", ["", "0" * 32, "abc", "0AF7651916CD43DD8448EB211C80319C", "g" * 32])
def test_no_trace_that_is_none(trace: str) -> None:
    assert log_record(made(trace_id=trace), 0).trace_id == b""


def test_resources_are_of_a_writer() -> None:
    batch = [made(1, version="2"), made(1, journal="gateway-2.0"), made(2, version="2")]
    [only] = packed(batch, {"deployment.environment.name": "prod"}, 1.5, 1 << 20)
    request = ExportLogsServiceRequest.FromString(only.body)
    found = [(named(each.resource.attributes), each.scope_logs[0]) for each in request.resource_logs]
    own = {"service.name": "sluicegate", "deployment.environment.name": "prod"}
    assert [names for names, _ in found] == [
        own | {"service.version": "2", "service.instance.id": "gateway-1.0"},
        own | {"service.instance.id": "gateway-2.0"},
    ]
    assert [sequences(scope.log_records) for _, scope in found] == [[1, 2], [1]]
    assert {(scope.scope.name, scope.scope.version) for _, scope in found} == {("sluicegate.audit", "1")}
    assert found[0][1].log_records[0].observed_time_unix_nano == 1_500_000_000


def test_hard_texts_stay_what_they_are() -> None:
    batch = [made(index, user_id=text, params={text: text}) for index, text in enumerate(HARD, 1)]
    [only] = packed(batch, {}, 0, 1 << 20)
    found = list(records_of(ExportLogsServiceRequest.FromString(only.body)))
    assert [body(record) for record in found] == [orjson.loads(closed.line) for closed in batch]
    assert [named(record.attributes)["user.id"] for record in found] == list(HARD)


def test_batches_are_split_at_four_mebibytes() -> None:
    batch = [big(200_000, index) for index in range(1, 101)]
    requests = packed(batch, {}, 0, 4 << 20)
    assert len(requests) == 5
    assert max(len(request.body) for request in requests) <= 4 << 20
    assert [(request.first, request.end) for request in requests] == [(0, 20), (20, 40), (40, 60), (60, 80), (80, 100)]


def test_a_record_that_is_too_long_says_what_it_lacks() -> None:
    closed = full(5, version="", why="ü" * 30_000, user_id="u" * 5_000, params={"messages": "x" * 100_000})
    requests = packed([made(4), closed, made(6)], {}, 0, 16_384)
    found = [record for each in requests for record in records_of(ExportLogsServiceRequest.FromString(each.body))]
    assert sequences(found) == [4, 5, 6]
    assert body(found[1])["hash"] == closed.hash
    assert body(found[1])["truncated"][0] == "params"
    assert named(found[1].attributes)["log.record.uid"] == "gateway-1.0/5"
    assert "user.id" not in named(found[1].attributes)


@settings(max_examples=60)
@given(st.lists(records, max_size=8), st.integers(16_384, 40_000))
def test_whatever_they_are_they_fit_and_stay_in_order(batch: list[Closed], most: int) -> None:
    requests = packed(batch, {"a": "b"}, 1, most)
    assert [request.first for request in requests] == [0, *(request.end for request in requests)][: len(requests)]
    for request in requests:
        assert len(request.body) <= most
        found = {
            (body(each)["hash"], body(each)["sequence"])
            for each in records_of(ExportLogsServiceRequest.FromString(request.body))
        }
        assert found == {(each.hash, each.record.sequence) for each in batch[request.first : request.end]}
    assert (requests[-1].end if requests else 0) == len(batch)

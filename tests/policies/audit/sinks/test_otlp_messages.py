"""What is on the wire is what opentelemetry-proto says, whatever the classes are called."""

from __future__ import annotations

from policies.audit.sinks.otlp_messages import (
    FIELDS,
    AnyValue,
    ArrayValue,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    KeyValue,
    LogRecord,
    ResourceLogs,
    ScopeLogs,
)


def test_a_request_is_the_bytes_that_the_specification_gives_it() -> None:
    """Written by hand from opentelemetry-proto's field numbers and protobuf's encoding."""
    record = LogRecord(
        time_unix_nano=1,
        severity_number=9,
        severity_text="INFO",
        body=AnyValue(string_value="b"),
        attributes=[KeyValue(key="k", value=AnyValue(int_value=2))],
        trace_id=b"\x01" * 16,
        observed_time_unix_nano=2,
        event_name="e",
    )
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])
    written = (
        b"\x09\x01\0\0\0\0\0\0\0"  # 1: fixed64
        b"\x10\x09"  # 2: varint
        b"\x1a\x04INFO"  # 3
        b"\x2a\x03\x0a\x01b"  # 5: AnyValue with 1
        b"\x32\x07\x0a\x01k\x12\x02\x18\x02"  # 6: KeyValue with 1 and 2, AnyValue with 3
        b"\x4a\x10" + b"\x01" * 16 + b"\x59\x02\0\0\0\0\0\0\0"  # 9, 11: fixed64
        b"\x62\x01e"  # 12
    )
    scope = b"\x12" + bytes([len(written)]) + written
    resource = b"\x12" + bytes([len(scope)]) + scope
    assert request.SerializeToString(deterministic=True) == b"\x0a" + bytes([len(resource)]) + resource


def test_what_is_rejected_is_read() -> None:
    answer = b"\x0a\x06\x08\x03\x12\x02no"
    told = ExportLogsServiceResponse.FromString(answer).partial_success
    assert (told.rejected_log_records, told.error_message) == (3, "no")


def test_one_kind_of_value_is_held_at_a_time() -> None:
    value = AnyValue(string_value="a")
    value.array_value.CopyFrom(ArrayValue(values=[AnyValue(bool_value=True)]))
    assert value.WhichOneof("value") == "array_value"
    assert value.SerializeToString() == b"\x2a\x04\x0a\x02\x10\x01"


def test_no_number_stands_twice() -> None:
    for fields in FIELDS.values():
        numbers = [number for number, _ in fields.values()]
        assert len(set(numbers)) == len(numbers)

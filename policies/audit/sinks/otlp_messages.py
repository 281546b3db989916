"""The messages of OTLP/HTTP for logs, spans and metrics, as opentelemetry-proto 1.x numbers their fields.

https://github.com/open-telemetry/opentelemetry-proto: `common`, `resource`, `logs`, `trace`, `metrics`, `collector`.
Made here because two distributions install generated classes under one name, an old one of them beside Envoy's: which are
imported would depend on the order in which they were installed. What is on the wire has no names, and so these can have
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Message: TypeAlias = Any
"""One of them: their classes are made at run time, and no type checker knows their fields."""
_PACKAGE: Final = "sluicegate.otlp"
_KINDS: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final[Mapping[str, Any]] = {
    "string": _KINDS.TYPE_STRING,
    "bytes": _KINDS.TYPE_BYTES,
    "bool": _KINDS.TYPE_BOOL,
    "int64": _KINDS.TYPE_INT64,
    "double": _KINDS.TYPE_DOUBLE,
    "int32": _KINDS.TYPE_INT32,
    "fixed32": _KINDS.TYPE_FIXED32,
    "fixed64": _KINDS.TYPE_FIXED64,
}
FIELDS: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "AnyValue": {
        "string_value": (1, "string"),
        "bool_value": (2, "bool"),
        "int_value": (3, "int64"),
        "double_value": (4, "double"),
        "array_value": (5, "ArrayValue"),
        "bytes_value": (7, "bytes"),
    },
    "ArrayValue": {"values": (1, "repeated AnyValue")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "InstrumentationScope": {"name": (1, "string"), "version": (2, "string"), "attributes": (3, "repeated KeyValue")},
    "Resource": {"attributes": (1, "repeated KeyValue")},
    "LogRecord": {
        "time_unix_nano": (1, "fixed64"),
        # An enumeration: on the wire it is the same.
        "severity_number": (2, "int32"),
        "severity_text": (3, "string"),
        "body": (5, "AnyValue"),
        "attributes": (6, "repeated KeyValue"),
        "trace_id": (9, "bytes"),
        "span_id": (10, "bytes"),
        "observed_time_unix_nano": (11, "fixed64"),
        "event_name": (12, "string"),
    },
    "ScopeLogs": {"scope": (1, "InstrumentationScope"), "log_records": (2, "repeated LogRecord")},
    "ResourceLogs": {"resource": (1, "Resource"), "scope_logs": (2, "repeated ScopeLogs")},
    "ExportLogsServiceRequest": {"resource_logs": (1, "repeated ResourceLogs")},
    "ExportLogsPartialSuccess": {"rejected_log_records": (1, "int64"), "error_message": (2, "string")},
    # Those of spans and of metrics have the same members under the same numbers.
    "ExportLogsServiceResponse": {"partial_success": (1, "ExportLogsPartialSuccess")},
    "SpanEvent": {"time_unix_nano": (1, "fixed64"), "name": (2, "string"), "attributes": (3, "repeated KeyValue")},
    "Status": {"message": (2, "string"), "code": (3, "int32")},
    "Span": {
        "trace_id": (1, "bytes"),
        "span_id": (2, "bytes"),
        "parent_span_id": (4, "bytes"),
        "name": (5, "string"),
        "kind": (6, "int32"),
        "start_time_unix_nano": (7, "fixed64"),
        "end_time_unix_nano": (8, "fixed64"),
        "attributes": (9, "repeated KeyValue"),
        "events": (11, "repeated SpanEvent"),
        "status": (15, "Status"),
        "flags": (16, "fixed32"),
    },
    "ScopeSpans": {"scope": (1, "InstrumentationScope"), "spans": (2, "repeated Span")},
    "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, "repeated ScopeSpans")},
    "ExportTraceServiceRequest": {"resource_spans": (1, "repeated ResourceSpans")},
    "HistogramDataPoint": {
        "start_time_unix_nano": (2, "fixed64"),
        "time_unix_nano": (3, "fixed64"),
        "count": (4, "fixed64"),
        # A sum of 0 is a sum: without it readers take it for unknown.
        "sum": (5, "optional double"),
        "bucket_counts": (6, "repeated fixed64"),
        "explicit_bounds": (7, "repeated double"),
        "attributes": (9, "repeated KeyValue"),
    },
    "Histogram": {"data_points": (1, "repeated HistogramDataPoint"), "aggregation_temporality": (2, "int32")},
    "Metric": {
        "name": (1, "string"),
        "description": (2, "string"),
        "unit": (3, "string"),
        "histogram": (9, "Histogram"),
    },
    "ScopeMetrics": {"scope": (1, "InstrumentationScope"), "metrics": (2, "repeated Metric")},
    "ResourceMetrics": {"resource": (1, "Resource"), "scope_metrics": (2, "repeated ScopeMetrics")},
    "ExportMetricsServiceRequest": {"resource_metrics": (1, "repeated ResourceMetrics")},
}
"""Number and type of each field that is written or read here."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="sluicegate/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
        for field, (number, kind) in fields.items():
            label, _, plain = kind.rpartition(" ")
            many = label == "repeated"
            made = message.field.add(
                name=field, number=number, label=_KINDS.LABEL_REPEATED if many else _KINDS.LABEL_OPTIONAL
            )
            if plain in _SCALARS:
                made.type = _SCALARS[plain]
            else:
                made.type, made.type_name = _KINDS.TYPE_MESSAGE, f".{_PACKAGE}.{plain}"
            if name == "AnyValue":
                made.oneof_index = 0
            elif label == "optional":
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field}")
    return file


def _classes() -> Mapping[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in FIELDS}


_MADE: Final = _classes()
AnyValue: Final = _MADE["AnyValue"]
ArrayValue: Final = _MADE["ArrayValue"]
KeyValue: Final = _MADE["KeyValue"]
InstrumentationScope: Final = _MADE["InstrumentationScope"]
Resource: Final = _MADE["Resource"]
LogRecord: Final = _MADE["LogRecord"]
ScopeLogs: Final = _MADE["ScopeLogs"]
ResourceLogs: Final = _MADE["ResourceLogs"]
ExportLogsServiceRequest: Final = _MADE["ExportLogsServiceRequest"]
ExportLogsServiceResponse: Final = _MADE["ExportLogsServiceResponse"]
SpanEvent: Final = _MADE["SpanEvent"]
Status: Final = _MADE["Status"]
Span: Final = _MADE["Span"]
ScopeSpans: Final = _MADE["ScopeSpans"]
ResourceSpans: Final = _MADE["ResourceSpans"]
ExportTraceServiceRequest: Final = _MADE["ExportTraceServiceRequest"]
HistogramDataPoint: Final = _MADE["HistogramDataPoint"]
Histogram: Final = _MADE["Histogram"]
Metric: Final = _MADE["Metric"]
ScopeMetrics: Final = _MADE["ScopeMetrics"]
ResourceMetrics: Final = _MADE["ResourceMetrics"]
ExportMetricsServiceRequest: Final = _MADE["ExportMetricsServiceRequest"]
CUMULATIVE: Final = 2
"""Of a metric: its sums are since its start time."""
INFO: Final = 9
WARN: Final = 13
ERROR: Final = 17
"""Severity numbers."""


def value(of: str | bool | int | float | Sequence[str]) -> Message:
    """What an attribute holds."""
    if isinstance(of, bool):
        return AnyValue(bool_value=of)
    if isinstance(of, int):
        return AnyValue(int_value=of)
    if isinstance(of, float):
        return AnyValue(double_value=of)
    if isinstance(of, str):
        return AnyValue(string_value=of)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in of]))


def pairs(attributes: Mapping[str, str | bool | int | float | Sequence[str]]) -> list[Message]:
    """Attributes, as all messages have them."""
    return [KeyValue(key=name, value=value(held)) for name, held in attributes.items()]

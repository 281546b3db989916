"""Envoy's messages, gathered in one place because the generated classes carry no types.

Source: the `xds-protos` distribution (Envoy's API, `envoy/service/ext_proc/v3` and `envoy/service/accesslog/v3`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from envoy.config.core.v3 import base_pb2
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.accesslog.v3 import als_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2
from google.protobuf import message as protobuf_message

DecodeError: Any = protobuf_message.DecodeError
ProcessingRequest: Any = external_processor_pb2.ProcessingRequest
ProcessingResponse: Any = external_processor_pb2.ProcessingResponse
ProcessingMode: Any = processing_mode_pb2.ProcessingMode
StreamAccessLogsMessage: Any = als_pb2.StreamAccessLogsMessage
HTTPAccessLogEntry: Any = accesslog_pb2.HTTPAccessLogEntry
AccessLogType: Any = accesslog_pb2.AccessLogType
HeaderValueOption: Any = base_pb2.HeaderValueOption

Message: TypeAlias = Any
"""A protobuf message of one of the classes above."""

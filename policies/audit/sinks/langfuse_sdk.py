"""Langfuse's SDK makes spans of generations, and sends nothing. Edge: what it raises ends here.

The SDK makes them as it makes its own: same attributes, same encoding of what is in them. It is given a provider of its
own, which samples everything, takes ids and times from outside and is not the process's, and an exporter that keeps what
it is given. How they are sent, and when that has succeeded, is the sink's: the SDK cannot say (its `flush` has no result
and no time limit, a batch that fails is dropped, and so is what a full queue cannot hold).

The SDK has one client for each public key, whatever further settings say, and so does this module.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from types import ModuleType
from typing import Any, Final

from policies.audit.following.sink import SinkError
from policies.audit.sinks.generations import Generation
from policies.audit.sinks.otlp_attributes import Attribute
from policies.audit.sinks.otlp_spans import Outcome, Scope, Span

_OTLP: Final = "opentelemetry.exporter.otlp.proto.http"


class _Compression(Enum):
    NoCompression = "none"
    Gzip = "gzip"
    Deflate = "deflate"


def _import_without_exporter() -> ModuleType:
    """The SDK imports an exporter of OpenTelemetry's, which it would use if it were not given another.

    That one needs opentelemetry-proto. Envoy's package (xds-protos) installs older classes in the same files, and pip
    installs it later: then the exporter cannot be imported, and the SDK could not be.
    """
    # Where media would be uploaded by threads of its own: what is in a prompt stays there.
    os.environ["LANGFUSE_MEDIA_UPLOAD_ENABLED"] = "false"
    try:
        importlib.import_module(f"{_OTLP}.trace_exporter")
    except ImportError:
        for name in [name for name in sys.modules if name.startswith("opentelemetry.exporter.")]:
            del sys.modules[name]
        package, module = ModuleType(_OTLP), ModuleType(f"{_OTLP}.trace_exporter")
        vars(package).update(Compression=_Compression, __path__=[])
        vars(module).update(OTLPSpanExporter=object)
        sys.modules.update({package.__name__: package, module.__name__: module})
    return importlib.import_module("langfuse")


_import_without_exporter()

from langfuse import (  # noqa: E402
    Langfuse,
    LangfuseAgent,
    LangfuseEmbedding,
    LangfuseGeneration,
    LangfuseSpan,
    LangfuseTool,
    __version__,
    propagate_attributes,
)
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: E402
from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: E402
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id  # noqa: E402

SDK_VERSION: Final = __version__
_SCOPE: Final = "langfuse-sdk"
"""The scope by which Langfuse knows what its SDK has made."""
_AT_ONCE: Final = 256
"""Spans between two emptyings of the SDK's queue, which holds 2,048 unless an environment variable says otherwise."""
_PATIENCE: Final = 10_000
"""Milliseconds for that. The exporter only keeps them."""
_NEVER: Final = 86_400.0
_ATTRIBUTES: Final = 512
_KINDS: Final[Mapping[str, Any]] = {
    "generation": LangfuseGeneration,
    "embedding": LangfuseEmbedding,
    "agent": LangfuseAgent,
    "tool": LangfuseTool,
    "span": LangfuseSpan,
}


class _Ids(IdGenerator):
    """The ids of the span that is begun next."""

    trace = 1
    span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Keeper(SpanExporter):
    """Takes what the SDK exports."""

    def __init__(self) -> None:
        self._kept: list[ReadableSpan] = []
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._kept += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """There is nothing to end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def taken(self) -> list[ReadableSpan]:
        with self._lock:
            taken, self._kept = self._kept, []
        return taken


class Maker:
    """Makes spans under one public key. One thread at a time: others wait."""

    def __init__(self, public_key: str) -> None:
        self._lock = threading.Lock()
        self._ids, self._keeper = _Ids(), _Keeper()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            id_generator=self._ids,
            resource=Resource({}),
            span_limits=SpanLimits(
                max_span_attributes=_ATTRIBUTES,
                max_attribute_length=SpanLimits.UNSET,
                max_span_attribute_length=SpanLimits.UNSET,
            ),
            shutdown_on_exit=False,
        )
        self._provider = provider
        self._client = Langfuse(
            public_key=public_key,
            # The SDK connects to nothing, and so needs no secret.
            secret_key="unused",  # noqa: S106
            base_url="http://127.0.0.1:9",
            tracer_provider=provider,
            span_exporter=self._keeper,
            flush_at=_AT_ONCE,
            flush_interval=_NEVER,
            sample_rate=1.0,
        )
        # It would log whole spans where LANGFUSE_DEBUG is set.
        logging.getLogger("langfuse").setLevel(logging.WARNING)
        self.scope = Scope(_SCOPE, SDK_VERSION, {"public_key": public_key})
        self._tracer = provider.get_tracer(_SCOPE, SDK_VERSION, attributes={"public_key": public_key})

    def made(self, generations: Sequence[Generation], environment: str, release: str) -> list[Span]:
        """A span for each, in their order.

        Raises:
            SinkError: the SDK did not make all of them.
        """
        found: list[Span] = []
        with self._lock:
            self._keeper.taken()
            for start in range(0, len(generations), _AT_ONCE):
                some = generations[start : start + _AT_ONCE]
                for one in some:
                    self._make(one, environment, release)
                self._provider.force_flush(_PATIENCE)
                kept = self._keeper.taken()
                if len(kept) != len(some):
                    raise SinkError(
                        f"Langfuse's SDK made {len(kept)} spans of {len(some)}: is it disabled by"
                        " LANGFUSE_TRACING_ENABLED or OTEL_SDK_DISABLED?"
                    )
                found += map(_plain, kept)
        return found

    def _make(self, one: Generation, environment: str, release: str) -> None:
        self._ids.trace, self._ids.span = int(one.trace, 16), int(one.span, 16)
        with propagate_attributes(
            user_id=one.user, session_id=one.session, tags=list(one.tags) or None, trace_name=one.name
        ):
            span = self._tracer.start_span(one.name, start_time=one.start)
        shared = {
            "otel_span": span,
            "langfuse_client": self._client,
            "input": one.input,
            "metadata": dict(one.metadata),
            "environment": environment,
            "release": release or one.version,
            "version": one.version,
            "level": one.level,
            "status_message": one.message,
        }
        if one.kind in ("generation", "embedding"):
            shared |= {
                "completion_start_time": one.first_token,
                "model": one.model,
                "model_parameters": dict(one.parameters) or None,
                "usage_details": dict(one.usage) or None,
                "cost_details": dict(one.cost) or None,
            }
        _KINDS[one.kind](**shared).end(end_time=one.end)


_makers: Final[dict[str, Maker]] = {}
_making: Final = threading.Lock()


def maker(public_key: str) -> Maker:
    """The one for this key.

    Raises:
        SinkError: the SDK cannot be set up.
    """
    with _making, _translated():
        if public_key not in _makers:
            _makers[public_key] = Maker(public_key)
        return _makers[public_key]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:
        raise SinkError(f"Langfuse's SDK cannot be set up: {type(error).__name__}: {str(error)[:200]}") from None


def _plain(span: ReadableSpan) -> Span:
    context = span.get_span_context()
    if context is None:
        raise SinkError("Langfuse's SDK made a span without ids")
    status = span.status
    failed = status.status_code is StatusCode.ERROR
    return Span(
        trace=format_trace_id(context.trace_id),
        span=format_span_id(context.span_id),
        name=span.name,
        start=span.start_time or 0,
        end=span.end_time or 0,
        attributes={name: _value(value) for name, value in (span.attributes or {}).items()},
        outcome=Outcome.ERROR if failed else Outcome.UNSET,
        message=(status.description or "") if failed else "",
    )


def _value(value: object) -> Attribute:
    if isinstance(value, str | bool | int | float):
        return value
    return [str(one) for one in value] if isinstance(value, Sequence) else str(value)

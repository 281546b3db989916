"""A receiver of OTLP over HTTP that decodes what it is sent, and answers as it is told."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson

from policies.audit.sinks.otlp_messages import (
    AnyValue,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    KeyValue,
    LogRecord,
    Message,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with; status 0: the connection is cut."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def partial(rejected: int) -> Answer:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = "too old"
    return Answer(body=response.SerializeToString())


class Receiver:
    """`judge` is asked for the answer to each request: its number from 0, and the records in it."""

    path = "/v1/logs"

    def decoded(self, content: bytes) -> tuple[Message, list[Message]]:
        """A request, and what is in it."""
        request = ExportLogsServiceRequest.FromString(content)
        return request, list(records_of(request))

    def __init__(
        self, judge: Callable[[int, list[LogRecord]], Answer] = lambda _number, _records: Answer(), port: int = 0
    ) -> None:
        self.requests: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.taken: list[LogRecord] = []
        """The records of requests that were answered with 200 and no rejection, in the order of their arrival."""
        self._judge = judge
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{self.path}"

    def with_tls(self, certificate: str, key: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self.port}{self.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            content = gzip.decompress(content)
        request, records = self.decoded(content)
        answer = self._judge(len(self.requests), records)
        self.requests.append(request)
        self.paths.append(handler.path)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        if not answer.status:
            handler.close_connection = True
            return
        if answer.status == 200 and not answer.body:
            self.taken += records
        handler.send_response(answer.status)
        for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.body)


def records_of(request: ExportLogsServiceRequest) -> Iterable[LogRecord]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            yield from scope.log_records


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def named(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: plain(each.value) for each in attributes}


def body(record: LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(record.body.string_value)
    return found


def sequences(records: Iterable[LogRecord]) -> list[int]:
    return [int(body(record)["sequence"]) for record in records]

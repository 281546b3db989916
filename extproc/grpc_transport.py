"""The reference transport: `grpc.aio`.

Two of its habits shape this file. A handler that returns ends the stream with status OK, which Envoy takes for leave to
carry on without us; so every way out of `_process` but one is an abort. And when the peer goes away `read` just returns
EOF, while the first `await` in a `finally` is cancelled; so nothing that must happen hangs on the end of a handler.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final

import grpc
from grpc.aio import EOF, ServicerContext
from grpc_health.v1 import health_pb2

from extproc.protos import Message
from extproc.sockets import Mark, clear
from extproc.tasks import ends_us
from extproc.transport import (
    ACCESS_LOGS,
    HEALTH_CHECK,
    HEALTH_WATCH,
    MAX_MESSAGE_BYTES,
    PROCESS,
    Dialogue,
    ProtocolError,
    Services,
)

_log = logging.getLogger(__name__)
_HEALTH_INTERVAL: Final = 1.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Envoy pings to find out whether we are alive, also when it has nothing to ask.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
)


class GrpcTransport:
    """Serves `Services` over grpc.aio."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._server: Any = None
        self._socket: Mark | None = None
        self._counters = {"streams": 0, "streams_open": 0}

    async def start(self, address: str, inherited: socket.socket | None = None) -> str:
        if inherited is not None:
            raise OSError("grpcio cannot listen on a socket that it has not opened")
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        if address.startswith("unix:"):
            clear(Path(address.removeprefix("unix:")))
        # Whoever can connect can ask for verdicts and write completions. The mode must be right from the first moment.
        before = os.umask(0o177)
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}") from error
        finally:
            os.umask(before)
        self._socket = Mark(address)
        await server.start()
        self._server = server
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    async def stop(self, grace: float) -> None:
        if self._server is not None:
            await self._server.stop(grace)
        if self._socket is not None:
            self._socket.remove()

    def counters(self) -> Mapping[str, int]:
        return dict(self._counters)

    def _handlers(self) -> grpc.GenericRpcHandler:
        process: Any = grpc.stream_stream_rpc_method_handler(self._process)
        logs: Any = grpc.stream_unary_rpc_method_handler(self._access_logs)
        check = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        return _Routes({PROCESS: process, ACCESS_LOGS: logs, HEALTH_CHECK: check, HEALTH_WATCH: watch})

    async def _process(self, _: object, context: ServicerContext[Any, Any]) -> None:
        self._counters["streams"] += 1
        self._counters["streams_open"] += 1
        try:
            await self._converse(context)
        finally:
            self._counters["streams_open"] -= 1

    async def _converse(self, context: ServicerContext[Any, Any]) -> None:
        conversation = self._services.converse()
        while not conversation.is_over:
            message = await context.read()
            if message is EOF:
                break
            answered = False
            try:
                reply = await self._reply(conversation, message, context)
                answered = True
            finally:
                if not answered:
                    conversation.abandon()
            # Envoy may hang up as soon as it has read a refusal, while we are still told that it was written. Whether a
            # verdict has arrived, the access log says.
            await context.write(reply)
        if not conversation.may_end:
            await context.abort(grpc.StatusCode.ABORTED, "the stream ended before the verdict")

    @staticmethod
    async def _reply(conversation: Dialogue, message: bytes, context: ServicerContext[Any, Any]) -> bytes:
        try:
            reply = conversation.receive(message)
            return await reply if isawaitable(reply) else reply
        except ProtocolError as error:
            _log.error("ext_proc: %s", error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except BaseException as error:
            # grpc.aio would leave the stream open, log what was raised in full, or let it end the process.
            if ends_us(error):
                raise
            _log.exception("ext_proc: a conversation failed")
            await context.abort(grpc.StatusCode.INTERNAL, "the conversation failed")
        raise AssertionError("an abort returns to nobody")

    async def _access_logs(self, _: object, context: ServicerContext[Any, Any]) -> bytes:
        while (message := await context.read()) is not EOF:
            self._services.log(message)
        return b""

    def _status(self) -> Message:
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if self._services.healthy() else health_pb2.HealthCheckResponse.NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status)

    async def _check(self, request: Message, context: ServicerContext[Any, Any]) -> Message:
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._status()

    async def _watch(self, request: Message, context: ServicerContext[Any, Any]) -> None:
        last = None
        while True:
            response = self._status()
            if request.service not in _SERVICES:
                response.status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if response != last:
                await context.write(response)
                last = response
            await asyncio.sleep(_HEALTH_INTERVAL)


_SERVICES: Final = frozenset({"", PROCESS.split("/")[1], ACCESS_LOGS.split("/")[1]})


class _Routes(grpc.GenericRpcHandler):
    """Method handlers by path."""

    def __init__(self, handlers: dict[str, Any]) -> None:
        self._by_path = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._by_path.get(handler_call_details.method)

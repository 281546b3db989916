"""Policy servers that break the rules, each in one way. What they answer must never let a request pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from grpc.aio import EOF, ServicerContext

from extproc.protos import ProcessingRequest, ProcessingResponse
from extproc.transport import PROCESS

Context = ServicerContext[Any, Any]
Behaviour = Callable[[Context], Awaitable[None]]


async def _clean_close_at_once(context: Context) -> None:
    """Ends the stream with status OK before it has read anything: Envoy takes it for leave to carry on."""


async def _clean_close_after_headers(context: Context) -> None:
    await context.read()


async def _clean_close_at_the_body(context: Context) -> None:
    await context.read()
    await context.write(ProcessingResponse(request_headers={}).SerializeToString())
    await context.read()


async def _continue_without_a_verdict(context: Context) -> None:
    while (message := await context.read()) is not EOF:
        response = ProcessingResponse()
        getattr(response, message.WhichOneof("request")).SetInParent()
        await context.write(response.SerializeToString())


async def _verdict_of_another_kind(context: Context) -> None:
    while (message := await context.read()) is not EOF:
        response = ProcessingResponse()
        getattr(response, message.WhichOneof("request")).SetInParent()
        fields = response.dynamic_metadata.fields["sluicegate"].struct_value.fields
        fields["verdict"].string_value = "ALLOW"
        await context.write(response.SerializeToString())


async def _verdict_in_another_namespace(context: Context) -> None:
    while (message := await context.read()) is not EOF:
        response = ProcessingResponse()
        getattr(response, message.WhichOneof("request")).SetInParent()
        fields = response.dynamic_metadata.fields["elsewhere"].struct_value.fields
        fields["verdict"].string_value = "allow"
        await context.write(response.SerializeToString())


async def _garbage(context: Context) -> None:
    await context.read()
    await context.write(b"\xff\xff\xff\xffnot a protobuf")
    await context.read()


async def _empty_answer(context: Context) -> None:
    while await context.read() is not EOF:
        await context.write(b"")


async def _answer_to_another_question(context: Context) -> None:
    while await context.read() is not EOF:
        await context.write(ProcessingResponse(response_headers={}).SerializeToString())


async def _error(context: Context) -> None:
    await context.read()
    await context.abort(grpc.StatusCode.INTERNAL, "broken")


async def _silence(context: Context) -> None:
    await asyncio.sleep(60)


BROKEN: Final[Mapping[str, Behaviour]] = {
    "clean close at once": _clean_close_at_once,
    "clean close after the headers": _clean_close_after_headers,
    "clean close at the body": _clean_close_at_the_body,
    "no verdict": _continue_without_a_verdict,
    "verdict in capitals": _verdict_of_another_kind,
    "verdict in another namespace": _verdict_in_another_namespace,
    "garbage": _garbage,
    "empty answers": _empty_answer,
    "answer to another question": _answer_to_another_question,
    "error": _error,
    "silence": _silence,
}


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != PROCESS:
            return None

        async def process(_: object, context: Context) -> None:
            await self._behaviour(context)

        return grpc.stream_stream_rpc_method_handler(
            process,
            request_deserializer=ProcessingRequest.FromString,
            response_serializer=lambda data: data,
        )


@contextlib.asynccontextmanager
async def broken_server(address: str, behaviour: Behaviour) -> AsyncIterator[None]:
    """A policy server that behaves like this, listening at `address`."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(behaviour),))
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)

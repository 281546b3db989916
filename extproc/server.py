"""The policy server: a chain, a gate, a transport, and the settlement of what the access log brings."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
import traceback
from typing import Any, Final

import orjson

from extproc import completion_log
from extproc.access_log import read_entry
from extproc.assembly import assemble
from extproc.chain import Chain
from extproc.conversation import Conversation
from extproc.gate import Gate
from extproc.grpc_transport import GrpcTransport
from extproc.protos import Message
from extproc.settings import Settings
from extproc.tasks import drain, ends_us, spawn
from extproc.transport import Services, Transport
from extproc.travel import Travel

_log = logging.getLogger(__name__)
_QUEUE_LIMIT: Final = 100_000


class PolicyServer:
    """Everything one worker process does. `start`, then `stop`."""

    def __init__(self, settings: Settings, chain: Chain) -> None:
        self._settings = settings
        self._chain = chain
        self._gate = Gate(chain, settings.catalogue(), settings.identity_headers)
        self._travel = Travel(kind for link in chain.links for kind in link.policy.provides)
        # Bounded: Envoy holds what we do not read, and a flood must not take our memory.
        self._entries: asyncio.Queue[Message] = asyncio.Queue(_QUEUE_LIMIT)
        self._transport: Transport = GrpcTransport(Services(self._converse, self._take, self._healthy))
        self._settling: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Start policies, then listen. The address bound.

        Raises:
            PolicyStartError: a policy cannot start.
            OSError: the address cannot be bound.
        """
        await self._chain.start()
        self._settling = spawn(self._settle(), name="settlement")
        return await self._transport.start(self._settings.server.listen)

    async def stop(self) -> None:
        """Let exchanges in flight finish, settle what has been logged, then stop the policies."""
        await self._transport.stop(self._settings.server.grace)
        try:
            async with asyncio.timeout(self._settings.server.grace):
                await self._entries.join()
        except TimeoutError:
            _log.error("stopped with %d completions unsettled", self._entries.qsize())
        if self._settling is not None:
            self._settling.cancel()
        await self._chain.stop()

    def _converse(self) -> Conversation:
        return Conversation(self._gate, self._travel, _mint)

    def _healthy(self) -> bool:
        return not self._chain.readiness()

    def _take(self, message: Message) -> None:
        for entry in message.http_logs.log_entry:
            try:
                self._entries.put_nowait(entry)
            except asyncio.QueueFull:
                # Settlement is far behind. Nothing is under-counted: what is not settled stays reserved.
                _log.error("an access log entry was dropped: settlement is behind")

    async def _settle(self) -> None:
        while True:
            entry = await self._entries.get()
            try:
                completion = read_entry(entry, self._travel)
                if completion is not None:
                    emit(completion_log.line(completion))
                    await self._chain.settle(completion)
            except BaseException as error:
                if ends_us(error):
                    raise
                _log.exception("an access log entry could not be settled")
            finally:
                self._entries.task_done()


def _mint() -> str:
    """An exchange's id: 128 random bits, so that it is unique without asking anyone."""
    return secrets.token_hex(16)


def emit(line: bytes) -> None:
    """Write one line of JSON to standard output, whole."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


class JsonFormatter(logging.Formatter):
    """Log records as JSON lines, like everything else on standard output."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {
            "timestamp": self.formatTime(record),
            "event": "log",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception may quote a body or a token: its type and place are enough to find it.
            values["exception"] = record.exc_info[0].__name__
            values["at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return orjson.dumps(values).decode()


def log_to_stdout() -> None:
    """Send the process's log to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # httpx logs every URL it fetches at INFO.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody awaited has failed. asyncio would write down the exception, and what it was called with, in full."""
    error = context.get("exception")
    if error is None:
        _log.error("event loop: %s", str(context.get("message"))[:100])
    else:
        _log.error("event loop: a failure that nobody handled: %s", type(error).__name__, exc_info=error)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Takes over the process's logging.

    Raises:
        ConfigurationError: a policy's settings are wrong.
        PolicyStartError: a policy cannot start.
        OSError: the address cannot be bound.
    """
    log_to_stdout()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unhandled)
    server = PolicyServer(settings, assemble(settings))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    address = await server.start()
    emit(orjson.dumps({"event": "listening", "address": address, "transport": settings.server.transport}))
    await stop.wait()
    emit(orjson.dumps({"event": "draining"}))
    await server.stop()
    await drain(1.0)
    emit(orjson.dumps({"event": "stopped"}))

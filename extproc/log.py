"""What the process writes on standard output: JSON lines, one an event, nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import Any

import orjson

_log = logging.getLogger(__name__)


def emit(*lines: bytes) -> None:
    """Write lines of JSON to standard output, whole and at once."""
    sys.stdout.buffer.write(b"\n".join((*lines, b"")))
    sys.stdout.buffer.flush()


class JsonFormatter(logging.Formatter):
    """Log records as JSON lines, like everything else on standard output."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {
            "timestamp": self.formatTime(record),
            "event": "log",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
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


def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody awaited has failed. asyncio would write down the exception, and what it was called with, in full."""
    error = context.get("exception")
    if error is None:
        _log.error("event loop: %s", str(context.get("message"))[:100])
    else:
        _log.error("event loop: a failure that nobody handled: %s", type(error).__name__, exc_info=error)

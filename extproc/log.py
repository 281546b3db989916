"""What the process writes on standard output: JSON lines, one an event, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

_log = logging.getLogger(__name__)
_lost = 0


def emit(*lines: bytes) -> None:
    """Write lines of JSON to standard output, whole and at once.

    Never fails: where the disk is full, or whoever read them has gone, lines are lost and counted, and the work goes on.
    """
    global _lost  # noqa: PLW0603  (of the process, as its standard output is)
    output = sys.stdout.buffer
    try:
        output.write(b"\n".join((*lines, b"")))
    except OSError:
        _lost += len(lines)
        return
    # What cannot be written now is still in the buffer, and goes before the next line that can.
    with contextlib.suppress(OSError):
        output.flush()


def tell(event: str, **values: Any) -> None:
    """Write an event of the process, and when it was, as a line. `values`: its other members."""
    emit(orjson.dumps({"timestamp": datetime.now(UTC), "event": event, **values}))


def lines_lost() -> int:
    """So many lines of this process could not be written."""
    return _lost


class _Handler(logging.StreamHandler[TextIO]):
    """Complains of nothing: what it would complain on is no better off than the log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        global _lost  # noqa: PLW0603
        _lost += 1


class JsonFormatter(logging.Formatter):
    """Log records as JSON lines, like everything else on standard output."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC),
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
    handler = _Handler(sys.stdout)
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

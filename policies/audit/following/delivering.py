"""One attempt to deliver a batch, whatever the sink does: what was taken, what refused, or that it must come again."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from extproc.tasks import ends_us
from policies.audit.following.sink import RejectedError, Sink, SinkError
from policies.audit.record import Closed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a batch, by index; what stands in neither must come again. At least one stands in one of them."""

    delivered: frozenset[int]
    refused: frozenset[int] = frozenset()
    reason: str = ""


async def deliver(sink: Sink, batch: Sequence[Closed], timeout: float) -> Delivery:  # noqa: ASYNC109
    """Ask the sink once, for at most `timeout` seconds. `batch` is not empty.

    Raises:
        SinkError: nothing is known to have arrived. Also where the sink raised what it should not.
    """
    try:
        async with asyncio.timeout(timeout):
            await sink.deliver(batch)
    except SinkError:
        raise
    except RejectedError as error:
        return _rejected(error, len(batch))
    except TimeoutError:
        raise SinkError(f"no end within {timeout:g} s") from None
    except BaseException as error:
        raise _broken(sink.name, error) from None
    return Delivery(frozenset(range(len(batch))))


async def begin(sink: Sink, timeout: float) -> None:  # noqa: ASYNC109
    """Start the sink.

    Raises:
        SinkError: it cannot be started now.
    """
    try:
        async with asyncio.timeout(timeout):
            await sink.start()
    except SinkError:
        raise
    except TimeoutError:
        raise SinkError(f"it did not start within {timeout:g} s") from None
    except BaseException as error:
        raise _broken(sink.name, error) from None


def _rejected(error: RejectedError, length: int) -> Delivery:
    refused = frozenset(index for index in error.indexes if 0 <= index < length)
    delivered = frozenset(range(min(max(0, error.delivered), length))) - refused
    if not refused:
        # It would come again for ever, and nobody would know.
        raise SinkError("it refused records that it was not given")
    return Delivery(delivered, refused, error.reason)


def _broken(name: str, error: BaseException) -> SinkError:
    """What a sink should not raise. Its message may hold a record: it is not told."""
    if ends_us(error):
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
    _log.error("sink %s: %s at %s", name, type(error).__name__, place)
    return SinkError(f"{type(error).__name__}")

"""The status pipe, at the worker's end. Edge: a pipe.

What a supervisor does not read at once is kept until it does, and nothing is waited for: a supervisor that has stopped is
not worth an exchange. Who has much to say, again and again, asks first whether the last of it has been taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time

from extproc.workers.status import Report, to_line


class Line:
    """Says reports, whole and in order."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def held(self) -> int:
        """Bytes that have been said, and not taken."""
        return len(self._rest)

    def say(self, *reports: Report) -> None:
        """Say these, after what was said before."""
        self._rest += b"".join(map(to_line, reports))
        self._push()

    def finish(self, seconds: float) -> None:
        """Wait until all that was said has been taken, for as long at most. Blocks: for the end of a process."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while self._rest and (left := end - time.monotonic()) > 0:
            poll.poll(left * 1_000)
            self._push()

    def _push(self) -> None:
        try:
            while self._rest:
                # Not a slice of all of it each time: there may be megabytes.
                with memoryview(self._rest) as whole, whole[:65_536] as part:
                    written = os.write(self._descriptor, part)
                del self._rest[:written]
        except BlockingIOError:
            self._go_on_later()
            return
        except BrokenPipeError:
            # The supervisor has gone: that is noticed on standard input.
            self._rest.clear()
        self._rest_is_gone()

    def _go_on_later(self) -> None:
        if self._loop is None:
            with contextlib.suppress(RuntimeError):
                self._loop = asyncio.get_running_loop()
                self._loop.add_writer(self._descriptor, self._push)

    def _rest_is_gone(self) -> None:
        if self._loop is not None:
            self._loop.remove_writer(self._descriptor)
            self._loop = None

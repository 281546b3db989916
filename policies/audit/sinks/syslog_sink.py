"""A sink that sends records to a syslog collector: RFC 5424 over TCP (RFC 6587) or TLS (RFC 5425).

Syslog has no acknowledgement: nothing that a collector says tells that a record is safe. What is done about it:

- a batch counts as delivered when the peer's kernel has acknowledged every byte and the connection still stands;
  whatever else happens, the batch comes again;
- what the peer took shortly before the connection was lost is sent again over the next one
  (`policies.audit.sinks.resend`), for it may have been in the collector's memory only.

So records may arrive twice, and `(journal, sequence)` in the structured data tells. What is still lost: what a collector
takes, keeps in memory for longer than `resend_seconds`, and then loses; what it drops by its own rules, as when its queue
is full; and what was sent last, where both ends lose their memory at the same time. Where that is too much, give the
collector a queue on disk, or use OTLP or a webhook: they answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from extproc.tasks import aside
from policies.audit.following.sink import SinkError
from policies.audit.record import Closed
from policies.audit.sinks import http_tls
from policies.audit.sinks.resend import Resend
from policies.audit.sinks.settings import FACILITIES, SyslogSettings
from policies.audit.sinks.syslog_format import framed, message
from policies.audit.sinks.syslog_link import SyslogLink


class SyslogSink:
    """Keeps one connection, and makes another when it is lost. See `policies.audit.following.sink.Sink`."""

    def __init__(self, settings: SyslogSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, never goes back."""
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._link: SyslogLink | None = None
        self._resend = Resend(settings.resend_seconds, settings.resend_bytes)

    async def start(self) -> None:
        """Look whether the files of TLS can be used. It connects with the first batch.

        Raises:
            SinkError: one cannot.
        """
        tls = self._settings.tls
        if tls is not None:
            await aside(lambda: http_tls.context(tls), name=f"{self.name} start")

    async def deliver(self, batch: Sequence[Closed]) -> None:
        """Send the batch; see above for what that means.

        Raises:
            SinkError: send it again.
        """
        if not batch:
            return
        attempt = _Attempt(self._link)
        self._link = None
        try:
            data = await aside(lambda: attempt.run(lambda: self._send(batch, attempt)), name=f"{self.name} deliver")
        except BaseException:
            # Also where the wait was given up: a thread that still writes must not meet the next batch.
            attempt.give_up()
            raise
        self._resend.took(data, self._clock())
        self._link = attempt.link

    def _send(self, batch: Sequence[Closed], attempt: _Attempt) -> bytes:
        """In a thread: what was sent of `batch`."""
        settings = self._settings
        facility = FACILITIES[settings.facility]
        data = b"".join(
            framed(
                message(closed, facility=facility, hostname=settings.hostname, max_bytes=settings.max_bytes),
                settings.framing,
            )
            for closed in batch
        )
        before = b"" if attempt.stands() else self._resend.again(self._clock())
        attempt.connected(settings).send(before + data, settings.timeout)
        return data

    async def stop(self) -> None:
        """Close the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


class _Attempt:
    """One batch on its way, in a thread that nobody may wait for any more: whoever ends last closes the connection."""

    def __init__(self, link: SyslogLink | None) -> None:
        self.link = link
        self._given_up = False
        self._ended = False

    def run(self, work: Callable[[], bytes]) -> bytes:
        """What `work` gives. The connection is closed where it fails."""
        good = False
        try:
            data = work()
            good = True
        finally:
            self._ended = True
            if (self._given_up or not good) and self.link is not None:
                self.link.close()
        return data

    def stands(self) -> bool:
        """Whether there is a connection that the collector has not closed."""
        if self.link is None:
            return False
        try:
            self.link.check()
        except SinkError:
            self.link.close()
            self.link = None
        return self.link is not None

    def connected(self, settings: SyslogSettings) -> SyslogLink:
        """The connection, made where there is none.

        Raises:
            SinkError: it cannot be, or nobody waits for it.
        """
        if self.link is None and not self._given_up:
            self.link = SyslogLink(settings)
        if self.link is None or self._given_up:
            raise SinkError("given up")
        return self.link

    def give_up(self) -> None:
        """Nobody waits for it. It is over in a moment."""
        self._given_up = True
        if self.link is not None:
            self.link.abort()
            if self._ended:
                self.link.close()

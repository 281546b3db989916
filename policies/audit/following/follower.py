"""A follower: brings every record of every journal to one sink, at least once, and in order within each journal.

It works in steps, each of which says how long to wait for the next: who runs them may stop between any two. Reading,
checkpoint and dead letters are done in a thread.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from extproc.tasks import aside
from policies.audit.following.backoff import backoff
from policies.audit.following.breaker import Breaker, BreakerState
from policies.audit.following.checkpoint import Checkpoint, CheckpointError
from policies.audit.following.dead_letters import DeadLetters, DeadLettersFullError, Letter
from policies.audit.following.delivering import begin, deliver
from policies.audit.following.feed import Feed, Held
from policies.audit.following.following import Following, RedactionKeyError
from policies.audit.following.matching import Matcher
from policies.audit.following.sink import SinkError
from policies.audit.following.status import SinkState, SinkStatus
from policies.audit.journal import JournalError
from policies.audit.journal.reader import Position
from policies.audit.record import Closed

T = TypeVar("T")

_log = logging.getLogger(__name__)
_IDLE: Final = (0.05, 1.0)
"""Seconds between looks at the journals where nothing is new: at first, and at most."""
_STOPPED: Final = 2.0
"""Seconds between attempts where an operator is needed."""
_SAVE: Final = 1.0
"""Seconds between checkpoints while the sink wants none of the records."""


class Follower:
    """Follows for one sink. `step` until it is to end, then `stop`."""

    def __init__(
        self,
        folder: Path,
        following: Following,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        settings = following.settings
        self.name: Final = following.name
        self._settings = settings
        self._sink = following.sink
        self._clock = clock
        self._monotonic = monotonic
        self._chance = chance
        self._checkpoint = Checkpoint(folder, self.name)
        self._letters = DeadLetters(folder, self.name, settings.dead_letters)
        matcher = Matcher(settings.match.events, settings.match.tenants)
        self._redactor = lambda: following.redactor(folder)
        self._feed = Feed(folder, matcher, None, settings.batch, monotonic)
        self._breaker = Breaker(settings.retry.failures, settings.retry.pause)
        self._held: Held | None = None
        self._state = SinkState.STARTING
        self._error = ""
        self._idle = 0.0
        self._saved = 0.0
        self._loaded = self._started = False
        self._delivered = self._failures = self._died = 0

    async def step(self) -> float:
        """One piece of work: start, read, or deliver. Gives the seconds to wait before the next.

        What can go wrong with the sink, the journal and the disk is told by `status`, and tried again.
        """
        if (wait := self._breaker.remaining(self._monotonic())) > 0:
            return wait
        try:
            return await self._step()
        except SinkError as error:
            return self._failed(error)
        except (CheckpointError, DeadLettersFullError, JournalError, RedactionKeyError) as error:
            return self._stopped(str(error))
        except OSError as error:
            return self._stopped(f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}")

    async def stop(self) -> None:
        """Save how far it has come, and stop the sink."""
        try:
            if self._checkpoint.dirty:
                await self._in_thread(self._checkpoint.save)
        except OSError as error:
            # What was delivered since comes again.
            _log.error("sink %s: its checkpoint cannot be saved: %s", self.name, error.strerror)
        self._feed.close()
        await self._sink.stop()

    def positions(self) -> Mapping[str, Position]:
        """What is next to read in each journal of which all before has been delivered."""
        return self._checkpoint.all()

    def waiting(self) -> tuple[str, str] | None:
        """The journal and the timestamp of the record that is to be delivered next."""
        oldest = None if self._held is None else self._held.oldest()
        return None if self._held is None or oldest is None else (self._held.journal, oldest)

    def status(self) -> SinkStatus:
        """What there is to tell, but for how far it is behind. Reads the dead letters: for a thread."""
        return SinkStatus(
            state=self._state,
            error=self._error,
            broken=self._feed.broken,
            breaker=self._breaker.state(self._monotonic()),
            breaker_opened=self._breaker.opened,
            delivered=self._delivered,
            failures=self._failures,
            missed=self._feed.missed,
            refused=self._died,
            dead_letters=self._letters.count(),
            dead_letter_bytes=self._letters.size(),
        )

    async def _step(self) -> float:
        if not self._loaded:
            self._feed.redact = await self._in_thread(self._redactor)
            await self._in_thread(self._checkpoint.load)
            self._loaded = True
        if not self._started:
            await begin(self._sink, self._settings.retry.timeout)
            self._started = True
            self._well()
        if self._held is None:
            self._held = await self._in_thread(lambda: self._feed.next(self._checkpoint.get))
            if self._held is None:
                return await self._nothing()
        self._idle = 0.0
        await self._forward(self._held)
        return 0.0

    async def _nothing(self) -> float:
        """All is read. The checkpoint need not wait any longer."""
        if self._checkpoint.dirty:
            await self._save()
        self._recovered()
        self._idle = min(_IDLE[1], max(_IDLE[0], 2 * self._idle))
        return self._idle

    async def _forward(self, held: Held) -> None:
        if held.unfit:
            await self._bury(held.unfit, "it cannot be redacted")
            held.unfit = []
        some = bool(held.waiting)
        if some:
            await self._deliver(held)
        if held.waiting:
            return
        self._checkpoint.put(held.journal, held.after)
        # Where nothing was wanted there is nothing to repeat either, and many batches of that may follow.
        if some or self._monotonic() >= self._saved + _SAVE:
            await self._save()
        self._held = None
        self._recovered()

    async def _save(self) -> None:
        await self._in_thread(self._checkpoint.save)
        self._saved = self._monotonic()

    async def _deliver(self, held: Held) -> None:
        """One batch of what is held."""
        count = self._fitting(held.waiting)
        batch = held.waiting[:count]
        came = await deliver(self._sink, [copy for _, copy in batch], self._settings.retry.timeout)
        self._well()
        self._delivered += len(came.delivered)
        held.waiting[:count] = [one for index, one in enumerate(batch) if index not in came.delivered]
        refused = [batch[index][0] for index in sorted(came.refused)]
        if refused:
            await self._bury(refused, came.reason)
            gone = {closed.record.sequence for closed in refused}
            held.waiting = [one for one in held.waiting if one[0].record.sequence not in gone]

    def _fitting(self, waiting: Sequence[tuple[Closed, Closed]]) -> int:
        """How many of them go at once. A probe is one."""
        if self._breaker.state(self._monotonic()) is not BreakerState.CLOSED:
            return 1
        size = 0
        for index, (_, copy) in enumerate(waiting):
            size += len(copy.line) + 1
            if index and size > self._settings.batch.bytes:
                return index
        return len(waiting)

    async def _bury(self, refused: Sequence[Closed], reason: str) -> None:
        now = self._clock()
        letters = [
            Letter(
                journal=closed.record.journal,
                line=closed.line.decode(),
                reason=reason,
                sequence=closed.record.sequence,
                time=now,
            )
            for closed in refused
        ]
        await self._in_thread(lambda: self._letters.append(letters))
        self._died += len(letters)
        _log.warning("sink %s: %d dead letters: %s", self.name, len(letters), reason)

    def _well(self) -> None:
        if self._breaker.failures:
            _log.info("sink %s: it takes records again", self.name)
        self._breaker.succeeded()

    def _recovered(self) -> None:
        self._state, self._error = SinkState.FOLLOWING, ""

    def _failed(self, error: SinkError) -> float:
        retry = self._settings.retry
        now = self._monotonic()
        self._failures += 1
        self._breaker.failed(now)
        if self._breaker.failures in (1, retry.failures):
            _log.warning("sink %s: failure %d in a row: %s", self.name, self._breaker.failures, error)
        self._state, self._error = SinkState.RETRYING, str(error)
        asked = min(retry.retry_after, max(0.0, error.retry_after or 0.0))
        jittered = backoff(self._breaker.failures, self._chance(), first=retry.first, most=retry.most)
        return max(jittered, asked, self._breaker.remaining(now))

    def _stopped(self, why: str) -> float:
        if self._error != why:
            _log.error("sink %s: stopped: %s", self.name, why)
        self._state, self._error = SinkState.STOPPED, why
        return _STOPPED

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await aside(work, name=f"audit: {self.name}")

"""The audit policy: a decision record before anything goes up, a closing record after the last byte."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from extproc.actuals import charged, price_of
from extproc.catalogue import Catalogue
from extproc.completion import Completion, Decision
from extproc.exchange import Exchange
from extproc.identity import Identity
from extproc.outcome import Reject, Respond
from extproc.policy import Policy, Surroundings, VerdictAnswer
from extproc.recorder import Event
from extproc.spending import Question, Spent
from extproc.tasks import aside, waits
from policies.audit import closing, deciding
from policies.audit.following.metering import Meter, Metering
from policies.audit.form import Form, Forms, Values
from policies.audit.happening import happened, settled
from policies.audit.insisting import Insisting
from policies.audit.journal.recovery import MOST
from policies.audit.journal.settings import JournalError
from policies.audit.journal.slots import left_behind
from policies.audit.journal.writer import JournalWriter
from policies.audit.keys import redaction_key
from policies.audit.ledger.spending import spent
from policies.audit.moments import moment
from policies.audit.redaction import RedactionSettings, Redactor
from policies.audit.settings import AuditSettings
from policies.audit.version import VERSION
from policies.audit.words import Words

_log = logging.getLogger(__name__)
_UNREADY: Final = Redactor(RedactionSettings(), bytes(32))
"""Until the key is known: nothing is recorded before."""
_GRACE: Final = 5.0


class AuditPolicy(Policy):
    """Keeps the journal. Stands last: what it records is what the others have said."""

    __slots__ = (
        "_captures",
        "_catalogue",
        "_clock",
        "_closings",
        "_common",
        "_decisions",
        "_insisting",
        "_metering",
        "_recorder",
        "_refused",
        "_session_header",
        "_settings",
        "_strict",
        "_timings",
        "_unrecorded",
        "_words",
        "_writer",
    )

    name = "audit"
    Settings = AuditSettings
    companion = ("audit", "follow")

    def __init__(self, settings: AuditSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._clock = surroundings.clock
        self._recorder = surroundings.recorder
        self._catalogue: Catalogue = surroundings.catalogue
        self._words: Words = _UNREADY
        self._writer = JournalWriter(settings.journal, surroundings.clock)
        meter = Meter(Path(settings.journal.folder), settings.sinks)
        self._metering = Metering(meter, surroundings.metrics, surroundings.clock, lambda: self._writer.queued)
        self._insisting = Insisting(self._writer, closed=settings.journal.full == "closed")
        self._strict = settings.journal.durability == "strict"
        self._timings = settings.tells_timings
        self._session_header = settings.session_header
        # Asked of each exchange only where it can be true of one.
        self._captures = bool(settings.capture.tenants)
        self._common = {"configuration": surroundings.configuration[:16], "service.version": VERSION}
        self._decisions, self._closings = Forms(deciding.BLANKS), Forms(closing.BLANKS)
        self._unrecorded = self._refused = 0

    @classmethod
    def build(cls, settings: AuditSettings, surroundings: Surroundings) -> AuditPolicy:
        if settings.close_after < surroundings.longest:
            raise ValueError(f"close_after: exchanges can last {surroundings.longest:g} s: expected no less")
        return cls(settings, surroundings)

    async def start(self) -> None:
        """Raises JournalError or OSError where the journal cannot be written at all."""
        settings = self._settings
        folder = Path(settings.journal.folder)
        key = await aside(lambda: redaction_key(settings.redaction, folder), name="audit: key")
        self._words = Redactor(settings.redaction, key)
        await self._writer.start()
        self._metering.start()
        self._recorder.keep(self._happened, self._insisting.written)
        self._recorder.tell(Event("configuration.loaded", {"after": self._common["configuration"]}))
        instance = settings.journal.instance
        left = await aside(lambda: left_behind(folder, instance, MOST), name="audit: left")
        self._recorder.found(settled([*self._writer.inherited, *left]))

    async def stop(self) -> None:
        self._metering.stop()
        self._insisting.stop()
        await self._writer.stop(_GRACE)

    def readiness(self) -> str | None:
        return self._writer.readiness()

    def counters(self) -> Mapping[str, int]:
        insisting = self._insisting
        own = {"refused": self._refused, "unrecorded": self._unrecorded + insisting.lost, "held": insisting.held}
        return {**self._writer.counters(), **own}

    async def spending(self, question: Question) -> AsyncIterator[Spent]:
        async for one in spent(self._settings.sinks, question):
            yield one

    def on_verdict(
        self, exchange: Exchange, outcome: Reject | Respond | None, decisions: Sequence[Decision]
    ) -> VerdictAnswer:
        """Write down what was decided. What cannot be written down does not go up."""
        session = exchange.request.headers.get(self._session_header) or ""
        if self._captures and self._captured(exchange):
            # They are long: they are looked through beside the event loop.
            return self._record_aside(partial(self._described, exchange, outcome, decisions, session, prompts=True))
        parted = deciding.parted(exchange, decisions, session, timings=self._timings) if outcome is None else None
        if parted is not None:
            alike, values = parted
            form = self._decisions.get(alike)
            if form is not None and self._fill(form, values):
                return self._durable() if self._strict else None
        fields = self._described(exchange, outcome, decisions, session, prompts=False)
        refusal = self._record(fields)
        if parted is not None and form is None:
            self._decisions.learn(alike, fields)
        return refusal

    def _captured(self, exchange: Exchange) -> bool:
        identity = exchange.get(Identity)
        return identity is not None and self._settings.captures(identity, exchange.body)

    def _described(
        self,
        exchange: Exchange,
        outcome: Reject | Respond | None,
        decisions: Sequence[Decision],
        session: str,
        *,
        prompts: bool,
    ) -> dict[str, Any]:
        return deciding.decided(
            exchange, outcome, decisions, self._words, session=session, prompts=prompts, timings=self._timings
        )

    async def _record_aside(self, describe: Callable[[], dict[str, Any]]) -> Reject | None:
        recorded = self._record(await aside(describe, name="audit: redact"))
        return await recorded if waits(recorded) else recorded

    def _record(self, fields: dict[str, Any]) -> VerdictAnswer:
        try:
            self._append(fields)
        except JournalError as error:
            refusal = self._refuse(error)
            # It is on record all the same, as soon as there is room.
            self._insist(deciding.refused(fields, refusal, self.name, self._words))
            return refusal
        return self._durable() if self._strict else None

    async def _durable(self) -> Reject | None:
        try:
            await self._writer.durable()
        except JournalError as error:
            return self._refuse(error)
        return None

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        """Write down how it ended, also if that has to wait. What can never be written down is closed by the companion,
        as it was reserved."""
        charge = charged(completion, price_of(self._catalogue.tariff, completion))
        parted = closing.parted(completion, charge)
        if parted is not None:
            alike, values = parted
            form = self._closings.get(alike)
            if form is not None and not self._insisting.held and self._fill(form, values):
                return None
        fields = closing.closed(completion, charge, self._words)
        waiting = self._insist(fields)
        if parted is not None and form is None and waiting is None:
            self._closings.learn(alike, fields)
        return waiting

    def _fill(self, form: Form, values: Values) -> bool:
        """Whether the record was taken; else it is to be brought in the ordinary way, which says why not."""
        try:
            self._writer.fill(form, moment(self._clock()), values)
        except JournalError:
            return False
        return True

    def _insist(self, fields: dict[str, Any]) -> Awaitable[None] | None:
        try:
            return self._insisting.append(self._stamped(fields))
        except JournalError:
            self._unrecorded += 1
            return None

    def _append(self, fields: dict[str, Any]) -> None:
        self._writer.append(self._stamped(fields))

    def _stamped(self, fields: dict[str, Any]) -> dict[str, Any]:
        fields["timestamp"] = moment(self._clock())
        fields |= self._common
        return fields

    def _refuse(self, error: JournalError) -> Reject:
        self._refused += 1
        return Reject(
            503,
            "audit_unavailable",
            "The gateway could not write down this request, and so did not pass it on. Try again later.",
            retry_after=1.0,
            why=str(error),
        )

    # What others tell

    def _happened(self, event: Event) -> None:
        try:
            self._insisting.append(self._stamped(happened(event, self._words)))
        except Exception as error:
            # Whoever told it has other things to do.
            self._unrecorded += 1
            _log.error("the event %s is not recorded: %s", event.name, type(error).__name__)

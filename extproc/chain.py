"""The ordered list of policies, and how they are asked.

The first verdict ends the chain here, in the pipeline: no policy has to remember to look whether another has spoken.
A policy that answers at once is called at once; only one that must wait makes the rest of the chain wait with it.

Whatever a hook raises is a failure of its policy, and of nothing else: also what is no `Exception`. A panic in a native
extension, `sys.exit()` in a library or the cancellation of a task that several waited for would otherwise leave the
exchange without an answer, end the settlement of all others, or end the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from operator import length_hint
from time import perf_counter_ns
from typing import Any, Final, Literal, TypeAlias, TypeVar, assert_never

import msgspec

from extproc.call import Payload
from extproc.completion import Completion, Decision
from extproc.deadlines import Deadlines
from extproc.endings import tell
from extproc.exchange import Chunk, Exchange
from extproc.failing import failed, record
from extproc.measures import Measures
from extproc.metrics import Metrics
from extproc.outcome import CONTINUE, Continue, Mutate, Reject, RequestOutcome, Respond, ResponseOutcome
from extproc.payload import read_object
from extproc.policy import FailureMode, Policy
from extproc.response_fields import collected
from extproc.tasks import ends_us, waits

_log = logging.getLogger(__name__)
T = TypeVar("T")
VerdictOutcome: TypeAlias = Reject | Respond
Asked: TypeAlias = VerdictOutcome | Awaitable[VerdictOutcome | None] | None
Hook: TypeAlias = Literal["on_request_headers", "on_request_body"]
_WHY_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class Link:
    """A policy in its place, with what its entry in the configuration says of it."""

    policy: Policy
    failure: FailureMode = FailureMode.CLOSED
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy said in one phase, for `sluicegate explain`."""

    policy: str
    phase: str
    outcome: str
    code: str = ""
    notes: tuple[str, ...] = ()


class Course(msgspec.Struct):
    """What has come of one exchange so far: the chain's mutable half of it."""

    exchange: Exchange
    decisions: list[Decision] = msgspec.field(default_factory=list)
    set_headers: dict[str, str] = msgspec.field(default_factory=dict)
    remove_headers: set[str] = msgspec.field(default_factory=set)
    members: dict[str, Any] = msgspec.field(default_factory=dict)
    body_changed: bool = False
    steps: list[Step] | None = None
    unasked: Iterator[Link] | None = None
    """The policies whose `on_request_body` is still to be asked. None: none was, or all has been said about it."""
    deadline: float | None = None
    """Until when the policies may be waited for on the present message, on the event loop's clock. None: nobody waits."""


class PolicyStartError(Exception):
    """A policy cannot start. Names it and the kind of failure: the exception itself may quote a password."""


class Chain:
    """The policies of a gateway, in order. Immutable."""

    __slots__ = (
        "_body",
        "_deadlines",
        "_headers",
        "_measures",
        "_response",
        "_settle",
        "_timeout",
        "_verdict",
        "links",
        "metrics",
        "response_fields",
    )

    def __init__(self, links: Iterable[Link], *, timeout: float = 5.0, metrics: Metrics | None = None) -> None:
        """`timeout`: seconds that all policies together may be waited for on one message. `metrics`: of the process.

        Raises:
            ValueError: a policy declares a response field that none may add.
        """
        self.links = tuple(links)
        self.response_fields = frozenset(collected(link.policy.response_fields for link in self.links))
        self.metrics: Final = metrics if metrics is not None else Metrics()
        self._measures = Measures(self.metrics, (link.policy.name for link in self.links))
        self._timeout = timeout
        self._deadlines = Deadlines()
        self._headers = self._overriding("on_request_headers")
        self._body = self._overriding("on_request_body")
        self._response = self._overriding("on_response_body")
        self._settle = self._overriding("on_settle")
        self._verdict = self._overriding("on_verdict")

    def _overriding(self, hook: str) -> tuple[Link, ...]:
        return tuple(link for link in self.links if type(link.policy).overrides(hook))

    @property
    def may_read_responses(self) -> bool:
        """Whether any policy can ask for response bytes at all."""
        return bool(self._response)

    @property
    def hears_verdicts(self) -> bool:
        """Whether any policy wants to know the verdict before it is sent."""
        return bool(self._verdict)

    def request_headers(self, course: Course) -> Asked:
        """Ask every policy about the headers. None: no verdict yet."""
        return self._ask(iter(self._headers), course, "on_request_headers")

    def request_body(self, course: Course) -> Asked:
        """Ask every policy about the call. None: the exchange may go up."""
        course.unasked = iter(self._body)
        return self._ask(course.unasked, course, "on_request_body")

    def decided(self, course: Course, outcome: VerdictOutcome | None) -> Asked:
        """Tell every policy the verdict; what it is then. `outcome`: None: it may pass."""
        course.deadline = None
        return self._tell_verdict(iter(self._verdict), course, outcome)

    def _took(self, link: Link, course: Course, began: int) -> int:
        """A policy has done what it was asked at `began`; now. Nanoseconds of `perf_counter_ns`."""
        name = link.policy.name
        now = self._measures.asked(name, began)
        if self._verdict:
            timings = course.exchange.timings
            timings[name] = timings.get(name, 0) + now - began
        return now

    def _tell_verdict(self, links: Iterator[Link], course: Course, outcome: VerdictOutcome | None) -> Asked:
        began = perf_counter_ns()
        for link in links:
            try:
                said = link.policy.on_verdict(course.exchange, outcome, course.decisions)
                if waits(said):
                    return self._verdict_told(said, link, links, course, outcome, began=began)
                said = _word(said)
            except BaseException as error:
                said = self._not_told(link, error, course)
            began = self._took(link, course, began)
            outcome = self._overruled(link, said, course, outcome)
        return outcome

    async def _verdict_told(
        self,
        pending: Awaitable[Any],
        link: Link,
        links: Iterator[Link],
        course: Course,
        outcome: VerdictOutcome | None,
        *,
        began: int,
    ) -> VerdictOutcome | None:
        try:
            said = _word(await self._limited(pending, course))
        except BaseException as error:
            if ends_us(error):
                raise
            said = self._not_told(link, error, course)
        self._took(link, course, began)
        rest = self._tell_verdict(links, course, self._overruled(link, said, course, outcome))
        return await rest if waits(rest) else rest

    def _not_told(self, link: Link, error: BaseException, course: Course) -> Reject | None:
        meaning = failed(link, error, course)
        return meaning if isinstance(meaning, Reject) else None

    def _overruled(
        self, link: Link, said: Reject | None, course: Course, outcome: VerdictOutcome | None
    ) -> VerdictOutcome | None:
        """What was refused stays so, for the reason that was given first. What was not goes up no more."""
        if said is None or isinstance(outcome, Reject):
            return outcome
        decision = Decision(link.policy.name, "reject", said.code, presentable(said.why), enforced=not link.shadow)
        course.decisions.append(decision)
        if not link.shadow:
            self.abandon(course)
        return outcome if link.shadow else said

    def abandon(self, course: Course) -> None:
        """Tell every policy that was asked about the call that nothing goes up. Once: what follows is ignored."""
        if course.unasked is None:
            return
        asked = self._body[: len(self._body) - length_hint(course.unasked)]
        course.unasked = None
        for link in asked:
            try:
                link.policy.on_abandoned(course.exchange)
            except BaseException:
                # Nothing is awaited here, so it does not end us, whatever it is.
                _log.exception("policy %s failed to let go of exchange %s", link.policy.name, course.exchange.id)

    async def response_body(self, course: Course, chunk: Chunk) -> bytes:
        """The chunk as the policies leave it. A policy that fails closed takes the rest of the answer away.

        Raises:
            BaseException: what a policy that is closed raised.
        """
        data, course.deadline = chunk.data, None
        for link in self._response:
            try:
                outcome = link.policy.on_response_body(course.exchange, Chunk(data, chunk.last))
                if waits(outcome):
                    outcome = await self._limited(outcome, course)
                data = self._after(link, outcome, data)
            except BaseException as error:
                if ends_us(error):
                    raise
                record(link, error, course)
                if link.failure is FailureMode.CLOSED and not link.shadow:
                    raise
        return data

    @staticmethod
    def _after(link: Link, outcome: object, data: bytes) -> bytes:
        if not isinstance(outcome, ResponseOutcome):
            raise TypeError(f"a hook returned {type(outcome).__name__}")
        return data if link.shadow or not isinstance(outcome, Mutate) or outcome.body is None else outcome.body

    def settle(self, completion: Completion) -> Awaitable[None] | None:
        """Tell every policy how it ended: see `extproc.endings`."""
        self._measures.ended(completion)
        return tell(self._settle, completion, self._measures.settled)

    async def start(self) -> None:
        """Start every policy, in order.

        Raises:
            PolicyStartError: one cannot start. What it raised is logged, and does not go further.
        """
        for link in self.links:
            try:
                await link.policy.start()
            except BaseException as error:
                if ends_us(error):
                    raise
                _log.exception("policy %s failed to start", link.policy.name)
                raise PolicyStartError(f"policy {link.policy.name} failed to start: {type(error).__name__}") from None

    async def stop(self) -> None:
        """Stop every policy. One that fails does not keep the others from writing down what they hold."""
        for link in reversed(self.links):
            try:
                await link.policy.stop()
            except BaseException as error:
                if ends_us(error):
                    raise
                _log.exception("policy %s failed to stop", link.policy.name)

    def readiness(self) -> list[str]:
        """What is missing, by policy; empty when all are ready."""
        return [f"{link.policy.name}: {missing}" for link in self.links if (missing := lacking(link.policy)) is not None]

    def _ask(self, links: Iterator[Link], course: Course, hook: Hook) -> Asked:
        began = perf_counter_ns()
        for link in links:
            try:
                outcome = getattr(link.policy, hook)(course.exchange)
                if outcome is CONTINUE and course.steps is None:
                    # Nothing to apply and nothing to record, nearly always: saves 1 us per hook.
                    began = self._took(link, course, began)
                    continue
                if waits(outcome):
                    return self._wait(outcome, link, links, course, hook, began=began)
                self._apply(link, outcome, course)
            except BaseException as error:
                outcome = failed(link, error, course)
            began = self._took(link, course, began)
            verdict = self._weigh(link, outcome, course, hook)
            if verdict is not None:
                return verdict
        return None

    async def _wait(
        self,
        pending: Awaitable[RequestOutcome],
        link: Link,
        links: Iterator[Link],
        course: Course,
        hook: Hook,
        *,
        began: int,
    ) -> VerdictOutcome | None:
        try:
            outcome = await self._limited(pending, course)
            self._apply(link, outcome, course)
        except BaseException as error:
            if ends_us(error):
                raise
            outcome = failed(link, error, course)
        self._took(link, course, began)
        verdict = self._weigh(link, outcome, course, hook)
        if verdict is not None:
            return verdict
        rest = self._ask(links, course, hook)
        return await rest if waits(rest) else rest

    def _limited(self, pending: Awaitable[T], course: Course) -> Awaitable[T]:
        if course.deadline is None:
            course.deadline = asyncio.get_running_loop().time() + self._timeout
        return self._deadlines.wait(pending, course.deadline)

    def _weigh(self, link: Link, outcome: RequestOutcome, course: Course, hook: Hook) -> VerdictOutcome | None:
        """Record what was said; a verdict ends the chain."""
        if course.steps is not None:
            course.steps.append(_step(link, outcome, course, hook))
        match outcome:
            case Continue() | Mutate():
                return None
            case Reject(code=code, why=why):
                decision = Decision(link.policy.name, "reject", code, presentable(why), enforced=not link.shadow)
            case Respond():
                decision = Decision(link.policy.name, "respond", enforced=not link.shadow)
            case never:
                assert_never(never)
        course.decisions.append(decision)
        return None if link.shadow else outcome

    @staticmethod
    def _apply(link: Link, outcome: object, course: Course) -> None:
        """Make the changes that an outcome asks for, where later policies see them.

        Raises:
            TypeError: it is no outcome: a hook that forgot to return, for example.
            PayloadError: the new body is no JSON object, where the endpoint takes nothing else.
        """
        if not isinstance(outcome, RequestOutcome):
            raise TypeError(f"a hook returned {type(outcome).__name__}")
        if not isinstance(outcome, Mutate) or link.shadow:
            return
        payload = course.exchange.get(Payload)
        if outcome.body is not None:
            members = read_object(outcome.body) if payload is not None else {}
            course.exchange.body = outcome.body
            course.body_changed = True
            # What was set before stood in the body that this one replaces.
            course.members.clear()
            if payload is not None:
                payload.members.clear()
                payload.members.update(members)
        course.members.update(outcome.members)
        if payload is not None:
            payload.members.update(outcome.members)
        for name in outcome.remove_headers:
            course.remove_headers.add(name.lower())
            course.set_headers.pop(name.lower(), None)
        for name, value in outcome.set_headers:
            course.set_headers[name.lower()] = value


def _word(said: object) -> Reject | None:
    """What was said of a verdict. Raises TypeError where it is nothing of the kind: `CONTINUE`, for example."""
    if said is None or isinstance(said, Reject):
        return said
    raise TypeError(f"a hook returned {type(said).__name__}")


def lacking(policy: Policy) -> str | None:
    """What it lacks to decide; None when it is ready."""
    try:
        return policy.readiness()
    except BaseException as error:
        return f"cannot say whether it is ready: {type(error).__name__}"


def presentable(why: str) -> str:
    """A reason for the operator, bounded, in characters that can be written down: it may quote raw header bytes."""
    return why[:_WHY_LIMIT].encode("utf-8", "backslashreplace").decode()


def _step(link: Link, outcome: RequestOutcome, course: Course, hook: Hook) -> Step:
    code = outcome.code if isinstance(outcome, Reject) else ""
    notes = tuple(course.exchange.take_notes())
    return Step(link.policy.name, hook.removeprefix("on_"), type(outcome).__name__.lower(), code, notes)

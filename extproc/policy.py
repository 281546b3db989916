"""The contract of a policy.

A policy is shared by all exchanges and immutable: it has settings and ports, and overrides the hooks it needs. What it
overrides determines Envoy's processing mode; nothing is configured twice. Whatever it learns about one exchange it puts
on the exchange as a fact.

A hook returns its outcome at once, or an awaitable of it when it must wait. The plain form is the fast one: no task is
made for it.

To ship a policy in a distribution of its own, name its class in the entry-point group `sluicegate.policies`:

    [project.entry-points."sluicegate.policies"]
    quiet_hours = "quiet_hours:QuietHours"

and name it in the configuration: `policies: [{policy: quiet_hours, settings: {from: "22:00"}}]`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict

from extproc.catalogue import Catalogue
from extproc.completion import Completion, Decision
from extproc.exchange import Chunk, Exchange
from extproc.metrics import Metrics
from extproc.outcome import CONTINUE, Reject, RequestOutcome, Respond, ResponseOutcome
from extproc.recorder import Recorder
from extproc.spending import Question, Spent
from extproc.tally import Tally

RequestAnswer: TypeAlias = RequestOutcome | Awaitable[RequestOutcome]
ResponseAnswer: TypeAlias = ResponseOutcome | Awaitable[ResponseOutcome]
VerdictAnswer: TypeAlias = Reject | Awaitable[Reject | None] | None


class PolicySettings(BaseModel):
    """Base of every policy's settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureMode(StrEnum):
    """What an exception or a time-out inside a policy means: refuse (closed) or carry on without it (open)."""

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host gives a policy when it is built."""

    catalogue: Catalogue
    clock: Callable[[], float]
    """Seconds since the epoch, UTC."""
    workers: int = 1
    """How many processes decide: each builds its own policies, and sees a share of the exchanges."""
    shadow: bool = False
    """Whether the policy's entry says `shadow: true`: its verdicts are recorded and not enforced."""
    longest: float = 190.0
    """Seconds for which an exchange can last, from its decision to its settlement, with a margin."""
    recorder: Recorder = field(default_factory=Recorder)
    """Where to tell what happened, for whoever keeps a record of it."""
    metrics: Metrics = field(default_factory=Metrics)
    """Of the process: what is counted there stands at `/metrics`."""
    configuration: str = ""
    """SHA-256 of the configuration, in hexadecimal: what was decided, was decided by this."""


class Policy:
    """Base class of policies. Override what you need; every hook here does nothing."""

    __slots__ = ()
    name: ClassVar[str]
    Settings: ClassVar[type[PolicySettings]] = PolicySettings
    requires: ClassVar[tuple[type[Any], ...]] = ()
    """Fact types that an earlier policy must provide; checked at start-up. The host provides `Endpoint`, and before
    `on_request_body` `Call` and `Payload`."""
    provides: ClassVar[tuple[type[Any], ...]] = ()
    """Fact types this policy puts on an exchange that it lets pass. They travel to settlement if they can be encoded."""
    response_fields: ClassVar[tuple[str, ...]] = ()
    """Names of the header fields that it may add to an answer by `Exchange.tell`: lower case, with a hyphen. Envoy's
    configuration names them, so they are known before the first exchange."""
    companion: ClassVar[tuple[str, ...]] = ()
    """The words of a `sluicegate` command that has to run beside the gateway, once, with the configuration as its
    argument. `sluicegate up` runs it; elsewhere it is a process of its own."""
    may_fail_open: ClassVar[bool] = True
    """Identity and access say False: configuration cannot make them `failure: open` or `shadow: true`."""

    @classmethod
    def build(cls, settings: Any, surroundings: Surroundings) -> Policy:
        """Make the policy from its validated settings. Raise `ValueError` for settings that cannot work together."""
        raise NotImplementedError(f"{cls.__name__} does not say how it is built")

    async def start(self) -> None:
        """Called once in the serving process, before the first exchange. Must not wait for a neighbour to be up."""

    async def stop(self) -> None:
        """Called once, after the last exchange."""

    def readiness(self) -> str | None:
        """None when ready; else what is missing, for the health service and the operator."""
        return None

    def counters(self) -> Mapping[str, int]:
        """What has happened since the start, by snake_case key; none goes back. They stand among the server's own as
        `<name of the policy>_<key>`. Asked each second, while exchanges are served: must return at once."""
        return {}

    def on_request_headers(self, exchange: Exchange) -> RequestAnswer:
        """The request line and headers are known; the body has not been read."""
        return CONTINUE

    def on_request_body(self, exchange: Exchange) -> RequestAnswer:
        """The call is known: the last word before anything goes upstream. Called once for every exchange that gets
        this far, also where there is no body to read (`exchange.body` is None then)."""
        return CONTINUE

    def on_verdict(
        self, exchange: Exchange, outcome: Reject | Respond | None, decisions: Sequence[Decision]
    ) -> VerdictAnswer:
        """The verdict is known, and has not been sent: also that of an exchange which no policy was asked about.

        `outcome`: None: it may pass. `decisions`: what was said, where it was more than to go on. A `Reject` refuses what
        would have passed or been answered; of one that is refused already it changes nothing.
        """
        return None

    def on_abandoned(self, exchange: Exchange) -> None:
        """Nothing goes upstream: the exchange ended before its verdict was sent (its stream was reset, its deadline
        passed, the host failed), or who heard the verdict has refused what would have passed (`on_verdict`).

        Called once for every policy whose `on_request_body` has been asked, whether it had answered or was still waited
        for: that has been cancelled, and has ended by then. What was reserved can be given back. `on_settle` is called as
        well, before or after; without facts, unless it was refused. Must return at once.
        """

    def on_response_body(self, exchange: Exchange, chunk: Chunk) -> ResponseAnswer:
        """A piece of the answer; called only on an exchange that asked by `exchange.want_response`."""
        return CONTINUE

    def on_settle(self, completion: Completion) -> Awaitable[None] | None:
        """The exchange is over. Called once for each, in any process: nothing but `completion` links it to the
        decision."""
        return None

    async def tallies(self) -> AsyncIterator[Tally]:
        """The counters that this policy keeps of calendar windows, for who compares them with the record. Asked of a
        policy that was built and not started.

        Raises:
            OSError: they cannot be read.
        """
        none: tuple[Tally, ...] = ()
        for tally in none:
            yield tally

    async def spending(self, question: Question) -> AsyncIterator[Spent]:
        """What was spent, for who makes reports of it: each combination of what is asked by once. Overridden by a policy
        that keeps a record of it; of several the first of the configuration is asked. Asked of a policy that was built
        and not started.

        Raises:
            SpendingError: it cannot be told.
        """
        none: tuple[Spent, ...] = ()
        for spent in none:
            yield spent

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Whether the class replaces the hook of this name."""
        return getattr(cls, hook) is not getattr(Policy, hook)

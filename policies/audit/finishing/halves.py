"""Which decisions and closings have found each other. Pure.

A decision without a closing: Envoy was killed, or the process that settles. After as long as an exchange can last, a
closing is written for it, as the reservation stands: that is what its counters are charged. A closing without a decision:
the process that decided was killed before it had written, or Envoy never asked.

Where a verdict did not arrive, Envoy knows the exchange by a name of its own, and its closing says `none`: it belongs to
the decision with the same request id, if there is one that waits. A client may choose that id, and send it twice: where
the decision's own closing comes after all, the other one stands for itself again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from policies.audit.moments import dollars
from policies.audit.record import Closed, Kind, Level, Name, Record

_REMEMBERED: Final = 100_000
_ADOPTED: Final = 10_000
_WHO: Final = (
    *("accounts", "app_id", "caller", "cost_centre", "department", "dialect", "model", "operation", "request_id"),
    *("reservation_id", "reserved", "roles", "route", "session_id", "stream", "tenant", "tenant_id", "trace_id"),
    *("upstream", "user_id", "http.request.method", "url.path"),
)
"""What both halves of an exchange say of it, by the names that it has in JSON."""
_STATUS: Final = "http.response.status_code"
UNDECIDED: Final = "none"


class Half(msgspec.Struct, frozen=True):
    """A half that waits for the other, since a moment of a clock that does not go back."""

    record: Record
    since: float


class State(msgspec.Struct, frozen=True):
    """What is remembered from one process to the next: halves that wait, exchanges that were completed, and closings that
    were taken for the end of an exchange which has another id."""

    waiting: tuple[Record, ...] = ()
    completed: tuple[str, ...] = ()
    adopted: tuple[tuple[str, Record], ...] = ()


class Halves:
    """All that wait. Records are shown to it as they are read, in whatever order journals give them."""

    def __init__(self, longest: float, grace: float, state: State | None = None, now: float = 0.0) -> None:
        """
        Args:
            longest: seconds after which a decision without a closing is closed.
            grace: seconds after which a closing without a decision is given one.
        """
        self._longest = longest
        self._grace = grace
        self._decided: dict[str, Half] = {}
        self._closed: dict[str, Half] = {}
        self._completed: dict[str, None] = dict.fromkeys(state.completed if state is not None else ())
        # By request id: of decisions, and of closings that know no decision.
        self._asked: dict[str, str] = {}
        self._unasked: dict[str, str] = {}
        self._adopted = {name: Half(record, now) for name, record in (state.adopted if state is not None else ())}
        for record in state.waiting if state is not None else ():
            self._wait(record, now)

    def state(self) -> State:
        waiting = [half.record for half in (*self._decided.values(), *self._closed.values())]
        adopted = tuple((name, half.record) for name, half in self._adopted.items())
        return State(tuple(waiting), tuple(self._completed), adopted)

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._decided) + len(self._closed)

    def saw(self, closed: Closed, now: float) -> None:
        """A record was read."""
        record = closed.record
        if record.kind == Kind.EVENT or not record.exchange_id:
            return
        other = self._other(record)
        if other is not None:
            self._let_go(other)
            if other.exchange_id != record.exchange_id:
                self._adopt(*((record, other) if record.kind == Kind.DECISION else (other, record)), now)
        elif record.kind == Kind.CLOSING and not record.recovered and record.exchange_id in self._adopted:
            self._wait(self._adopted.pop(record.exchange_id).record, now)
            return
        if record.recovered:
            self._complete(record.exchange_id)
        elif other is None and record.exchange_id not in self._completed:
            self._wait(record, now)

    def due(self, now: float) -> Iterator[dict[str, Any]]:
        """The halves that are missing and will not come any more: members of their records, but for those of the chain,
        the time and the configuration. Each is given once."""
        for half in _late(self._decided, now - self._longest):
            self._let_go(half.record)
            self._complete(half.record.exchange_id)
            yield lost(half.record)
        for name in [name for name, half in self._adopted.items() if half.since <= now - self._longest]:
            del self._adopted[name]
        for half in _late(self._closed, now - self._grace):
            self._let_go(half.record)
            self._complete(half.record.exchange_id)
            yield decision_of(half.record)

    def _other(self, record: Record) -> Record | None:
        """The half that waits for this one."""
        if record.kind == Kind.DECISION:
            name = record.exchange_id
            if name not in self._closed and record.request_id:
                name = self._unasked.get(record.request_id, name)
            half = self._closed.get(name)
        else:
            name = record.exchange_id
            if name not in self._decided and record.decision == UNDECIDED and record.request_id:
                name = self._asked.get(record.request_id, name)
            half = self._decided.get(name)
        return half.record if half is not None else None

    def _wait(self, record: Record, now: float) -> None:
        name = record.exchange_id
        if record.kind == Kind.DECISION:
            self._decided[name] = Half(record, now)
            if record.request_id:
                self._asked[record.request_id] = name
        else:
            self._closed[name] = Half(record, now)
            if record.decision == UNDECIDED and record.request_id:
                self._unasked[record.request_id] = name

    def _let_go(self, record: Record) -> None:
        halves, names = (self._decided, self._asked) if record.kind == Kind.DECISION else (self._closed, self._unasked)
        halves.pop(record.exchange_id, None)
        if names.get(record.request_id) == record.exchange_id:
            del names[record.request_id]

    def _adopt(self, decision: Record, closing: Record, now: float) -> None:
        """A closing is taken for the end of this decision, until its own comes."""
        if decision.recovered or closing.recovered:
            return
        self._adopted[decision.exchange_id] = Half(closing, now)
        if len(self._adopted) > _ADOPTED:
            self._adopted.pop(next(iter(self._adopted)))

    def _complete(self, exchange: str) -> None:
        """A half was written by who completes: should the real one come late, it needs no other."""
        self._completed[exchange] = None
        if len(self._completed) > _REMEMBERED:
            self._completed.pop(next(iter(self._completed)))


def _late(halves: Mapping[str, Half], before: float) -> list[Half]:
    # In the order in which they came, and so the oldest first.
    found = []
    for half in halves.values():
        if half.since > before:
            break
        found.append(half)
    return found


def lost(decision: Record) -> dict[str, Any]:
    """The closing of an exchange of whose end nothing was heard."""
    fields = _shared(decision) | {
        "kind": Kind.CLOSING.value,
        "event": Name.CLOSED.value,
        "level": Level.WARNING.value,
        "decision": decision.decision,
        "ending": "lost",
        "ended_by": "gateway",
        "result": "failure",
        "recovered": "closing",
        "started": decision.timestamp,
        "basis": "nothing",
    }
    if decision.decision == "allow" or decision.reservation_id:
        # Also where a verdict came after the reservation: nobody has settled it, and so its counters keep it.
        fields |= {"basis": "estimate", "requests": 1}
        reserved = decision.reserved
        if reserved is not None:
            total = reserved.input + reserved.output
            fields["tokens"] = {
                "input": reserved.input,
                "output": reserved.output,
                "total": total,
                "weighted": reserved.tokens,
            }
            if reserved.dollars is not None:
                fields["cost"] = dollars(reserved.dollars)
    return fields


def decision_of(closing: Record) -> dict[str, Any]:
    """The decision that a closing tells of, or that there was none."""
    names = {"allow": Name.ALLOWED, "respond": Name.RESPONDED, "reject": Name.REFUSED}
    fields = _shared(closing) | {
        "kind": Kind.DECISION.value,
        "event": names.get(closing.decision, Name.UNDECIDED).value,
        "level": Level.WARNING.value,
        "decision": closing.decision or UNDECIDED,
        "result": "success" if closing.decision in ("allow", "respond") else "refused",
        "recovered": "decision",
    }
    enforced = [one for one in closing.decisions if one.enforced and one.outcome == "reject"]
    if closing.decisions:
        fields["decisions"] = msgspec.to_builtins(closing.decisions)
    if enforced and closing.decision == "reject":
        last = enforced[-1]
        fields |= {"reason": last.code, "policy": last.policy, _STATUS: closing.status}
        if last.why:
            fields["why"] = last.why
    elif closing.decision == UNDECIDED and closing.details:
        fields |= {"reason": closing.details, "policy": "envoy", _STATUS: closing.status}
    return fields


def _shared(record: Record) -> dict[str, Any]:
    said = msgspec.to_builtins(record)
    return {name: said[name] for name in ("exchange_id", *_WHO) if name in said}

"""An exchange as sinks have it that tell of exchanges and not of records: its decision and its closing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from policies.audit.record import Closed, Kind, Record

UNDECIDED: Final = "none"
"""What a closing says of the decision where Envoy heard of none."""
_OF_ITSELF: Final = frozenset(
    {"event", "journal", "kind", "level", "previous", "recovered", "schema", "sequence", "timestamp", "version"}
)
"""What a record says of itself, and not of its exchange."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """`decision`: None where it is not known."""

    decision: Record | None
    closing: Record

    @property
    def id(self) -> str:
        """That of the decision, if there is one: a closing may know the exchange by another."""
        return (self.decision or self.closing).exchange_id


@dataclass(frozen=True, slots=True)
class Completed:
    """An exchange of which both halves are known. `index`: of the record in the batch that completed it; -1 where none
    did, and it is told as it is."""

    index: int
    exchange: Exchange


class Known(Protocol):
    """Halves of earlier batches."""

    def decision(self, exchange: str) -> Record | None: ...

    def asked(self, request: str) -> Record | None:
        """A decision by its request id, of which no closing is known."""

    def closing(self, exchange: str) -> Record | None: ...


def completed(batch: Sequence[Closed], known: Known) -> list[Completed]:
    """The exchanges that this batch completes, in its order. Both halves of one may be in it, either first.

    An exchange that was completed before is given again where one of its halves comes again: what is told of it twice has
    the same ids. Of one that a batch completes twice, the last counts.
    """
    found: dict[str, Completed] = {}
    decisions: dict[str, Record] = {}
    closings: dict[str, Record] = {}
    for index, closed in enumerate(batch):
        record = closed.record
        name = record.exchange_id
        if not is_half(record):
            continue
        if record.kind == Kind.DECISION:
            decisions[name] = record
            closing = closings.get(name) or known.closing(name)
            if closing is not None:
                found.pop(name, None)
                found[name] = Completed(index, Exchange(record, closing))
            continue
        closings[name] = record
        decision = decisions.get(name) or known.decision(name)
        if decision is None and record.decision == UNDECIDED and record.request_id:
            decision = _by_request(decisions.values(), record.request_id) or known.asked(record.request_id)
        if decision is not None:
            found.pop(decision.exchange_id, None)
            found[decision.exchange_id] = Completed(index, Exchange(decision, record))
    return list(found.values())


def is_half(record: Record) -> bool:
    """Whether it tells of an exchange."""
    return record.kind != Kind.EVENT and bool(record.exchange_id)


def merged(exchange: Exchange) -> Record:
    """The closing, with what the decision alone says: the parameters, the session, the trace, who refused and why."""
    decision, closing = exchange.decision, exchange.closing
    if decision is None:
        return closing
    added: dict[str, Any] = {}
    for field, default in _DEFAULTS:
        told = getattr(decision, field)
        if told != default and getattr(closing, field) == default:
            added[field] = told
    if closing.exchange_id != decision.exchange_id:
        added["exchange_id"] = decision.exchange_id
    return msgspec.structs.replace(closing, **added) if added else closing


def _by_request(decisions: Iterable[Record], request: str) -> Record | None:
    return next((one for one in decisions if one.request_id == request), None)


def _default(info: msgspec.structs.FieldInfo) -> Any:
    return info.default_factory() if info.default_factory is not msgspec.NODEFAULT else info.default


_DEFAULTS: Final = tuple(
    (info.name, _default(info)) for info in msgspec.structs.fields(Record) if info.name not in _OF_ITSELF
)

"""What the journal says that was used: by exchange, and by whoever a counter is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from extproc.tally import Tally
from policies.audit.moments import micro_dollars, parsed
from policies.audit.record import Kind, Name, Record


class Amounts(msgspec.Struct, frozen=True):
    """Requests that went up, weighted tokens, micro-dollars."""

    requests: int = 0
    tokens: int = 0
    dollars: int = 0

    def of(self, measure: str) -> int:
        """What of it a counter of this measure counts."""
        if measure == "requests":
            return self.requests
        return self.tokens if measure == "tokens" else self.dollars


class Account(msgspec.Struct, frozen=True):
    """What one exchange used.

    Attributes:
        at: when it began.
        recovered: nothing was heard of its end: charged as it was reserved.
        counted: it had a reservation, and so counters count it.
    """

    used: Amounts
    at: datetime
    recovered: bool
    counted: bool
    whose: Mapping[str, str]


_PSEUDONYM: Final = "user-"
_WHOSE: Final = ("tenant_id", "department", "user_id", "app_id", "model", "route", "session_id")


class Accounts:
    """All exchanges of a period that are closed, and what is known beside them. `saw` every record, then `whole`."""

    def __init__(self, since: datetime, until: datetime) -> None:
        self._since = since
        self._until = until
        self.closed: dict[str, Account] = {}
        self.open: set[str] = set()
        self.resets: dict[str, datetime] = {}
        self.expired: set[str] = set()
        self.lost = 0
        self.pseudonyms = False
        self._sessions: dict[str, str] = {}
        # Of decisions, by request id; of closings that know no decision, with theirs.
        self._asked: dict[str, str] = {}
        self._undecided: list[tuple[str, str]] = []

    def saw(self, record: Record) -> None:
        """A record of the journal, in any order."""
        if record.kind == Kind.EVENT:
            self._event(record)
        elif record.kind == Kind.DECISION:
            if record.session_id:
                self._sessions[record.exchange_id] = record.session_id
            if record.exchange_id not in self.closed and self._is_within(parsed(record.timestamp)):
                self.open.add(record.exchange_id)
                self._asked[record.request_id] = record.exchange_id
        else:
            self._closing(record)

    def _event(self, record: Record) -> None:
        if record.event == Name.LIMIT_CHANGED and record.action == "reset":
            self.resets[record.subject] = max(parsed(record.timestamp), self.resets.get(record.subject, _LONG_AGO))
        elif record.event == Name.LEASE_EXPIRED:
            self.expired.add(record.reservation_id.partition(".")[0])
        elif record.event == Name.JOURNAL_GAP:
            self.lost += record.lost

    def _closing(self, record: Record) -> None:
        name = record.exchange_id
        at = parsed(record.started or record.timestamp)
        if not self._is_within(at):
            self.open.discard(name)
            return
        self.pseudonyms = self.pseudonyms or record.user_id.startswith(_PSEUDONYM)
        known = self.closed.get(name)
        if known is not None and not known.recovered:
            # The first that knows what happened counts.
            return
        tokens = record.tokens.weighted if record.tokens is not None else 0
        used = Amounts(record.requests, tokens, micro_dollars(record.cost) if record.cost else 0)
        whose = {field: value for field in _WHOSE if (value := getattr(record, field))}
        self.closed[name] = Account(used, at, bool(record.recovered), bool(record.reservation_id), whose)
        self.open.discard(name)
        if record.decision == "none" and record.request_id:
            self._undecided.append((name, record.request_id))

    def whole(self) -> Accounts:
        """All records were seen. Where a verdict did not arrive, Envoy's closing belongs to that request's decision."""
        for name, request in self._undecided:
            decided = self._asked.get(request)
            if decided is not None and decided in self.open and name in self.closed:
                self.closed[decided] = self.closed.pop(name)
                self.open.discard(decided)
        return self

    def _is_within(self, at: datetime) -> bool:
        return self._since <= at < self._until

    def session(self, exchange: str) -> str:
        """Which session named it: only decisions know."""
        return self._sessions.get(exchange, "")


class Expected(msgspec.Struct, frozen=True):
    """What a counter should hold for exchanges that are settled, and whether all of its window was looked at."""

    tally: Tally
    amount: int


def expected(accounts: Accounts, tallies: Iterable[Tally]) -> Iterator[Expected]:
    """What every counter should hold."""
    known = list(tallies)
    sums: dict[tuple[tuple[str, ...], datetime, datetime], dict[tuple[str, ...], Amounts]] = {}
    for one in known:
        sums.setdefault((tuple(sorted(one.subject)), one.start, one.end), {})
    for name, account in accounts.closed.items():
        if not account.counted:
            continue
        whose = {**account.whose, "session_id": accounts.session(name)}
        for (fields, start, end), found in sums.items():
            if start <= account.at < end and all(whose.get(field) for field in fields):
                at = tuple(whose[field] for field in fields)
                found[at] = _plus(found.get(at, Amounts()), account.used)
    for one in known:
        fields = tuple(sorted(one.subject))
        total = sums[fields, one.start, one.end].get(tuple(one.subject[field] for field in fields), Amounts())
        yield Expected(one, total.of(one.measure))


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return Amounts(one.requests + other.requests, one.tokens + other.tokens, one.dollars + other.dollars)


_LONG_AGO: Final = datetime.fromisoformat("0001-01-01T00:00:00+00:00")

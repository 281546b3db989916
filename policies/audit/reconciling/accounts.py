"""What the journal says that was used: by exchange, and by whoever a counter is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from extproc.tally import Tally
from policies.audit.moments import micro_dollars, parsed
from policies.audit.record import Kind, Name, Record
from policies.audit.redaction.kinds import LABEL

_UNDECIDED: Final = "none"
_WHOSE: Final = ("tenant_id", "department", "user_id", "app_id", "model", "route", "session_id")
_PSEUDONYM: Final = re.compile("user-[0-9a-f]{4}-[0-9a-f]{24}")
APART: Final = timedelta(seconds=1)
"""By how much clocks may be apart: Envoy's, the counters' and that of the process that decided."""


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

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.requests + other.requests, self.tokens + other.tokens, self.dollars + other.dollars)


class Account(msgspec.Struct, frozen=True):
    """What one exchange used.

    Attributes:
        began: when its first byte came.
        at: when it was decided, which is just after it was counted; when it began, where no decision tells.
        ended: when its end was written down.
        recovered: nothing was heard of its end: charged as it was reserved.
        counted: it had a reservation, and so counters count it.
        whose: by the members of a record.
    """

    used: Amounts
    began: datetime
    at: datetime
    ended: datetime
    recovered: bool
    counted: bool
    whose: Mapping[str, str]


class Lease(msgspec.Struct, frozen=True):
    """A reservation that was charged as it was made, for nobody settled it.

    Attributes:
        at: when that was written down: it was made before.
        everyone: it is charged on the counters of all tenants together, and on no other.
        whose: as of an `Account`; what of it any of its counters is about.
    """

    used: Amounts
    at: datetime
    everyone: bool
    reservation: str
    whose: Mapping[str, str]


class _Decided(msgspec.Struct, frozen=True, order=True):
    """A decision: the smallest of an exchange counts."""

    recovered: bool
    timestamp: str
    request: str
    session: str


class _Ended(msgspec.Struct, frozen=True, order=True):
    """A closing: the smallest of an exchange counts. The first that knows what happened."""

    recovered: bool
    timestamp: str
    journal: str
    sequence: int
    undecided: bool
    request: str
    started: str
    used: tuple[int, int, int]
    reservation: str
    whose: tuple[str, ...]


class Accounts:
    """The exchanges of a period, and what is known beside them. `saw` every record, in any order, then `whole`.

    Attributes:
        closed: those that were decided in the period and are over.
        open: those that are not.
        replaced: members of which some values are not on record, but labels or pseudonyms in their place.
    """

    def __init__(self, since: datetime, until: datetime) -> None:
        self._since = since
        self._until = until
        self.closed: dict[str, Account] = {}
        self.open: set[str] = set()
        self._gaps: list[tuple[datetime, int]] = []
        self.replaced: set[str] = set()
        self._all: dict[str, Account] = {}
        self._resets: dict[str, datetime] = {}
        self._leases: dict[str, Lease] = {}
        self._decided: dict[str, _Decided] = {}
        self._ended: dict[str, _Ended] = {}
        # Who calls is the same for many exchanges.
        self._whose: dict[tuple[str, ...], tuple[str, ...]] = {}

    def saw(self, record: Record) -> None:
        """A record of the journal."""
        name = record.exchange_id
        if record.kind == Kind.EVENT:
            self._event(record)
        elif record.kind == Kind.CLOSING:
            ended = self._read(record)
            self._ended[name] = min(ended, self._ended.get(name, ended))
        elif record.decision != _UNDECIDED:
            decided = _Decided(bool(record.recovered), record.timestamp, record.request_id, record.session_id)
            self._decided[name] = min(decided, self._decided.get(name, decided))

    def _event(self, record: Record) -> None:
        if record.event == Name.LIMIT_CHANGED and record.action == "reset":
            subject, _, kinds = record.subject.rpartition(" ")
            at = parsed(record.timestamp)
            for kind in kinds.split(","):
                name = _counter(subject, kind)
                self._resets[name] = max(at, self._resets.get(name, at))
        elif record.event == Name.LEASE_EXPIRED:
            # It may be told more than once.
            self._leases[record.of] = _lease(record)
        elif record.event == Name.JOURNAL_GAP:
            self._gaps.append((parsed(record.timestamp), record.lost))

    def _read(self, record: Record) -> _Ended:
        tokens = record.tokens.weighted if record.tokens is not None else 0
        whose = tuple(getattr(record, field) for field in _WHOSE)
        return _Ended(
            *(bool(record.recovered), record.timestamp, record.journal, record.sequence),
            *(record.decision == _UNDECIDED, record.request_id, record.started or record.timestamp),
            used=(record.requests, tokens, micro_dollars(record.cost) if record.cost else 0),
            reservation=record.reservation_id,
            whose=self._whose.setdefault(whose, whose),
        )

    def whole(self) -> Accounts:
        """All records were seen. Where a verdict did not arrive, Envoy's closing belongs to that request's decision."""
        asked = self._asked()
        for ended, name in sorted((ended, name) for name, ended in self._ended.items() if ended.undecided):
            if name not in self._decided and (decided := asked.pop(ended.request, None)) is not None:
                self._ended[decided] = self._ended.pop(name)
        for name, ended in self._ended.items():
            self._all[name] = account = self._account(ended, self._decided.get(name))
            if self._is_within(account.at):
                self.closed[name] = account
        waiting = self._decided.keys() - self._ended.keys()
        self.open = {name for name in waiting if self._is_within(parsed(self._decided[name].timestamp))}
        for whose in self._whose:
            self.replaced |= {field for field, value in zip(_WHOSE, whose, strict=True) if _is_replaced(field, value)}
        self.replaced |= {"session_id" for one in self._decided.values() if _is_replaced("session_id", one.session)}
        return self

    def _asked(self) -> dict[str, str]:
        """Exchanges that were decided and are not over, by request."""
        waiting = sorted((self._decided[name], name) for name in self._decided.keys() - self._ended.keys())
        return {decided.request: name for decided, name in waiting if decided.request}

    @staticmethod
    def _account(ended: _Ended, decided: _Decided | None) -> Account:
        began = parsed(ended.started)
        # What was written in place of a decision says nothing of when it was made.
        at = parsed(decided.timestamp) if decided is not None and not decided.recovered else began
        whose = {field: value for field, value in zip(_WHOSE, ended.whose, strict=True) if value}
        if decided is not None and decided.session:
            # Only decisions know.
            whose["session_id"] = decided.session
        used = Amounts(*ended.used)
        return Account(used, began, at, parsed(ended.timestamp), ended.recovered, bool(ended.reservation), whose)

    def _is_within(self, at: datetime) -> bool:
        return self._since <= at < self._until

    def knows(self, exchange: str) -> bool:
        """Whether anything is on record of it, also outside of the period."""
        return exchange in self._decided or exchange in self._all

    def lost(self, tally: Tally) -> int:
        """How many records were dropped since the window of a counter began."""
        return sum(count for at, count in self._gaps if at + APART >= tally.start)

    def was_reset(self, tally: Tally) -> bool:
        """Whether it is on record that somebody has set a counter back in its window."""
        subject, _, kind = tally.name.rpartition(" ")
        tenant = subject.partition("/")[0]
        found = [self._resets.get(name) for name in (f"{subject} {kind}", f"{tenant}/{_SOMEBODY} {kind}")]
        return any(at is not None and at >= tally.start for at in found)

    def counted(self) -> Iterator[Account]:
        """What counters count, also outside of the period."""
        return (account for account in self._all.values() if account.counted)

    def leases(self) -> Iterator[Lease]:
        """What was charged as it was reserved, and is in no account: of its exchange no end is on record."""
        ended = {one.reservation for one in self._ended.values()}
        return (lease for lease in self._leases.values() if lease.reservation not in ended)


_SOMEBODY: Final = "*"
_EVERYONE: Final = "*"
"""What stands for a tenant in what is said of all together."""


def _lease(record: Record) -> Lease:
    reserved = record.reserved
    tokens, micro = (0, 0) if reserved is None else (reserved.tokens, reserved.dollars or 0)
    everyone = record.tenant_id == _EVERYONE
    whose = {} if everyone else {field: value for field in _WHOSE if (value := getattr(record, field))}
    used = Amounts(record.requests, tokens, micro)
    return Lease(used, parsed(record.timestamp), everyone, record.reservation_id, whose)


def _counter(subject: str, kind: str) -> str:
    """The name of a counter; where part of it was redacted, that of all of this kind of the tenant."""
    if LABEL.search(subject):
        return f"{subject.partition('/')[0]}/{_SOMEBODY} {kind}"
    return f"{subject} {kind}"


def _is_replaced(field: str, value: str) -> bool:
    return bool(_PSEUDONYM.fullmatch(value) if field == "user_id" else LABEL.search(value))


class Expected(msgspec.Struct, frozen=True):
    """What a counter should hold for exchanges that are settled.

    Attributes:
        least, most: the same without, and with, all exchanges of which it is not known in which window they were counted.
        seen: whether there is any exchange on record of its subject.
        leases, leased: how many reservations may be charged in it beside these, and what they come to.
    """

    tally: Tally
    amount: int
    least: int
    most: int
    seen: bool
    leases: int = 0
    leased: int = 0


class _Sum(msgspec.Struct):
    amount: Amounts = Amounts()
    least: Amounts = Amounts()
    most: Amounts = Amounts()
    seen: bool = False
    leases: int = 0
    leased: Amounts = Amounts()


def expected(accounts: Accounts, tallies: Iterable[Tally]) -> Iterator[Expected]:
    """What every counter should hold."""
    known = list(tallies)
    sums: dict[tuple[tuple[str, ...], datetime, datetime], dict[tuple[str, ...], _Sum]] = {}
    for one in known:
        sums.setdefault((tuple(sorted(one.subject)), one.start, one.end), {})
    for account in accounts.counted():
        for (fields, start, end), found in sums.items():
            values = tuple(account.whose.get(field, "") for field in fields)
            may, surely = _lies(account, start, end)
            if may and all(values):
                _add(found.setdefault(values, _Sum()), account, is_in=start <= account.at < end, surely=surely)
    for lease in accounts.leases():
        for (fields, start, _), found in sums.items():
            values = tuple(lease.whose.get(field, "") for field in fields)
            if all(values) and lease.everyone == (not fields) and lease.at + APART >= start:
                held = found.setdefault(values, _Sum())
                held.leases, held.leased = held.leases + 1, held.leased + lease.used
    for one in known:
        fields = tuple(sorted(one.subject))
        held = sums[fields, one.start, one.end].get(tuple(one.subject[field] for field in fields), _Sum())
        amount, least, most, leased = (each.of(one.measure) for each in (held.amount, held.least, held.most, held.leased))
        yield Expected(one, amount, least, most, held.seen, held.leases, leased)


def _lies(account: Account, start: datetime, end: datetime) -> tuple[bool, bool]:
    """Whether an exchange may have been counted in a window, and whether it certainly was. It was counted after it began,
    and before its decision was written down."""
    first, last = account.began - APART, account.at + APART
    return first < end and last >= start, start <= first and last < end


def _add(held: _Sum, account: Account, *, is_in: bool, surely: bool) -> None:
    held.seen = True
    held.most += account.used
    if is_in:
        held.amount += account.used
    if surely:
        held.least += account.used

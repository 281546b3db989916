"""From counters and limits to the rows that the commands show. Pure: amounts are in the unit in which they are counted.

Times are milliseconds since the epoch, by the clock of Redis.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from policies.limits.limit import Kind, Limit, Measure, OutputReserve, Window
from policies.limits.plan import Caller, matches
from policies.limits.settings import LimitEntry
from policies.limits.store import Zone
from policies.limits.subjects import EVERYONE, Level, Subject, parse
from policies.limits.tokens.learned import Learned
from policies.limits.windows import MINUTE, Counter, window_at

_NO_CEILING: Final = 2**53
UNITS: Final[Mapping[Measure, str]] = {
    Measure.REQUESTS: "requests",
    Measure.TOKENS: "tokens",
    Measure.DOLLARS: "micro-dollars",
    Measure.PARALLEL: "parallel requests",
}


class Charge(msgspec.Struct, frozen=True):
    """What a reservation that is not settled has put on a counter, in the window of this number."""

    key: str
    counter: str
    window: int
    reserved: int
    generation: int


class Line(msgspec.Struct, frozen=True):
    """How one limit of a subject stands.

    Attributes:
        limit: None where no limit on this counter is known.
        used: what counts now, with what is `reserved` and not settled.
        left: never less than nothing.
        share: of the limit; None without a limit, or with one of 0.
        resets_in: milliseconds until all of it is there again, if nobody comes; None where nothing resets.
        source: where the limit comes from.
    """

    subject: str
    kind: str
    unit: str
    limit: int | None
    used: int
    left: int | None
    share: float | None
    reserved: int
    resets_in: int | None
    source: str
    shadow: bool = False


def line(
    subject: Subject,
    kind: Kind,
    limit: Limit | None,
    counter: Counter | None,
    charges: Iterable[Charge],
    *,
    now: int,
    zone: Zone,
    source: str,
) -> Line:
    """How a limit stands, or a counter without one."""
    standing, reset = present(kind, limit, counter, now, zone)
    used = standing.used(kind.window, reset)
    still = {standing.window, standing.window - 1} if kind.window is Window.MINUTE else {standing.window}
    key = subject.key()
    reserved = sum(
        charge.reserved
        for charge in charges
        if (charge.key, charge.counter, charge.generation) == (key, kind.counter, standing.generation)
        and charge.window in still
    )
    rule = limit.rule if limit is not None else None
    amount = rule.amount if rule is not None else None
    return Line(
        str(subject),
        kind.name,
        UNITS[kind.measure],
        amount,
        used,
        max(0, amount - used) if amount is not None else None,
        round(used / amount, 6) if amount else None,
        reserved,
        _until_all(kind, standing, reset),
        source,
        rule.shadow if rule is not None else False,
    )


def present(kind: Kind, limit: Limit | None, counter: Counter | None, now: int, zone: Zone) -> tuple[Counter, int]:
    """The counter in the window of now, and the milliseconds until that ends."""
    number, reset = window_at(kind.window, now, zone)
    if counter is None:
        return Counter(number), reset
    standing = msgspec.structs.replace(counter)
    carries = limit is not None and limit.rule.reserve is OutputReserve.EXPECTED and kind.window is not Window.MINUTE
    # Each window that is over has paid for as much as the limit is, also one in which nobody came.
    paid = limit.rule.amount * (number - standing.window) if limit is not None and carries else None
    standing.roll(number, debt_above=paid)
    return standing, reset


def _until_all(kind: Kind, standing: Counter, reset: int) -> int | None:
    if kind.window is Window.NONE:
        return None
    if kind.window is not Window.MINUTE:
        return reset
    if standing.current + standing.carried > 0:
        return reset + MINUTE
    return reset if standing.before > 0 else 0


# Where a limit comes from


def unanswered(
    entries: Sequence[LimitEntry], levels: tuple[Level, ...], caller: Caller
) -> Iterator[tuple[int, LimitEntry, tuple[str, ...]]]:
    """Entries for subjects of these levels that may bear on the caller, depending on what is not known of it.

    Gives the entry's index, the entry, and the names in its `match` that would decide.
    """
    for index, entry in enumerate(entries):
        own = tuple(level for level in entry.subject if level not in (Level.TENANT, Level.EVERYONE))
        if own != levels or (Level.EVERYONE in entry.subject) != (not caller.tenant):
            continue
        asked = tuple(name for name, value in entry.match if value is not None and not _known(name, caller))
        if asked and matches(entry.match.model_copy(update=dict.fromkeys(asked)), caller):
            yield index, entry, asked


def _known(name: str, caller: Caller) -> bool:
    if name == "role":
        return bool(caller.roles)
    return bool(getattr(caller, name))


# The largest of many


class Largest:
    """The `most` subjects that have used most of a kind, of however many are offered."""

    def __init__(self, kind: Kind, most: int, *, now: int, zone: Zone) -> None:
        self._kind = kind
        self._most = most
        self._now = now
        self._zone = zone
        self._kept: list[tuple[int, str, Counter]] = []
        self._names: set[str] = set()

    def offer(self, key: str, written: bytes | None) -> None:
        """A subject's key and its counter as it is written. A scan may offer one twice."""
        counter = Counter.read(written)
        if counter is None or key in self._names:
            return
        standing, reset = present(self._kind, None, counter, self._now, self._zone)
        used = standing.used(self._kind.window, reset)
        if used == 0:
            return
        self._names.add(key)
        heapq.heappush(self._kept, (used, key, counter))
        if len(self._kept) > self._most:
            self._names.discard(heapq.heappop(self._kept)[1])

    def found(self) -> list[tuple[str, Counter]]:
        """Keys and counters, the largest first."""
        return [(key, counter) for _, key, counter in sorted(self._kept, key=lambda one: (-one[0], one[1]))]


def subject_of(key: str) -> Subject:
    """The subject whose counters this key holds. A value that stands there as a hash stays one."""
    tenant, _, name = key.removeprefix("sg:{").partition("}:s:")
    owner = EVERYONE if tenant == EVERYONE else parse(tenant).tenant
    if "=" not in name:
        return Subject(owner)
    return Subject(owner, parse(f"t/{name}").parts)


# What was learned of models


class Model(msgspec.Struct, frozen=True):
    """What was learned of a model from what its calls have really used.

    Attributes:
        samples: calls, old ones counting less.
        ratio: tokens of input used for each one estimated; None where nothing is known.
        factor: by what an estimate that is no exact count is multiplied now.
        mean_output: tokens.
        usual_output: tokens that most answers stay below: what `output_reserve: expected` reserves; None where too little
            is known.
    """

    model: str
    samples: int
    ratio: float | None
    factor: float
    mean_output: int
    usual_output: int | None


def models(learned: Mapping[str, Learned]) -> list[Model]:
    """What was learned, the most used model first."""
    found = []
    for name, sums in learned.items():
        usual = sums.usual_output(_NO_CEILING)
        found.append(
            Model(
                name,
                sums.samples,
                round(sums.ratio, 3) if sums.ratio is not None else None,
                round(sums.factor(), 3),
                round(sums.output / sums.samples) if sums.samples else 0,
                usual if usual < _NO_CEILING else None,
            )
        )
    return sorted(found, key=lambda one: (-one.samples, one.model))

"""Whether all that happened is on record, once, everywhere: journals, ledger, sinks and counters side by side."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from loadtests.chaos.traffic import Answer
from policies.audit.journal import JournalReader, Position, journals
from policies.audit.journal.verify import verify
from policies.audit.record import Closed, Kind, Name
from tests.audited import Audited

Id = tuple[str, int]
"""A record: its journal, and the how manieth it is."""
_BATCH: Final = 10_000
_SYSLOG: Final = re.compile(rb'\[sluicegate@32473 journal="([^"]+)" sequence="(\d+)"')
_DEAF: Final = 2.0
"""Seconds before and after a death of Envoy or the worker that settles in which what Envoy said may have been lost."""
_SHOWN: Final = 5


@dataclass(slots=True)
class Exchange:
    """What is on record of one."""

    decisions: list[Closed] = field(default_factory=list)
    closings: list[Closed] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return len(self.decisions) == 1 and len(self.closings) == 1

    @property
    def records(self) -> list[Closed]:
        return [*self.decisions, *self.closings]


@dataclass(slots=True)
class Journals:
    """All that stands in the journals, as far as it was read. `expired`: exchanges whose lease ended, and request ids."""

    folder: Path
    ids: set[Id] = field(default_factory=set)
    events: set[Id] = field(default_factory=set)
    names: Counter[str] = field(default_factory=Counter)
    expired: dict[str, str] = field(default_factory=dict)
    _found: dict[str, Exchange] = field(default_factory=lambda: defaultdict(Exchange))
    _positions: dict[str, Position] = field(default_factory=dict)

    def read(self) -> None:
        """Read what is new."""
        for path in journals(self.folder):
            reader = JournalReader(path)
            while True:
                records, after = reader.read(self._positions.get(path.name, Position()), _BATCH)
                self._positions[path.name] = after
                if not records:
                    break
                for closed in records:
                    self._saw(closed)
            reader.close()

    def _saw(self, closed: Closed) -> None:
        record = closed.record
        at = record.journal, record.sequence
        self.ids.add(at)
        self.names[record.event] += 1
        if record.kind == Kind.EVENT:
            self.events.add(at)
            if record.event == Name.LEASE_EXPIRED:
                self.expired[record.reservation_id.partition(".")[0]] = record.request_id
        elif record.kind == Kind.DECISION:
            self._found[record.exchange_id].decisions.append(closed)
        else:
            self._found[record.exchange_id].closings.append(closed)

    def exchanges(self) -> dict[str, Exchange]:
        """By their ids. Where a verdict did not arrive, Envoy's closing has an id of its own, and belongs to the decision
        with the same request id."""
        found = dict(self._found)
        waiting = {
            one.decisions[0].record.request_id: name for name, one in found.items() if one.decisions and not one.closings
        }
        for name, one in list(found.items()):
            if one.decisions or len(one.closings) != 1 or one.closings[0].record.decision != "none":
                continue
            decided = waiting.pop(one.closings[0].record.request_id, None)
            if decided is not None:
                found[decided] = Exchange(found[decided].decisions, one.closings)
                del found[name]
        return found


@dataclass(slots=True)
class Findings:
    """What was looked at, and what is wrong."""

    figures: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def check(self, what: str, wrong: Iterable[str]) -> None:
        """`wrong`: whatever contradicts it."""
        self.wrong[what] = list(wrong)

    @property
    def good(self) -> bool:
        return not any(self.wrong.values())

    def lines(self) -> Iterator[str]:
        """As a table."""
        for name, count in self.figures.items():
            yield f"| {name} | {count:,} |"
        for what, wrong in self.wrong.items():
            yield f"| {what} | {'yes' if not wrong else f'NO: {len(wrong):,}'} |"
            yield from (f"|     {one} | |" for one in wrong[:_SHOWN])


async def settle_down(gateway: Audited, seconds: float) -> Journals:
    """Wait until nothing is open: exchanges are whole, nothing is reserved, no sink is behind. At most so long."""
    found = Journals(gateway.journals)
    deadline = time.monotonic() + seconds
    while True:
        await asyncio.to_thread(found.read)
        calm = all(one.whole for one in found.exchanges().values()) and not gateway.reserved()
        if (calm and not await asyncio.to_thread(_missing, gateway, found)) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


def audit(
    gateway: Audited, found: Journals, answers: Collection[Answer], arrived: Collection[str], lost: int
) -> Findings:
    """Look at everything. `arrived`: request ids of what has reached the upstream; `lost`: how many of these are not
    known."""
    told = Findings()
    exchanges = found.exchanges()
    told.figures |= {
        "requests that were answered": len(answers),
        "requests that reached the upstream": len(arrived) + lost,
        "records": len(found.ids),
        "exchanges": len(exchanges),
        **{f"halves recovered: {name}": count for name, count in sorted(_recovered(exchanges).items())},
        **{name: found.names[name] for name in (Name.LEASE_EXPIRED.value, Name.JOURNAL_GAP.value) if found.names[name]},
    }
    told.check("the journals verify", (str(one) for one in verify(gateway.journals, public_key=None).findings))
    told.check("each exchange has one decision and one closing", _halves(exchanges))
    told.check("what was answered is on record", _unrecorded(exchanges, answers, gateway.deafened))
    told.check("what reached the upstream is on record, as one request", _not_counted(exchanges, arrived))
    told.check("the ledger has one row for each", _rows(gateway, exchanges))
    told.check("every sink has every record", _missing(gateway, found))
    told.check("what was charged at the end of its lease is on record as used", _charged(exchanges, found.expired))
    told.check("nothing is reserved any more", [f"{count} reservations"] if (count := gateway.reserved()) else [])
    return told


async def reconcile(gateway: Audited) -> list[str]:
    """What `sluicegate ledger reconcile` finds, explained or not."""
    command = [sys.executable, "-m", "extproc.cli", "ledger", "reconcile", str(gateway.config), "--json"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    if not output:
        return [errors.decode()[-500:]]
    told: dict[str, Any] = orjson.loads(output)
    wrong = [orjson.dumps(one).decode() for one in told["differences"]]
    if told["open"]:
        wrong.append(f"{told['open']} exchanges are open")
    return wrong


def _recovered(exchanges: dict[str, Exchange]) -> Counter[str]:
    return Counter(
        closed.record.recovered for one in exchanges.values() for closed in one.records if closed.record.recovered
    )


def _halves(exchanges: dict[str, Exchange]) -> Iterator[str]:
    for name, one in exchanges.items():
        if not one.whole:
            yield f"{name}: " + ", ".join(_short(closed) for closed in one.records)


def _short(closed: Closed) -> str:
    record = closed.record
    return (
        f"{record.journal}/{record.sequence} {record.timestamp[11:23]} {record.event} {record.decision} {record.ending}"
        f" {record.recovered} {record.request_id}"
    )


def _unrecorded(
    exchanges: dict[str, Exchange], answers: Iterable[Answer], deafened: Collection[tuple[float, float]]
) -> Iterator[str]:
    """What Envoy refused by itself is told of by nothing but its access log: that may be lost with who writes or reads
    it."""
    known = {closed.record.request_id for one in exchanges.values() for closed in one.records}
    for one in answers:
        if one.request_id in known:
            continue
        by_envoy = one.unavailable or not one.request_id or one.status in (400, 404)
        if by_envoy and any(first - _DEAF < one.when < last + _DEAF for first, last in deafened):
            continue
        yield f"{one.kind}: {one.status} {one.request_id}"


def _not_counted(exchanges: dict[str, Exchange], arrived: Collection[str]) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for one in exchanges.values():
        for closed in one.closings:
            counted[closed.record.request_id] += closed.record.requests
    for name in arrived:
        if counted[name] != 1:
            yield f"{name}: {counted[name]} requests"


def _charged(exchanges: dict[str, Exchange], expired: dict[str, str]) -> Iterator[str]:
    named: dict[str, list[str]] = defaultdict(list)
    for other, one in exchanges.items():
        for closed in one.records:
            named[closed.record.request_id].append(f"{other}: {_short(closed)}")
    for name, request_id in expired.items():
        one = exchanges.get(name, Exchange())
        if not any(closed.record.requests for closed in one.closings):
            yield f"{name} {request_id}: {named[request_id]}"


def _rows(gateway: Audited, exchanges: dict[str, Exchange]) -> Iterator[str]:
    with gateway.postgres.connect("ledger") as connection:
        rows = connection.execute(
            "SELECT exchange_id, closed, decision_sequence IS NOT NULL, part_of FROM usage"
        ).fetchall()
    own = {str(row[0]): row for row in rows if row[3] is None}
    for name in exchanges.keys() - own.keys():
        yield f"{name}: no row"
    for name in own.keys() - exchanges.keys():
        yield f"{name}: a row too many"
    for name, row in own.items():
        if name in exchanges and not (row[1] and row[2]):
            yield f"{name}: half a row"


def _missing(gateway: Audited, found: Journals) -> list[str]:
    """Records that a sink has not got."""
    with gateway.postgres.connect("ledger") as connection:
        events = {(str(one), int(str(two))) for one, two in connection.execute("SELECT journal, sequence FROM events")}
        halves = {
            (str(one), int(str(two)))
            for name in ("decision", "closing")
            for one, two in connection.execute(
                f"SELECT {name}_journal, {name}_sequence FROM usage WHERE {name}_sequence IS NOT NULL".encode()  # noqa: S608
            )
        }
    file: set[Id] = set()
    for path in gateway.records.parent.iterdir():
        for line in path.read_bytes().splitlines():
            record = orjson.loads(line)
            file.add((record["journal"], record["sequence"]))
    syslog = {(one.decode(), int(two)) for one, two in _SYSLOG.findall(gateway.collector.output.read_bytes())}
    wrong = []
    for name, has in (("file", file), ("syslog", syslog), ("ledger", events | halves)):
        if missing := found.ids - has:
            wrong.append(f"{name}: {len(missing)}, as {sorted(missing)[:3]}")
    return wrong

"""Whatever is written, lost, late or killed: in the end every exchange has a decision and a closing, and one of each."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from policies.audit.finishing.halves import Halves, State
from policies.audit.record import Closed, Record
from tests.policies.audit.finishing.test_halves import undelivered, written
from tests.policies.audit.world import closing, decision

LONGEST, GRACE = 600.0, 30.0
WORKERS = ("a.0", "z.0")
OWN = "m-finisher.0"
FATES = ("whole", "undelivered", "no decision", "no closing", "never asked")
ORDERS = st.permutations([*WORKERS, OWN])
SECONDS = st.sampled_from([0.0, 1.0, GRACE - 1, GRACE, LONGEST - GRACE, LONGEST, LONGEST])
Half = tuple[int, Closed]


class Finishing(RuleBasedStateMachine):
    """Workers write halves into their journals. One process reads them all, writes what is missing, and may be killed.

    `journals` holds what was written, with the moment. An exchange is known by its number, by which both halves of one
    are found whose verdict did not arrive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.journals: dict[str, list[tuple[float, Half]]] = {name: [] for name in (*WORKERS, OWN)}
        self.pending: list[Half] = []
        self.count = 0
        self.halves = Halves(LONGEST, GRACE)
        self.positions = dict.fromkeys(self.journals, 0)
        self.saved: tuple[bytes, dict[str, int]] = (b"", {})

    # What happens at the gateway

    @rule(fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=2))
    def exchanges(self, fates: list[str]) -> None:
        for fate in fates:
            self.count += 1
            number = self.count
            decided = fate in ("whole", "undelivered", "no closing")
            if decided:
                self.pending.append((number, decision(number)))
            if fate in ("undelivered", "never asked"):
                self.pending.append((number, undelivered(number)))
            elif fate != "no closing":
                self.pending.append((number, closing(number)))

    @rule(data=st.data(), count=st.integers(1, 2))
    def write(self, data: st.DataObject, count: int) -> None:
        """In any order, soon or late, by any worker."""
        for _ in range(min(count, len(self.pending))):
            half = self.pending.pop(data.draw(st.integers(0, len(self.pending) - 1)))
            self.journals[data.draw(st.sampled_from(WORKERS))].append((self.now, half))

    # What the process does that completes

    @rule(seconds=SECONDS, order=ORDERS, save=st.booleans(), killed_after=st.sampled_from([None, None, None, 0, 1, 2]))
    def look(self, seconds: float, order: list[str], save: bool, killed_after: int | None) -> None:
        self.now += seconds
        for name in order:
            for _, (_, record) in self.journals[name][self.positions[name] :]:
                self.halves.saw(record, self.now)
            self.positions[name] = len(self.journals[name])
        missing = list(self.halves.due(self.now))
        for members in missing[:killed_after]:
            self.append(members)
        if killed_after is not None:
            self.restart()
        elif save:
            self.saved = msgspec.json.encode(self.halves.state()), dict(self.positions)

    @rule()
    def restart(self) -> None:
        """It was killed: what it had not remembered is read again."""
        state, positions = self.saved
        self.halves = Halves(LONGEST, GRACE, msgspec.json.decode(state, type=State) if state else None, self.now)
        self.positions = {name: positions.get(name, 0) for name in self.journals}

    def append(self, members: dict[str, Any]) -> None:
        name, kind = members["exchange_id"], members["kind"]
        number = int(name.partition("-")[2])
        halves = self.of(number)
        # Where a verdict did not arrive, the closing may come when one has been written under the gateway's name.
        renamed = any(half.recovered and half.exchange_id != name for _, half in halves)
        assert renamed or all(half.kind != kind for _, half in halves), "nothing was missing"
        assert kind not in [half.kind for _, half in halves if half.recovered], "it was written twice"
        [since] = [at for at, half in halves if half.exchange_id == name and not half.recovered]
        assert self.now - since >= (LONGEST if kind == "closing" else GRACE), "it was given up too early"
        self.journals[OWN].append((self.now, (number, written(members))))

    def of(self, number: int) -> list[tuple[float, Record]]:
        """Both halves of an exchange, and when they were written."""
        entries = [entry for journal in self.journals.values() for entry in journal]
        return [(at, half.record) for at, (whose, half) in entries if whose == number]

    @invariant()
    def waits_for_no_more_than_there_is(self) -> None:
        assert self.halves.count <= sum(map(len, self.journals.values()))

    def teardown(self) -> None:
        for half in self.pending:
            self.journals[WORKERS[0]].append((self.now, half))
        for _ in range(3):
            self.look(LONGEST, [*WORKERS, OWN], True, None)
        assert self.halves.count == 0
        for number in range(1, self.count + 1):
            halves = [half for _, half in self.of(number)]
            for kind in ("decision", "closing"):
                real = [half for half in halves if half.kind == kind and not half.recovered]
                made = [half for half in halves if half.kind == kind and half.recovered]
                assert real or made, f"{kind} of {number} is missing"
                assert len(real) <= 1
                assert len(made) <= 1
        assert list(self.halves.due(self.now + 10 * LONGEST)) == []


TestFinishing = Finishing.TestCase
TestFinishing.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)

"""Random operations on every store, and on the model: answers, standings and all counters are the same after each step.

The environment may ask for more: `STORE_EXAMPLES` (runs on each store), `STORE_STEPS` (operations in a run), and, for the
same runs once more, `STORE_SEED`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policies.limits.limit import KINDS, Kind, Measure, Window
from policies.limits.store import Ask, Demand, Used, Zone
from policies.limits.subjects import Level, Subject
from policies.limits.windows import Counter
from tests.policies.limits.limits_model import LimitsModel, ModelCounter
from tests.policies.limits.rigs import SERVERS, MemoryRig, Rig, redis_rig, serving

T = TypeVar("T")

EXAMPLES: Final = int(os.environ.get("STORE_EXAMPLES", "60"))
STEPS: Final = int(os.environ.get("STORE_STEPS", "40"))
TENANTS: Final = range(3)
PARTS: Final = ((), ((Level.USER, "a"),), ((Level.APP, "b"),), ((Level.USER, "a"), (Level.MODEL, "m")))
ASKED: Final = (
    ("requests_per_minute", False),
    ("tokens_per_minute", True),
    ("requests_per_day", False),
    ("tokens_per_day", True),
    ("tokens_per_month", False),
    ("dollars_per_day", False),
    ("dollars_per_month", True),
    ("parallel_requests", False),
)
"""Kinds of limit, and whether what is usual is reserved under it, and an overrun carried."""
BIRTH: Final = 1_427_590_800_000
"""2015-03-29T01:00:00Z: clocks go forward in Berlin, and in three days a month ends. Long ago: time will pass."""
ZONES: Final = (Zone(), Zone(3_600, BIRTH // 1000, 7_200), Zone(-14_400, BIRTH // 1000 + 3_600, -18_000))
JUMPS: Final = (
    *(0, 0, 0, 60_000, 86_400_000, 31 * 86_400_000, 1, 999, 7_000, 20_000, 61_000, 120_000, 3_600_000, 2 * 86_400_000),
    *(-1, -60_000, -86_400_000, -40 * 86_400_000),
)
AMOUNTS: Final = (150, 400, 40, 3, 10**15, 1, 0)
SELDOM: Final = st.integers(0, 9).map(lambda one: one == 9)
STATES: Final = ("open", "open", "open", "open", "due", "expired", "settled", "unknown")
DUE: Final = ("due", "due", "due", "open", "expired", "settled", "unknown")
USED: Final = st.builds(
    Used, st.sampled_from((1, 0, 2)), st.sampled_from((40, 0, 500, 6_000)), st.sampled_from((90, 0, 1_200, 10**10))
)
WHICH: Final = st.tuples(st.sampled_from(STATES), st.integers(0, 30))
"""A reservation: its state, and how many in that state were made since."""

_fresh = itertools.count()


class Run(Protocol):
    """Waits for what a store does."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


def new_tenant() -> str:
    return f"{os.getpid()}-{next(_fresh)}"


class Wish(NamedTuple):
    """What is asked of one limit."""

    subject: int
    asked: int
    fixed: int
    per_output: int
    expected: bool
    shadow: bool


PLANS: Final[tuple[list[tuple[int, int]], ...]] = (
    [(0, kind) for kind in range(len(ASKED))],
    [(0, 3), (0, 6), (1, 1), (1, 3), (3, 0), (3, 7)],
    [(0, 6), (2, 1)],
)
"""Subjects and kinds that are asked about together: as it usually is, the same for every exchange of a caller."""
PLACES: Final = st.lists(
    st.tuples(st.integers(0, len(PARTS) - 1), st.integers(0, len(ASKED) - 1)), max_size=8, unique=True
)


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    places = draw(st.sampled_from(PLANS) | st.sampled_from(PLANS) | PLACES)
    found = []
    for subject, asked in places:
        fixed, per_output = 1, 0
        if KINDS[ASKED[asked][0]].measure in (Measure.TOKENS, Measure.DOLLARS):
            fixed = draw(st.sampled_from((1, 0, 7, 60)))
            per_output = draw(st.sampled_from((1_000_000, 0, 333_333, 1_500_001, 10_000_000)))
        found.append(Wish(subject, asked, fixed, per_output, not draw(SELDOM), draw(SELDOM)))
    return found


class Wishes(NamedTuple):
    """What is asked.

    Attributes:
        later: milliseconds since what was asked before.
        again: under the id of this reservation.
        lost: the first answer is, so it is asked once more.
    """

    tenant: int
    later: int
    wishes: list[Wish]
    output: int
    expected: int
    floor: int
    due: bool
    force: bool
    again: tuple[str, int] | None
    lost: bool


ASKS: Final = st.builds(
    Wishes,
    tenant=st.sampled_from((0, 0, 0, 0, *TENANTS)),
    later=st.sampled_from(JUMPS),
    wishes=wishes(),
    output=st.integers(0, 150),
    expected=st.integers(0, 150),
    floor=st.integers(0, 20),
    due=st.booleans(),
    force=SELDOM,
    again=SELDOM.flatmap(lambda again: WHICH if again else st.none()),
    lost=st.booleans(),
)


class StoreMachine(RuleBasedStateMachine):
    """A store and the model, side by side."""

    def __init__(self, rig: Rig, run: Run) -> None:
        super().__init__()
        self.rig = rig
        self.run = run
        self.model = LimitsModel()
        self.tenants = [new_tenant() for _ in TENANTS]
        self.now = BIRTH
        self.zone = Zone()
        self.ids = itertools.count()
        self.amounts: list[int] = []

    @initialize(
        zone=st.sampled_from(ZONES),
        usual=st.sampled_from((900, 2_000, 10_000)),
        others=st.dictionaries(st.integers(0, len(PARTS) * len(ASKED) - 1), st.sampled_from(AMOUNTS), max_size=8),
    )
    def begin(self, zone: Zone, usual: int, others: dict[int, int]) -> None:
        self.zone = zone
        self.amounts = [others.get(index, usual) for index in range(len(PARTS) * len(ASKED))]

    @rule(asks=st.lists(ASKS, min_size=1, max_size=3))
    def reserve(self, asks: list[Wishes]) -> None:
        for one in asks:
            self.now += one.later
            whose, id = self.tenants[one.tenant], self._new_id()
            if one.again is not None:
                whose, id = self._some(one.again)
            demands = sorted((self._demand(whose, wish) for wish in one.wishes), key=lambda demand: demand.key)
            ask = Ask(
                *(id, whose, tuple(demands), 0.0 if one.due else 3_600.0, self.zone, f"request-{id}"),
                *(one.output, one.expected, one.floor, one.force, self.now),
            )
            for _ in range(2 if one.lost else 1):
                answer, expects = self.run(self.rig.store.reserve(ask)), self.model.reserve(ask)
            assert answer == expects

    @precondition(lambda self: self.model.reservations)
    @rule(which=st.lists(st.tuples(WHICH, USED), min_size=1, max_size=3), at_once=st.booleans(), lost=st.booleans())
    def settle(self, which: list[tuple[tuple[str, int], Used]], at_once: bool, lost: bool) -> None:
        settlements = [(*self._some(one), used) for one, used in which]
        for _ in range(2 if lost else 1):
            expects = [self.model.settle(*one) for one in settlements]
            if at_once:
                assert list(self.run(self.rig.store.settle_all(settlements))) == expects
            else:
                assert [self.run(self.rig.store.settle(*one)) for one in settlements] == expects

    @precondition(lambda self: self.model.reservations)
    @rule(which=st.tuples(st.sampled_from(DUE), st.integers(0, 30)), most=st.integers(1, 10), lost=st.booleans())
    def expire(self, which: tuple[str, int], most: int, lost: bool) -> None:
        whose, id = self._some(which)
        assert list(self.run(self.rig.store.overdue(whose, most))) == self.model.overdue(whose, most)
        for _ in range(2 if lost else 1):
            done, expects = self.run(self.rig.store.expire(whose, id)), self.model.expire(whose, id)
            assert done == expects
        assert list(self.run(self.rig.store.overdue(whose, 100))) == self.model.overdue(whose, 100)

    @precondition(lambda self: self.model.counters)
    @rule(
        which=st.integers(0, 200), names=st.lists(st.sampled_from([kind.counter for kind in KINDS.values()]), max_size=1)
    )
    def reset(self, which: int, names: list[str]) -> None:
        keys = list(self.model.counters)
        key, name = keys[which % len(keys)]
        wanted = list(dict.fromkeys([name, *names]))
        assert self.run(self.rig.reset(key, wanted)) == self.model.reset(key, wanted)

    @invariant()
    def counters_are_the_same(self) -> None:
        keys = [self._subject(whose, at) for whose in self.tenants for at in range(len(PARTS))]
        names = [KINDS[kind].counter for kind, _ in ASKED]

        async def look() -> list[list[Counter | None]]:
            return await asyncio.gather(*(self.rig.counters(key, names) for key in keys))

        found = {
            (key, name): one
            for key, ones in zip(keys, self.run(look()), strict=True)
            for name, one in zip(names, ones, strict=True)
            if one is not None
        }
        expects = {name: self._written(name[0], one) for name, one in self.model.counters.items()}
        assert {name: self._comparable(name[1], one) for name, one in found.items()} == expects

    def _written(self, key: str, counter: ModelCounter) -> Counter:
        """What a store should hold."""
        at = counter.entered
        if not counter.entries:
            return Counter(at, generation=counter.generation)
        demand = counter.entries[0].demand
        used, debt = counter.used_in(at), counter.debt(demand, at)
        return Counter(at, used, counter.before(demand, at), debt, counter.generation, counter.open_in(at))

    def _comparable(self, name: str, counter: Counter) -> Counter:
        """What came before counts in minutes alone."""
        if not name.endswith("pm"):
            counter = Counter.read(counter.write()) or counter
            counter.before = 0
        return counter

    def _new_id(self) -> str:
        """Sorted as they were made: leases that end in the same millisecond are in the order of their ids."""
        return f"r{next(self.ids):06}"

    def _some(self, which: tuple[str, int]) -> tuple[str, str]:
        state, since = which
        if state == "due":
            made = [name for name, one in self.model.reservations.items() if one.state == "open" and one.due]
        else:
            made = [name for name, one in self.model.reservations.items() if one.state == state]
        made = made or (list(self.model.reservations) if state != "unknown" else [])
        return made[-1 - since % len(made)] if made else (self.tenants[since % len(TENANTS)], self._new_id())

    def _subject(self, tenant: str, subject: int) -> str:
        return Subject(tenant, PARTS[subject]).key()

    def _demand(self, tenant: str, wish: Wish) -> Demand:
        name, carries = ASKED[wish.asked]
        kind: Kind = KINDS[name]
        return Demand(
            *(self._subject(tenant, wish.subject), kind.counter, kind.measure, kind.window),
            *(self.amounts[wish.subject * len(ASKED) + wish.asked], wish.fixed, wish.per_output),
            clamps=kind.window in (Window.DAY, Window.MONTH),
            expected=carries and wish.expected,
            shadow=wish.shadow,
            carries=carries,
        )


def check(rig: Callable[[], Rig], run: Run) -> None:
    number = int(os.environ.get("STORE_SEED", random.getrandbits(64)))

    def machine() -> StoreMachine:
        return StoreMachine(rig(), run)

    wanted = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(machine), settings=wanted)  # type: ignore[arg-type]
    except BaseException as error:
        error.add_note(f"STORE_SEED={number} STORE_EXAMPLES={EXAMPLES} STORE_STEPS={STEPS} does the same again")
        raise


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.timeout(0 if EXAMPLES > 100 else 120)
def test_in_memory(runner: asyncio.Runner) -> None:
    check(MemoryRig, runner.run)


@pytest.mark.timeout(0 if EXAMPLES > 100 else 120)
@pytest.mark.parametrize("kind", SERVERS)
def test_in_redis(kind: str, runner: asyncio.Runner) -> None:
    with serving(kind) as server:
        opened = redis_rig(server)
        rig = runner.run(opened.__aenter__())
        try:
            check(lambda: rig, runner.run)
        finally:
            runner.run(opened.__aexit__(None, None, None))

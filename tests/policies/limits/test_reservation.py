"""A reservation arrives at settlement as it left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extproc.reservation import Reservation
from extproc.travel import Travel
from policies.limits.limit import KINDS
from policies.limits.reservation import CountedHere
from policies.limits.store import Ask, Zone
from tests.extproc.world import exchange
from tests.policies.limits.world import ask, demand, limit

COUNTS = st.integers(0, 2**53)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DEMANDS = st.builds(
    lambda kind, amount, fixed, per_output, expected: demand(limit(kind, amount), fixed, per_output, expected=expected),
    *(st.sampled_from(sorted(KINDS)), COUNTS, COUNTS, COUNTS, st.booleans()),
)
ASKS: st.SearchStrategy[Ask] = st.builds(
    lambda demands, tenant, at, output: ask(
        *demands, tenant=tenant, at=at, output=output, force=True, zone=Zone(3_600, 1_790_000_000, 7_200)
    ),
    *(st.lists(DEMANDS, max_size=3), NAMES, COUNTS, COUNTS),
)
RESERVATIONS = st.builds(
    Reservation,
    tenants=st.lists(NAMES, max_size=2).map(tuple),
    input=COUNTS,
    output=COUNTS,
    choices=st.integers(1, 128),
    tokens=COUNTS,
    dollars=st.none() | COUNTS,
)


@given(RESERVATIONS, st.lists(ASKS, max_size=2).map(tuple))
def test_a_reservation_travels(reservation: Reservation, asks: tuple[Ask, ...]) -> None:
    travel = Travel([Reservation, CountedHere])
    here = exchange()
    here.put(reservation)
    here.put(CountedHere(asks))
    luggage = travel.unpack(travel.pack(here, ()))
    assert luggage is not None
    assert luggage.facts == {Reservation: reservation, CountedHere: CountedHere(asks)}


def test_where_nothing_was_away_little_travels() -> None:
    """The metadata of each exchange crosses Envoy twice."""
    travel = Travel([Reservation])
    here = exchange()
    here.put(Reservation("r1", ("contoso",), input=100, output=400, dollars=4_250))
    assert len(travel.pack(here, ())) < 250

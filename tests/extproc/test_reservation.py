"""A reservation says whose limits it is under, and names nothing that was not reserved."""

from __future__ import annotations

import json

import msgspec
import pytest

from extproc.completion import Decision
from extproc.outcome import Reject
from extproc.reservation import Reservation
from extproc.travel import Travel
from tests.extproc.world import exchange


def test_what_is_free_has_no_price_of_nothing() -> None:
    """None: the model has no price; 0: it costs nothing. Settlement must be able to tell."""
    travel = Travel([Reservation])
    for dollars in (None, 0):
        here = exchange()
        here.put(Reservation("r1", dollars=dollars))
        luggage = travel.unpack(travel.pack(here, ()))
        assert luggage is not None
        assert luggage.facts[Reservation].dollars is dollars


def test_a_reservation_of_a_former_version_is_read() -> None:
    """What was reserved before an update is settled after it: members may come, none may go."""
    there = msgspec.json.decode(b'{"id":"r1","tenants":["contoso"],"input":5,"coming":1}', type=Reservation)
    assert there == Reservation("r1", ("contoso",), 5)


def test_it_travels_under_its_own_name_beside_the_decisions() -> None:
    travel = Travel([Reservation])
    here = exchange()
    here.put(Reservation("r1", ("contoso", "*"), 100, 90, 400, 2, 900, 4_250))
    packed = json.loads(travel.pack(here, [Decision("audit", "reject", "audit_unavailable")]))
    assert packed["facts"]["Reservation"] == {
        "id": "r1",
        "tenants": ["contoso", "*"],
        "input": 100,
        "estimated": 90,
        "output": 400,
        "choices": 2,
        "tokens": 900,
        "dollars": 4_250,
    }


@pytest.mark.parametrize("kinds", [(), (Reject,)])
def test_nobody_hears_of_it_where_no_policy_provides_it(kinds: tuple[type, ...]) -> None:
    here = exchange()
    here.put(Reservation("r1"))
    luggage = Travel(kinds).unpack(Travel(kinds).pack(here, ()))
    assert luggage is not None
    assert luggage.facts == {}

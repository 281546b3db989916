"""Addresses of one process and of several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.placement import MAX_WORKERS, Placement, Role, Seat, place


@pytest.mark.parametrize("listen", ["unix:/run/policy.sock", "127.0.0.1:9000", "127.0.0.1:0", "[::1]:65535"])
def test_one_process_decides_and_settles_where_it_is_told(listen: str) -> None:
    assert place(listen, 1) == Placement((listen,), listen)
    assert place(listen, 1).seats() == (Seat(1, Role.BOTH, listen),)


@pytest.mark.parametrize(
    ("listen", "deciding", "settling"),
    [
        ("unix:/x/policy.sock", ("unix:/x/policy.1.sock", "unix:/x/policy.2.sock"), "unix:/x/policy.settle.sock"),
        ("unix:/x/policy", ("unix:/x/policy.1", "unix:/x/policy.2"), "unix:/x/policy.settle"),
        ("unix:/a.b/p.q.sock", ("unix:/a.b/p.q.1.sock", "unix:/a.b/p.q.2.sock"), "unix:/a.b/p.q.settle.sock"),
        ("127.0.0.1:9000", ("127.0.0.1:9000", "127.0.0.1:9001"), "127.0.0.1:9002"),
        ("[::1]:9000", ("[::1]:9000", "[::1]:9001"), "[::1]:9002"),
        ("policy.example:65533", ("policy.example:65533", "policy.example:65534"), "policy.example:65535"),
    ],
)
def test_several_have_addresses_of_their_own(listen: str, deciding: tuple[str, str], settling: str) -> None:
    placed = place(listen, 2)
    assert placed == Placement(deciding, settling)
    assert placed.seats() == (
        Seat(1, Role.DECIDE, deciding[0]),
        Seat(2, Role.DECIDE, deciding[1]),
        Seat(0, Role.SETTLE, settling),
    )


@pytest.mark.parametrize(
    ("listen", "workers", "why"),
    [
        ("127.0.0.1:0", 2, "port that is known"),
        ("127.0.0.1:65534", 2, "65534 to 65536"),
        ("127.0.0.1:65535", 64, "65535 to 65599"),
        ("unix:/" + "x" * 100, 2, "too long"),
    ],
)
def test_there_must_be_room(listen: str, workers: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        place(listen, workers)


@given(st.integers(2, MAX_WORKERS), st.one_of(st.just("unix:/run/policy.sock"), st.integers(1, 65_000)))
def test_no_two_share_an_address(workers: int, listen: str | int) -> None:
    seats = place(listen if isinstance(listen, str) else f"127.0.0.1:{listen}", workers).seats()
    assert len({seat.address for seat in seats}) == len({seat.index for seat in seats}) == workers + 1
    assert [seat.role for seat in seats] == [Role.DECIDE] * workers + [Role.SETTLE]

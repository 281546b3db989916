"""Windows follow each other without gap or overlap wherever one lives, and counters roll through them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from policies.limits.limit import Window
from policies.limits.store import Zone
from policies.limits.windows import MINUTE, Counter, wait, weighed, window_at, zone_at

HOUR, DAY = 3_600_000, 86_400_000
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"),
    "Australia/Lord_Howe",  # half an hour of summer time
    *("Africa/Cairo", "America/Santiago", "America/Havana", "Asia/Beirut"),  # clocks change at midnight
)
FIRST = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
LAST = int(datetime(2033, 1, 1, tzinfo=UTC).timestamp() * 1000)
INSTANTS = st.integers(FIRST, LAST - 1)
CALENDAR = (Window.DAY, Window.MONTH)


def changes(name: str) -> Iterator[int]:
    """Every change of the offset from 2024 to 2032, in milliseconds, by zoneinfo alone: it never falls between hours and
    half hours."""
    zone = ZoneInfo(name)
    former = None
    for instant in range(FIRST, LAST, HOUR // 2):
        offset = datetime.fromtimestamp(instant / 1000, zone).utcoffset()
        if former is not None and offset != former:
            yield instant
        former = offset


CHANGES = {name: list(changes(name)) for name in ZONES}


@st.composite
def instants(draw: st.DrawFn, name: str) -> int:
    """Any instant, or one near a change of the clocks."""
    if len(CHANGES[name]) > 0 and draw(st.booleans()):
        return draw(st.sampled_from(CHANGES[name])) + draw(st.integers(-2 * DAY, 2 * DAY))
    return draw(INSTANTS)


PLACES = st.sampled_from(ZONES).flatmap(lambda name: st.tuples(st.just(name), instants(name)))


def local_date(name: str, now: int) -> date:
    return (datetime.fromtimestamp(now // 1000, UTC).astimezone(ZoneInfo(name))).date()


def expected_number(window: Window, name: str, now: int) -> int:
    today = local_date(name, now)
    if window is Window.MONTH:
        return today.year * 12 + today.month - 1
    return today.toordinal() - date(1970, 1, 1).toordinal()


def test_there_are_changes_to_test_with() -> None:
    counts = {name: len(found) for name, found in CHANGES.items()}
    assert counts["Europe/Berlin"] == counts["Australia/Lord_Howe"] == counts["America/Santiago"] == 18
    assert counts["UTC"] == counts["Asia/Kolkata"] == counts["Pacific/Apia"] == 0
    # Somewhere a midnight does not exist.
    assert any(datetime.fromtimestamp(at / 1000, ZoneInfo("Africa/Cairo")).hour == 1 for at in CHANGES["Africa/Cairo"])


@pytest.mark.parametrize("window", CALENDAR)
@pytest.mark.parametrize("name", ZONES)
def test_windows_follow_each_other(name: str, window: Window) -> None:
    """From the first window of 2024 to the last of 2032: the end of each is the beginning of the next."""
    now, zone = FIRST, zone_at(ZoneInfo(name), FIRST)
    number, reset = window_at(window, now, zone)
    assert number == expected_number(window, name, now)
    while now < LAST:
        if now >= zone.until * 1000:
            zone = zone_at(ZoneInfo(name), now)
        assert reset > 0
        assert window_at(window, now + reset - 1, zone_at(ZoneInfo(name), now))[0] == number
        now += reset
        following, reset = window_at(window, now, zone)
        assert following == number + 1 == expected_number(window, name, now)
        number = following


@given(PLACES)
def test_a_reset_reaches_exactly_the_next_window(place: tuple[str, int]) -> None:
    name, now = place
    zone = zone_at(ZoneInfo(name), now)
    for window in CALENDAR:
        number, reset = window_at(window, now, zone)
        assert number == expected_number(window, name, now)
        assert expected_number(window, name, now + reset - 1) == number
        assert expected_number(window, name, now + reset) == number + 1


@given(PLACES, st.integers(0, 600_000))
def test_a_zone_serves_for_some_minutes(place: tuple[str, int], age: int) -> None:
    """Also over the change that it foretells."""
    name, now = place
    stale, fresh = zone_at(ZoneInfo(name), now - age), zone_at(ZoneInfo(name), now)
    for window in CALENDAR:
        assert window_at(window, now, stale) == window_at(window, now, fresh)


@given(PLACES)
def test_a_zone_is_that_of_zoneinfo(place: tuple[str, int]) -> None:
    name, now = place

    def offset(seconds: int) -> int:
        shift = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(name)).utcoffset()
        assert shift is not None
        return int(shift.total_seconds())

    zone = zone_at(ZoneInfo(name), now)
    assert zone.offset == offset(now // 1000)
    following = next((at // 1000 for at in CHANGES[name] if at // 1000 > now // 1000), None)
    year = now // 1000 + 366 * 86_400
    if following is not None and following <= year:
        assert zone == Zone(offset(now // 1000), following, offset(following))
    elif year * 1000 < LAST:
        assert zone.until > year
        assert zone.next_offset == zone.offset


@pytest.mark.parametrize(
    ("name", "now", "day_ends", "month_ends"),
    [
        ("UTC", "2024-02-28T12:00+00:00", "2024-02-29T00:00+00:00", "2024-03-01T00:00+00:00"),
        ("UTC", "2024-02-29T23:59:59.999+00:00", "2024-03-01T00:00+00:00", "2024-03-01T00:00+00:00"),
        ("UTC", "2027-12-31T23:00+00:00", "2028-01-01T00:00+00:00", "2028-01-01T00:00+00:00"),
        ("Europe/Berlin", "2026-03-29T00:30+01:00", "2026-03-30T00:00+02:00", "2026-04-01T00:00+02:00"),
        ("Europe/Berlin", "2026-03-29T12:00+02:00", "2026-03-30T00:00+02:00", "2026-04-01T00:00+02:00"),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", "2026-11-01T00:00+01:00"),
        ("Asia/Kolkata", "2026-01-31T23:30+05:30", "2026-02-01T00:00+05:30", "2026-02-01T00:00+05:30"),
        ("Australia/Lord_Howe", "2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30", "2026-05-01T00:00+10:30"),
        # In Cairo the last Friday of April begins at one o'clock, and the last Thursday of October has 25 hours.
        ("Africa/Cairo", "2026-04-23T22:00+02:00", "2026-04-24T01:00+03:00", "2026-05-01T00:00+03:00"),
        ("Africa/Cairo", "2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00", "2026-05-01T00:00+03:00"),
        ("Africa/Cairo", "2026-10-29T23:30+03:00", "2026-10-30T00:00+02:00", "2026-11-01T00:00+02:00"),
    ],
)
def test_when_days_and_months_end(name: str, now: str, day_ends: str, month_ends: str) -> None:
    start = datetime.fromisoformat(now)
    instant = round(start.timestamp() * 1000)
    zone = zone_at(ZoneInfo(name), instant)
    for window, end in ((Window.DAY, day_ends), (Window.MONTH, month_ends)):
        until = datetime.fromisoformat(end) - start
        assert window_at(window, instant, zone)[1] == until // timedelta(milliseconds=1)


@given(INSTANTS)
def test_minutes_follow_each_other(now: int) -> None:
    number, reset = window_at(Window.MINUTE, now, Zone())
    assert 0 < reset <= MINUTE
    assert window_at(Window.MINUTE, now + reset - 1, Zone())[0] == number
    assert window_at(Window.MINUTE, now + reset, Zone()) == (number + 1, MINUTE)
    assert window_at(Window.NONE, now, Zone()) == (0, 0)


def test_each_window_has_numbers_of_its_own() -> None:
    now = round(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    found = [window_at(window, now, Zone())[0] for window in Window]
    assert found == [29_538_720, 20_513, 2026 * 12 + 2, 0]


COUNTS = st.integers(0, 2**53)
COUNTERS = st.builds(Counter, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@given(COUNTERS)
def test_a_counter_is_read_as_it_is_written(counter: Counter) -> None:
    assert Counter.read(counter.write()) == counter


@pytest.mark.parametrize(
    "written",
    [
        *(None, b"", b"1", b"\1\2\3\4\5", b"\1\2\3\4\5\6\7", b"1 2 3 4 5 6", b"\xff", b"\x96\1\2\3\4\5\6"),
        *(b"\1\2\3\4\5" + last for last in (b"\xc0", b"\xa1x", b"\xff", b"\xcb" + bytes(8), b"\xcf")),
    ],
)
def test_what_is_no_counter(written: bytes | None) -> None:
    assert Counter.read(written) is None


@pytest.mark.parametrize(
    ("number", "debt_above", "expected"),
    [
        (7, None, Counter(7, 100, 40, 5, 3)),
        (8, None, Counter(8, 0, 100, 0, 3)),
        (9, None, Counter(9, 0, 0, 0, 3)),
        # A clock that went back: what is used is used in the window that the counter is in.
        (6, None, Counter(7, 100, 40, 5, 3)),
        (0, 10, Counter(7, 100, 40, 5, 3)),
        # What was used above the limit, with what was carried before, is carried over, once.
        (8, 90, Counter(8, 0, 100, 15, 3)),
        (8, 105, Counter(8, 0, 100, 0, 3)),
        (9, 90, Counter(9, 0, 0, 15, 3)),
        (7, 90, Counter(7, 100, 40, 5, 3)),
    ],
)
def test_how_a_counter_rolls(number: int, debt_above: int | None, expected: Counter) -> None:
    counter = Counter(window=7, current=100, before=40, carried=5, generation=3)
    counter.roll(number, debt_above=debt_above)
    assert counter == expected


@pytest.mark.parametrize(
    ("window", "reset", "used"),
    [
        (Window.MINUTE, MINUTE, 145),
        (Window.MINUTE, 30_000, 125),
        (Window.MINUTE, 1, 106),
        (Window.DAY, 30_000, 105),
        (Window.MONTH, 30_000, 105),
        (Window.NONE, 0, 105),
    ],
)
def test_what_is_used(window: Window, reset: int, used: int) -> None:
    assert Counter(7, 100, 40, 5).used(window, reset) == used


@given(st.integers(0, 10**15), st.integers(0, MINUTE))
def test_the_share_of_the_minute_before_is_rounded_up(before: int, reset: int) -> None:
    share = weighed(before, reset)
    assert before * reset <= share * MINUTE < before * reset + MINUTE


def used_after(counter: Counter, now: int, later: int) -> int:
    number, reset = window_at(Window.MINUTE, now + later, Zone())
    rolled = replace(counter)
    rolled.roll(number)
    return rolled.used(Window.MINUTE, reset)


AMOUNTS = st.one_of(st.integers(0, 20), st.integers(0, 10**6), st.integers(0, 10**12))


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, MINUTE - 1))
@example(10, 1, 10, 0, 0)
@example(10, 1, 9, 10, 0)
@example(10, 10, 1, 1, 59_999)
@example(0, 0, 0, 0, 0)
@example(0, 0, 1, 1, 17)
def test_after_the_wait_it_fits_and_not_a_millisecond_before(
    amount: int, need: int, current: int, before: int, into: int
) -> None:
    now = 29_538_720 * MINUTE + into
    counter = Counter(29_538_720, current, before)
    found = wait(amount, need, current, before, MINUTE - into)
    assert 0 <= found <= 2 * MINUTE
    if need > amount:
        assert used_after(counter, now, found) == 0
        return
    assert used_after(counter, now, found) + need <= amount
    if found > 0:
        assert used_after(counter, now, found - 1) + need > amount

"""Windows of time, and counters that live in them. Pure; `scripts/reserve.lua` does the same where the counters are.

All times are whole milliseconds since the epoch.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from policies.limits.limit import Window
from policies.limits.store import Zone

MINUTE: Final = 60_000
_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FAR: Final = 2**53
_ARRAY: Final = b"\x96"
"""The head of an array of six in MessagePack. The scripts write its values alone: tables cost them more than the rest."""
_encoder: Final = msgspec.msgpack.Encoder()
_numbers: Final = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, int])


def window_at(window: Window, now: int, zone: Zone) -> tuple[int, int]:
    """The number of the window at `now`, and the milliseconds until it ends. Numbers of a kind follow each other."""
    if window is Window.MINUTE:
        return now // MINUTE, MINUTE - now % MINUTE
    if window is Window.NONE:
        return 0, 0
    seconds = now // 1000
    day = (seconds + (zone.offset if seconds < zone.until else zone.next_offset)) // _DAY
    if window is Window.DAY:
        return day, _until_day(day + 1, now, zone)
    today = date.fromordinal(_EPOCH + day)
    following = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return today.year * 12 + today.month - 1, _until_day(following.toordinal() - _EPOCH, now, zone)


def _until_day(day: int, now: int, zone: Zone) -> int:
    """Milliseconds until this day begins where the subject lives."""
    instant = day * _DAY - zone.offset
    if instant >= zone.until:
        # Where clocks go forward at midnight, the day begins with the change.
        instant = max(zone.until, day * _DAY - zone.next_offset)
    return max(0, instant * 1000 - now)


def zone_at(zone: ZoneInfo, now: int) -> Zone:
    """What a store must know of a time zone: its offset, and the next change within a year."""
    start = now // 1000
    offset = _offset(zone, start)
    day = start
    for day in range(start, start + 366 * _DAY, _DAY):
        if _offset(zone, day + _DAY) != offset:
            break
    else:
        return Zone(offset, _FAR, offset)
    before, after = day, day + _DAY
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return Zone(offset, after, _offset(zone, after))


def _offset(zone: ZoneInfo, seconds: int) -> int:
    shift = datetime.fromtimestamp(seconds, UTC).astimezone(zone).utcoffset()
    return 0 if shift is None else int(shift.total_seconds())


class Counter(msgspec.Struct):
    """What has been used in a window and in the one before, and the debt carried into it.

    `generation` changes when somebody sets the counter back: what was reserved before that is not settled in it.
    `reserved` is the part of `current` that is not settled: some of it will be given back.
    """

    window: int = 0
    current: int = 0
    before: int = 0
    carried: int = 0
    generation: int = 0
    reserved: int = 0

    @classmethod
    def read(cls, written: bytes | None) -> Counter | None:
        """The counter as it is written in Redis; None if it is not there, or is none."""
        if written is None:
            return None
        try:
            numbers = _numbers.decode(_ARRAY + written)
        except msgspec.DecodeError:
            return None
        return cls(*numbers) if min(numbers) >= 0 else None

    def write(self) -> bytes:
        return _encoder.encode(msgspec.structs.astuple(self)).removeprefix(_ARRAY)

    def roll(self, number: int, *, debt_above: int | None = None) -> None:
        """Enter the window of this number. An older one than its own is not entered: a clock went back.

        `debt_above`: what was used above this is carried over.
        """
        if number <= self.window:
            return
        debt = 0 if debt_above is None else max(0, self.current + self.carried - debt_above)
        self.before = self.current if number == self.window + 1 else 0
        self.window, self.current, self.carried, self.reserved = number, 0, debt, 0

    def used(self, window: Window, reset: int) -> int:
        """What counts against a limit now: for a minute with the share of the minute before that is not yet over."""
        counted = self.current + self.carried
        return counted + weighed(self.before, reset) if window is Window.MINUTE else counted


def weighed(before: int, reset: int) -> int:
    """The share of the minute before that lies within the last 60 seconds, rounded up."""
    return -(-before * reset // MINUTE)


def wait(amount: int, need: int, current: int, before: int, reset: int) -> int:
    """Milliseconds after which `need` fits under `amount` in a sliding minute, if nobody else comes; at most two minutes.

    `current`, `before`, `reset`: the counter as it stands. Where it never fits, the time after which the minute is empty.
    """
    room = amount - need
    if room < 0:
        return reset + MINUTE
    if room >= current + weighed(before, reset):
        return 0
    if room >= current and before > 0:
        # Within this minute: the share of the one before falls to room - current.
        return reset - min(reset, (room - current) * MINUTE // before)
    # In the next minute, in which the present one is the one before.
    return reset + MINUTE - room * MINUTE // current

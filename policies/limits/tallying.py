"""Counters of days and months, as who keeps the record compares them. Reads Redis in small pieces; decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from extproc.tally import Tally
from policies.limits.limit import KINDS, Kind, Window
from policies.limits.redis_client import RedisClient
from policies.limits.redis_registry import RedisRegistry
from policies.limits.redis_survey import Survey, connected
from policies.limits.settings import LimitsSettings
from policies.limits.store import StoreUnavailableError
from policies.limits.subjects import EVERYONE, Level, Subject, SubjectError, parse
from policies.limits.windows import Counter

FIELDS: Final[Mapping[Level, str]] = {
    Level.DEPARTMENT: "department",
    Level.USER: "user_id",
    Level.APP: "app_id",
    Level.MODEL: "model",
    Level.AGENT: "route",
    Level.SESSION: "session_id",
}
"""What a record calls a level."""
_EPOCH: Final = date(1970, 1, 1)


async def tallies(settings: LimitsSettings) -> AsyncIterator[Tally]:
    """Every counter of a day or a month under the configured limits.

    Raises:
        ConnectionError: Redis does not answer.
    """
    client = RedisClient(settings.redis)
    await client.start()
    try:
        await connected(client, "sg:{sg}:version", 2 * settings.redis.connect_timeout)
        registry = RedisRegistry(client)
        tenants = await registry.tenants()
        known = first_seen(tenants, await registry.since())
        zone = ZoneInfo(settings.time_zone)
        for levels, kind, sometimes in asked(settings):
            async for one in _of(Survey(client), levels, kind, tenants, zone):
                yield replace(one, sometimes=sometimes, since=known.get(one.subject.get("tenant_id", EVERYONE)))
    except StoreUnavailableError as error:
        raise ConnectionError(f"Redis does not answer: {error}") from error
    finally:
        await client.stop()


def first_seen(tenants: Iterable[str], since: Mapping[str, int]) -> Mapping[str, datetime]:
    """When tenants were first seen, and all of them together, as far as it is known. `since`: in milliseconds. Pure."""
    found = {tenant: datetime.fromtimestamp(at / 1000, UTC) for tenant, at in since.items()}
    if found and found.keys() >= set(tenants):
        found[EVERYONE] = min(found.values())
    return found


def asked(settings: LimitsSettings) -> list[tuple[tuple[Level, ...], Kind, bool]]:
    """Kinds of subjects and of limits, each once, and whether only some exchanges of such a subject are counted: no entry
    bears on all of them. Pure."""
    found: dict[tuple[tuple[Level, ...], str], bool] = {}
    for entry in settings.limits:
        # What an entry asks of the subject itself is so for all of its exchanges.
        fixed = {*entry.subject} | ({Level.TENANT} if Level.EVERYONE not in entry.subject else set())
        sometimes = not entry.match.model_dump(exclude_none=True).keys() <= fixed
        for name in entry.amounts():
            if KINDS[name].window in (Window.DAY, Window.MONTH):
                at = (tuple(entry.subject), name)
                found[at] = found.get(at, True) and sometimes
    return [(levels, KINDS[name], sometimes) for (levels, name), sometimes in found.items()]


async def _of(
    survey: Survey, levels: tuple[Level, ...], kind: Kind, tenants: Iterable[str], zone: ZoneInfo
) -> AsyncIterator[Tally]:
    told: dict[str, bytes] = {}
    await survey.counters(levels, kind.counter, told.__setitem__, tenants=tenants, within=None)
    for key, written in told.items():
        subject, counter = subject_of(key), Counter.read(written)
        if subject is not None and counter is not None and (made := tally(subject, kind, counter, zone)) is not None:
            yield made


def tally(subject: Subject, kind: Kind, counter: Counter, zone: ZoneInfo) -> Tally | None:
    """A counter as the record has it. None where it stands for a hash, which no record has, or for no day or month: it
    was set back, and not used since."""
    whose = {} if subject.tenant == EVERYONE else {"tenant_id": subject.tenant}
    for level, value in subject.parts:
        if value.startswith("#"):
            return None
        whose[FIELDS[level]] = value
    try:
        start, end = bounds(kind.window, counter.window, zone)
    except (OverflowError, ValueError):
        return None
    return Tally(
        *(whose, kind.measure.value, start, end, counter.current, counter.reserved, f"{subject} {kind.name}"),
        was_reset=counter.generation > 0,
    )


def subject_of(key: str) -> Subject | None:
    """The subject whose counters stand under this key: `sg:{tenant}:s:user=alice`."""
    prefix, _, name = key.partition("}:s:")
    tenant = prefix.partition("{")[2]
    if tenant == EVERYONE:
        return Subject(EVERYONE)
    if tenant.startswith("#"):
        return None
    # A tenant may be called so.
    head = str(Subject(tenant)) if tenant == Level.EVERYONE else tenant
    text = head if name == Level.TENANT else f"{head}/{name}"
    try:
        return parse(text)
    except SubjectError:
        return None


def bounds(window: Window, number: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the day or month of this number begins and ends, in UTC.

    Raises:
        OverflowError, ValueError: it is in no calendar.
    """
    if window is Window.DAY:
        first = _EPOCH + timedelta(days=number)
        last = first + timedelta(days=1)
    else:
        first = date(number // 12, number % 12 + 1, 1)
        last = (first + timedelta(days=32)).replace(day=1)
    return _begins(first, zone), _begins(last, zone)


def _begins(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)

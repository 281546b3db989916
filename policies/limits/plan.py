"""Which limits bear on an exchange: configuration first, overrides on top. Pure; remembered for each kind of caller."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Final

import msgspec

from extproc.call import Call, Operation
from extproc.identity import Identity
from policies.limits.limit import KINDS, Kind, Limit, Outage, Rule, Window
from policies.limits.settings import LimitEntry, Match
from policies.limits.subjects import EVERYONE, Level, Subject

_REMEMBERED: Final = 131_072
"""Callers of a worker, each with some 2 kB: to work out the limits of one takes as long as half of a reservation."""
_SHARED: Final = 4_096
"""Subjects that many callers share."""
_key: Final = attrgetter("key")
_LONGEST: Final = 128
"""Characters of a session that are remembered: clients choose them, and a field may have 60 KiB."""
_MARGIN: Final = 3_600
_KEPT: Final[Mapping[Window, int]] = {
    # Twice the window, so that the one before is still there, and some more.
    Window.MINUTE: 120 + _MARGIN,
    Window.DAY: 2 * 86_400 + _MARGIN,
    Window.MONTH: 62 * 86_400 + _MARGIN,
    Window.NONE: 86_400,
}


class Caller(msgspec.Struct, frozen=True, gc=False):
    """All of an exchange that limits can be about. Empty where there is no such thing."""

    tenant: str
    tenant_name: str
    department: str
    user: str
    app: str
    roles: frozenset[str]
    model: str
    agent: str
    session: str

    @classmethod
    def of(cls, identity: Identity, call: Call, session: str) -> Caller:
        return cls(
            identity.tenant,
            identity.tenant_name,
            identity.department,
            identity.user,
            identity.app,
            identity.roles,
            call.model or "",
            (call.route or "") if call.operation is Operation.AGENT else "",
            session if len(session) <= _LONGEST else _hashed(session),
        )

    def value(self, level: Level) -> str:
        """Who it is on this level within the tenant."""
        # An enumeration of strings: it is its own value, and to ask it for that would take as long again.
        value: str = getattr(self, level)
        return value


def _hashed(session: str) -> str:
    return f"#{hashlib.sha256(session.encode('utf-8', 'surrogatepass')).hexdigest()}"


class Override(msgspec.Struct, frozen=True):
    """A limit that was set at run time, in place of the configured one or beside it."""

    subject: Subject
    kind: str
    amount: int


class Plan(msgspec.Struct, frozen=True, gc=False):
    """The limits on one kind of caller: its own tenant's, and those of everyone. Those of one subject stand together."""

    limits: tuple[Limit, ...]
    everyone: tuple[Limit, ...]


class Plans:
    """The rules of a gateway. Shared by all exchanges."""

    __slots__ = ("_entries", "_made", "_overrides", "_remembered", "_shadow", "by_session")

    def __init__(self, entries: Sequence[LimitEntry], *, shadow: bool = False) -> None:
        """`shadow`: none of them is enforced."""
        self._entries = tuple(_Entry(index, entry, shadow=shadow) for index, entry in enumerate(entries))
        self._shadow = shadow
        self._made: OrderedDict[tuple[int, Subject], tuple[Limit, ...]] = OrderedDict()
        self._overrides: dict[str, tuple[Override, ...]] = {}
        self._remembered: OrderedDict[Caller, Plan] = OrderedDict()
        # Whether it matters which session a caller names: where it does not, that is not asked, for each would be another
        # caller to remember.
        self.by_session = self._asks_session()

    def _asks_session(self) -> bool:
        overridden = (one for found in self._overrides.values() for one in found)
        return any(Level.SESSION in entry.levels for entry in self._entries) or any(
            level is Level.SESSION for one in overridden for level, _ in one.subject.parts
        )

    def override(self, overrides: Iterable[Override]) -> None:
        """Take these in place of all former ones."""
        by_tenant: dict[str, list[Override]] = {}
        for one in overrides:
            by_tenant.setdefault(one.subject.tenant, []).append(one)
        self._overrides = {tenant: tuple(found) for tenant, found in by_tenant.items()}
        self._remembered.clear()
        self.by_session = self._asks_session()

    def plan(self, caller: Caller) -> Plan:
        """The limits that bear on this caller."""
        known = self._remembered.get(caller)
        if known is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.popitem(last=False)
            known = self._remembered[caller] = self._work_out(caller)
        return known

    def _work_out(self, caller: Caller) -> Plan:
        # By key and kind: of a subject the hash would have to be worked out each time.
        found: dict[tuple[str, str], Limit] = {}
        for entry in self._entries:
            if entry.match is not None and not matches(entry.match, caller):
                continue
            subject = entry.subject(caller)
            if subject is not None:
                for limit in self._limits(entry, subject):
                    found[limit.key, limit.rule.kind.name] = limit
        for tenant in (caller.tenant, EVERYONE):
            for one in self._overrides.get(tenant, ()):
                if subject_of(tuple(level for level, _ in one.subject.parts), caller, tenant) == one.subject:
                    at = one.subject.key(), one.kind
                    found[at] = overridden(found.get(at), one, shadow=self._shadow)
        by_key = sorted(found.values(), key=_key)
        return Plan(
            tuple([limit for limit in by_key if limit.subject.tenant != EVERYONE]),
            tuple([limit for limit in by_key if limit.subject.tenant == EVERYONE]),
        )

    def _limits(self, entry: _Entry, subject: Subject) -> tuple[Limit, ...]:
        """The entry's limits on this subject. Those of a tenant, an application, … are shared by all its callers; those
        of one of them are remembered with its plan."""
        if entry.is_personal:
            return entry.limits(subject)
        at = entry.index, subject
        made = self._made.get(at)
        if made is None:
            if len(self._made) >= _SHARED:
                self._made.popitem(last=False)
            made = self._made[at] = entry.limits(subject)
        return made


class _Entry:
    """An entry of the configuration, and all that can be said of it before anybody calls."""

    __slots__ = ("_rules", "index", "is_personal", "levels", "match")

    def __init__(self, index: int, entry: LimitEntry, *, shadow: bool) -> None:
        self.index = index
        self.levels = entry.subject
        self.is_personal = Level.USER in entry.subject or Level.SESSION in entry.subject
        self.match = None if entry.match == Match() else entry.match
        allowance = entry.counted_allowance() if entry.allowance is not None else 0
        kinds = [(KINDS[name], amount) for name, amount in entry.amounts().items()]
        self._rules = [
            Rule(
                *(kind, amount, _KEPT[kind.window], entry.soft, entry.output_reserve, entry.outage or usual_outage(kind)),
                *(allowance, entry.shadow or shadow, f"limits[{index}]"),
            )
            for kind, amount in kinds
        ]

    def subject(self, caller: Caller) -> Subject | None:
        """`subject_of` its levels, of which there is one nearly always."""
        levels = self.levels
        if len(levels) > 1:
            return subject_of(levels, caller)
        level = levels[0]
        if level is Level.TENANT:
            return Subject(caller.tenant)
        if level is Level.EVERYONE:
            return Subject(EVERYONE)
        value = caller.value(level)
        return Subject(caller.tenant, ((level, value),)) if value else None

    def limits(self, subject: Subject) -> tuple[Limit, ...]:
        """What it says of this subject."""
        key = subject.key()
        return tuple([Limit(subject, key, rule) for rule in self._rules])


def usual_outage(kind: Kind) -> Outage:
    """Rates are worth less than an interruption; budgets are not."""
    return Outage.CLOSED if kind.window in (Window.DAY, Window.MONTH) else Outage.LOCAL


def overridden(configured: Limit | None, override: Override, *, shadow: bool = False) -> Limit:
    """The limit with the amount that was set at run time."""
    if configured is not None:
        rule = msgspec.structs.replace(configured.rule, amount=override.amount, source="override")
        return msgspec.structs.replace(configured, rule=rule)
    kind = KINDS[override.kind]
    kept, outage = _KEPT[kind.window], usual_outage(kind)
    rule = Rule(kind, override.amount, kept, outage=outage, shadow=shadow, source="override")
    return Limit(override.subject, override.subject.key(), rule)


def matches(match: Match, caller: Caller) -> bool:
    """Whether an entry is for this caller."""
    return (
        (match.tenant is None or _fits(match.tenant, caller.tenant_name) or _fits(match.tenant, caller.tenant))
        and (match.department is None or _fits(match.department, caller.department))
        and (match.role is None or any(_fits(match.role, role) for role in caller.roles))
        and (match.user is None or _fits(match.user, caller.user))
        and (match.app is None or _fits(match.app, caller.app))
        and (match.model is None or _fits(match.model, caller.model))
        and (match.agent is None or _fits(match.agent, caller.agent))
    )


def _fits(pattern: str, value: str) -> bool:
    return bool(value) and fnmatchcase(value, pattern)


def subject_of(levels: Sequence[Level], caller: Caller, tenant: str | None = None) -> Subject | None:
    """The subject of these levels that this caller is; None where it has no such thing (an exchange without a model)."""
    if Level.EVERYONE in levels:
        tenant = EVERYONE
    parts: list[tuple[Level, str]] = []
    for level in levels:
        if level is Level.TENANT or level is Level.EVERYONE:
            continue
        value = caller.value(level)
        if not value:
            return None
        parts.append((level, value))
    return Subject(tenant if tenant is not None else caller.tenant, tuple(parts))

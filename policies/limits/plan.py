"""Which limits bear on an exchange: configuration first, overrides on top. Pure; remembered for each group of callers."""

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
from policies.limits.subjects import EVERYONE, Level, Subject, bounded, key_form

_REMEMBERED: Final = 131_072
"""Groups of callers of a worker, a kB or two each: as many as there are users only where an entry matches on them."""
_key: Final = attrgetter("key")
_USER: Final = Level.USER
_SESSION: Final = Level.SESSION
_PERSONS: Final = frozenset({_USER, _SESSION})
"""Levels of which there are as many subjects as there are users, or more."""
_LONGEST: Final = 128
"""Characters of a session that stand in a subject: clients choose them, and a field may have 60 KiB."""
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
    """The limits on a caller: its own tenant's, and those of everyone. Those of one subject stand together."""

    limits: tuple[Limit, ...]
    everyone: tuple[Limit, ...]


class _Personal(msgspec.Struct, frozen=True, gc=False):
    """Rules for subjects of which there is one for each user, or session.

    Attributes:
        tenant: whose they are.
        parts: of the subject; a user or a session has no value yet.
        form: of the key: see `key_form`.
        of_user, of_session: which of them it has.
        rules: of the configuration. None where there are overrides only.
    """

    tenant: str
    parts: tuple[tuple[Level, str], ...]
    form: str
    of_user: bool
    of_session: bool
    rules: tuple[Rule, ...]


class _Group(msgspec.Struct, frozen=True, gc=False):
    """What is the same for all callers who differ only in who they are and in their session: a group of them."""

    shared: Plan
    personal: tuple[_Personal, ...]


class Plans:
    """The rules of a gateway. Shared by all exchanges.

    What is remembered is that of a group of callers, and not that of a caller: to make three limits of their own for each
    takes no longer than to find those of one among a hundred thousand, which lie in memory that nobody has touched for a
    while.
    """

    __slots__ = ("_by_user", "_entries", "_families", "_own", "_remembered", "_shadow", "_shared", "by_session")

    def __init__(self, entries: Sequence[LimitEntry], *, shadow: bool = False) -> None:
        """`shadow`: none of them is enforced."""
        self._entries = tuple(_Entry(index, entry, shadow=shadow) for index, entry in enumerate(entries))
        self._by_user = any(entry.match is not None and entry.match.user is not None for entry in self._entries)
        self._shadow = shadow
        self._remembered: OrderedDict[tuple[object, ...], _Group] = OrderedDict()
        self.override(())

    def override(self, overrides: Iterable[Override]) -> None:
        """Take these in place of all former ones."""
        # Those of subjects that callers share, by tenant; those of each user or session, by subject; and of which levels,
        # by tenant, there are any of these.
        shared: dict[str, list[Override]] = {}
        own: dict[Subject, list[Override]] = {}
        families: dict[str, dict[tuple[Level, ...], None]] = {}
        for one in overrides:
            tenant, levels = one.subject.tenant, tuple([level for level, _ in one.subject.parts])
            if _is_personal(levels):
                own.setdefault(one.subject, []).append(one)
                families.setdefault(tenant, {})[levels] = None
            else:
                shared.setdefault(tenant, []).append(one)
        self._shared, self._own, self._families = shared, own, families
        self._remembered.clear()
        # Whether it matters which session a caller names.
        named = (*(entry.levels for entry in self._entries), *(levels for found in families.values() for levels in found))
        self.by_session = any(Level.SESSION in levels for levels in named)

    def plan(self, caller: Caller) -> Plan:
        """The limits that bear on this caller."""
        group = self._group(caller)
        if not group.personal:
            return group.shared
        limits, everyone = [*group.shared.limits], [*group.shared.everyone]
        user, session = (_USER, caller.user), (_SESSION, caller.session)
        user_text = bounded(caller.user) if caller.user else ""
        session_text = bounded(caller.session) if caller.session else ""
        for one in group.personal:
            if (one.of_user and not caller.user) or (one.of_session and not caller.session):
                continue
            parts = [user if part[0] is _USER else session if part[0] is _SESSION else part for part in one.parts]
            subject = Subject(one.tenant, tuple(parts))
            # Users stand before sessions.
            both = one.of_user and one.of_session
            key = one.form % ((user_text, session_text) if both else user_text if one.of_user else session_text)
            found = [Limit(subject, key, rule) for rule in one.rules]
            if self._own and (overrides := self._own.get(subject)) is not None:
                found = self._overridden(found, overrides)
            (everyone if one.tenant == EVERYONE else limits).extend(found)
        return Plan(tuple(limits), tuple(everyone))

    def _group(self, caller: Caller) -> _Group:
        at: tuple[object, ...] = (
            caller.tenant,
            caller.tenant_name,
            caller.department,
            caller.app,
            caller.roles,
            caller.model,
            caller.agent,
        )
        if self._by_user:
            at = (*at, caller.user)
        known = self._remembered.get(at)
        if known is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.popitem(last=False)
            known = self._remembered[at] = self._work_out(caller)
        return known

    def _work_out(self, caller: Caller) -> _Group:
        found: dict[tuple[Subject, str], Limit] = {}
        personal: dict[tuple[bool, tuple[Level, ...]], dict[str, Rule]] = {}
        for entry in self._entries:
            if entry.match is not None and not matches(entry.match, caller):
                continue
            if _is_personal(entry.levels):
                within = tuple([level for level in entry.levels if level is not Level.EVERYONE])
                family = personal.setdefault((Level.EVERYONE in entry.levels, within), {})
                family.update((rule.kind.name, rule) for rule in entry.rules)
            elif (subject := subject_of(entry.levels, caller)) is not None:
                key = subject.key()
                found.update(((subject, rule.kind.name), Limit(subject, key, rule)) for rule in entry.rules)
        for tenant in (caller.tenant, EVERYONE):
            for one in self._shared.get(tenant, ()):
                if subject_of(tuple(level for level, _ in one.subject.parts), caller, tenant) == one.subject:
                    at = one.subject, one.kind
                    found[at] = overridden(found.get(at), one, shadow=self._shadow)
            for levels in self._families.get(tenant, ()):
                personal.setdefault((tenant == EVERYONE, levels), {})
        by_key = sorted(found.values(), key=_key)
        return _Group(
            Plan(
                tuple([limit for limit in by_key if limit.subject.tenant != EVERYONE]),
                tuple([limit for limit in by_key if limit.subject.tenant == EVERYONE]),
            ),
            tuple(
                [
                    _personal(EVERYONE if everyone else caller.tenant, levels, caller, tuple(rules.values()))
                    for (everyone, levels), rules in personal.items()
                    if all(level in _PERSONS or caller.value(level) for level in levels)
                ]
            ),
        )

    def _overridden(self, limits: Iterable[Limit], overrides: Iterable[Override]) -> list[Limit]:
        """The limits of one subject, after the overrides of this subject."""
        found = {limit.rule.kind.name: limit for limit in limits}
        for one in overrides:
            found[one.kind] = overridden(found.get(one.kind), one, shadow=self._shadow)
        return list(found.values())


def _personal(tenant: str, levels: Sequence[Level], caller: Caller, rules: tuple[Rule, ...]) -> _Personal:
    parts = tuple([(level, "" if level in _PERSONS else caller.value(level)) for level in levels])
    return _Personal(tenant, parts, key_form(tenant, parts, _PERSONS), _USER in levels, _SESSION in levels, rules)


def _is_personal(levels: Sequence[Level]) -> bool:
    return not _PERSONS.isdisjoint(levels)


class _Entry:
    """An entry of the configuration, and all that can be said of it before anybody calls."""

    __slots__ = ("levels", "match", "rules")

    def __init__(self, index: int, entry: LimitEntry, *, shadow: bool) -> None:
        self.levels = entry.subject
        self.match = None if entry.match == Match() else entry.match
        allowance = entry.counted_allowance() if entry.allowance is not None else 0
        kinds = [(KINDS[name], amount) for name, amount in entry.amounts().items()]
        self.rules = [
            Rule(
                *(kind, amount, _KEPT[kind.window], entry.soft, entry.output_reserve, entry.outage or usual_outage(kind)),
                *(allowance, entry.shadow or shadow, f"limits[{index}]"),
            )
            for kind, amount in kinds
        ]


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

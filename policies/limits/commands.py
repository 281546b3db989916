"""`sluicegate limits …`: how limits stand, and what is set and reset at run time."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import msgspec
import typer

from extproc.catalogue import Catalogue
from extproc.commands import STATE, By, OnlyConfigOption, State, named, taking, who
from extproc.configured import chosen
from extproc.mistakes import ConfigurationError
from extproc.printing import complain, harmless, say, show_json, show_table
from policies.limits import arguments, tables, words
from policies.limits.administration import Administration, Standings, standings, work
from policies.limits.limit import KINDS, Kind, Limit, Measure
from policies.limits.plan import Caller
from policies.limits.registry import Change
from policies.limits.subjects import Level, Subject

_OPTIONS: Final = ("role", "model", "app", "department")
"""What can be said of a caller."""

SubjectText = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="contoso, contoso/user=ID, contoso/user=ID,model=gpt-4o, everyone, …")
]
Json = Annotated[bool, typer.Option("--json", help="For programs; amounts in dollars are micro-dollars.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Unseen = Annotated[bool, typer.Option("--unseen", help="SUBJECT has the id of a tenant that has sent nothing yet.")]

app = typer.Typer(help="Limits: how they stand, and what is set at run time.", no_args_is_help=True)


@app.command()
@taking(config=named)
def show(
    *,
    subject: SubjectText,
    role: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="A role of the caller; again for more.")] = None,
    model: Annotated[str, typer.Option(help="The model that the caller asks for.")] = "",
    app_id: Annotated[str, typer.Option("--app", help="The caller's application.")] = "",
    department: Annotated[str, typer.Option(help="The caller's department.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also the other limits on such a caller.")] = False,
    config: Path | None,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Show every limit on a subject: how much of it is used, left and reserved, when it resets, where it comes from.

    Which entries match may depend on a role, a model, … of the caller: say them, to see their limits.
    """

    async def find(admin: Administration) -> _Found:
        of = arguments.subject(subject, admin.tenants)
        caller = arguments.caller(of, admin.tenants, roles=role or (), model=model, app=app_id, department=department)
        return await _find(admin, of, caller, everything=everything)

    found = work(find, config, state)
    if as_json:
        show_json(found.document())
        return
    say(found.label)
    _show_lines(found, with_subject=everything)


class _Found(msgspec.Struct, frozen=True):
    """What there is on a subject. `open_entries`: index and what would decide whether the entry is about it."""

    subject: str
    tenants: Mapping[str, str]
    lines: list[tables.Line]
    open_entries: list[tuple[str, tuple[str, ...]]]
    stood: Standings

    @property
    def label(self) -> str:
        return words.relabel(self.subject, self.tenants)

    def document(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "label": self.label,
            "at": self.stood.now / 1000,
            "limits": self.lines,
            "depends": [{"entry": entry, "on": on} for entry, on in self.open_entries],
            "reserved_is_whole": self.stood.whole,
        }


async def _find(admin: Administration, of: Subject, caller: Caller, *, everything: bool) -> _Found:
    limits = [limit for limit in admin.limits(caller) if everything or limit.subject == of]
    subjects = list(dict.fromkeys([of, *(limit.subject for limit in limits)]))
    stood = await standings(admin, subjects)
    history = await admin.history()
    open_entries = list(
        tables.unanswered(admin.settings.limits, tuple(level for level, _ in of.parts), caller),
    )
    known = {(limit.subject, limit.rule.kind.name): limit for limit in limits}
    lines = []
    for one in subjects:
        for name, kind in KINDS.items():
            limit, counter = known.get((one, name)), stood.counters[one].get(kind.counter)
            if limit is None and counter is None:
                continue
            source = words.sources(limit, history) if limit is not None else words.depends(open_entries, name)
            lines.append(
                tables.line(one, kind, limit, counter, stood.charges, now=stood.now, zone=stood.zone, source=source)
            )
    return _Found(
        str(of),
        admin.tenants,
        lines,
        [(f"limits[{index}]", on) for index, _, on in open_entries],
        stood,
    )


def _show_lines(found: _Found, *, with_subject: bool) -> None:
    if found.lines:
        columns = (*(("subject",) if with_subject else ()), *words.LINE_COLUMNS)
        rows = [
            (
                *((words.relabel(one.subject, found.tenants),) if with_subject else ()),
                *words.line_row(one, found.stood.now),
            )
            for one in found.lines
        ]
        show_table(columns, rows, styles=[words.line_style(one) for one in found.lines])
    else:
        say("no limit, and nothing counted")
    for entry, on in found.open_entries:
        options = ", ".join(f"--{name}" for name in on if name in _OPTIONS)
        say(f"{entry} may bear on it as well, depending on {' and '.join(on)}" + (f": say {options}" if options else ""))
    if not found.stood.whole:
        say("reserved: of the oldest 10,000 reservations alone; there are more")


@app.command("set")
def set_(
    context: typer.Context,
    *,
    subject: SubjectText,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(KINDS))],
    amount: Annotated[str | None, typer.Argument(metavar="AMOUNT", help="Dollars as 12.50; 0 suspends.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Back to what is configured.")] = False,
    by: By = None,
    yes: Yes = False,
    unseen: Unseen = False,
    config: OnlyConfigOption = None,
    state: State = STATE,
) -> None:
    """Set a limit at run time, in place of the configured one. It counts on every worker within a second."""
    if unset == (amount is not None):
        complain("expected an AMOUNT, or --unset")
        raise typer.Exit(2)

    async def look(admin: Administration) -> _Ordered:
        of, which = arguments.subject(subject, admin.tenants, unseen=unseen), arguments.kind(kind)
        new = arguments.amount(amount, which) if amount is not None else None
        caller = arguments.caller(of, admin.tenants)
        before = _limit(admin, caller, of, which)
        source = words.sources(before, await admin.history()) if before else ""
        return _Ordered(of, words.label(of, admin.tenants), which, new, before, source)

    order = work(look, config, state)
    if unset and (order.before is None or order.before.rule.source != "override"):
        say(f"{order.label} {kind}: nothing is set at run time")
        return
    say(f"before: {_worded(order.before, order.kind, order.source)}")
    _confirm(f"Set {order.label} {kind} {amount}?" if not unset else f"Unset {order.label} {kind}?", yes=yes)

    async def change(admin: Administration) -> Limit | None:
        await admin.registry.change(order.subject, kind, order.amount, who(by))
        await admin.refresh()
        return _limit(admin, arguments.caller(order.subject, admin.tenants), order.subject, order.kind)

    after = work(change, config, state)
    source = f"set by {who(by)}" if not unset else after.rule.source if after is not None else ""
    say(f"after:  {_worded(after, order.kind, source)}")
    if order.amount == 0:
        say(f"{order.label} is suspended: its requests are refused with 403")
    if order.amount is not None and order.kind.measure is Measure.DOLLARS:
        _warn_of_unpriced(context.obj, chosen(config, state))


class Host(Protocol):
    """What the host tells of a configuration."""

    def catalogue(self, configuration: Path) -> Catalogue: ...


def _warn_of_unpriced(host: Host, configuration: Path) -> None:
    try:
        unpriced = host.catalogue(configuration).tariff.unpriced(time.time())
    except ConfigurationError:
        # The limit is set all the same; what is wrong there is told to whoever starts it.
        return
    if unpriced:
        complain(f"models without a price are refused under it: {', '.join(unpriced)}", prefix="warning: ")


class _Ordered(msgspec.Struct, frozen=True):
    """What is to be set, and what counts until then."""

    subject: Subject
    label: str
    kind: Kind
    amount: int | None
    before: Limit | None
    source: str


def _limit(admin: Administration, caller: Caller, of: Subject, kind: Kind) -> Limit | None:
    """The limit of this kind on the subject, as far as it is known without more of a caller."""
    found = [limit for limit in admin.limits(caller) if limit.subject == of and limit.rule.kind == kind]
    return found[0] if found else None


def _worded(limit: Limit | None, kind: Kind, source: str) -> str:
    amount = limit.rule.amount if limit is not None else None
    return words.with_unit(amount, kind.measure) + (f" ({source})" if source else "")


@app.command()
def reset(
    *,
    subject: SubjectText,
    kind: Annotated[list[str] | None, typer.Argument(metavar="KIND", help="Left out: all of them.")] = None,
    by: By = None,
    yes: Yes = False,
    config: OnlyConfigOption = None,
    state: State = STATE,
) -> None:
    """Set counters of a subject back to nothing. What is reserved in them now is not settled in them any more."""

    async def look(admin: Administration) -> tuple[Subject, str, list[str]]:
        of = arguments.subject(subject, admin.tenants)
        return of, words.label(of, admin.tenants), [arguments.kind(one).name for one in dict.fromkeys(kind or KINDS)]

    of, label, wanted = work(look, config, state)
    _confirm(f"Set {label} back to nothing: {words.kinds(wanted)}?", yes=yes)

    async def back(admin: Administration) -> int:
        return await admin.registry.reset(of, wanted, who(by))

    count = work(back, config, state)
    say(f"{label}: {count} counter{'' if count == 1 else 's'} set back to nothing")


@app.command()
@taking(config=named)
def top(
    *,
    tenant: Annotated[str, typer.Argument(metavar="TENANT|everyone", help="Of one tenant, or of all of them.")],
    by: Annotated[str, typer.Option("--by", metavar="KIND", help="What is compared.")] = "tokens_per_day",
    level: Annotated[str, typer.Option(help="user, app, model, …, user,model; tenant for tenants.")] = "user",
    most: Annotated[int, typer.Option("-n", "--most", min=1, max=10_000, help="How many.")] = 20,
    config: Path | None,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Show who has used most. Looks through all counters in small steps: exchanges are not held up."""

    async def find(admin: Administration) -> tuple[list[tables.Line], bool, Mapping[str, str]]:
        kind, levels = arguments.kind(by), arguments.levels(level)
        within = None if tenant == Level.EVERYONE else arguments.tenant(tenant, admin.tenants)
        now = await admin.survey.now("sg:{sg}:version")
        zone = admin.zone(now)
        largest = tables.Largest(kind, most, now=now, zone=zone)
        whole = await admin.survey.counters(levels, kind.counter, largest.offer, tenants=admin.tenants, within=within)
        lines = []
        for key, counter in largest.found():
            of = tables.subject_of(key)
            limit = _limit(admin, arguments.caller(of, admin.tenants), of, kind)
            lines.append(
                tables.line(of, kind, limit, counter, (), now=now, zone=zone, source=limit.rule.source if limit else "")
            )
        return lines, whole, admin.tenants

    lines, whole, tenants = work(find, config, state)
    if as_json:
        show_json({"lines": lines, "whole": whole})
        return
    measure = arguments.kind(by).measure
    rows = [
        (
            words.relabel(one.subject, tenants),
            words.shown(one.used, measure),
            "-" if one.limit is None else words.shown(one.limit, measure),
            words.percent(one.share),
        )
        for one in lines
    ]
    show_table(("subject", by, "limit", "share"), rows, styles=[words.line_style(one) for one in lines])
    if not whole:
        complain("there are more counters than were looked at", prefix="warning: ")


@app.command()
@taking(config=named)
def changes(
    *,
    most: Annotated[int, typer.Option("-n", "--most", min=1, max=100_000, help="How many.")] = 20,
    config: Path | None,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Show who set, unset and reset what, the newest first."""

    async def find(admin: Administration) -> tuple[list[Change], Mapping[str, str]]:
        return await admin.registry.changes(most), admin.tenants

    found, tenants = work(find, config, state)
    if as_json:
        show_json(found)
        return
    show_table(words.CHANGE_COLUMNS, [words.change_row(one, tenants) for one in found])


@app.command()
@taking(config=named)
def estimates(*, config: Path | None, state: State = STATE, as_json: Json = False) -> None:
    """Show what was learned of each model: input as estimated and as used, and how long answers usually are."""

    async def find(admin: Administration) -> list[tables.Model]:
        return tables.models(await admin.registry.learned())

    found = work(find, config, state)
    if as_json:
        show_json(found)
        return
    show_table(words.MODEL_COLUMNS, [words.model_row(one) for one in found])


def _confirm(question: str, *, yes: bool) -> None:
    """Ask who sits at a terminal; a script has said what it wants."""
    if not yes and sys.stdin.isatty():
        typer.confirm(harmless(question), abort=True)

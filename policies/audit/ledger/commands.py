"""`sluicegate ledger …`: who used what, what became of a request, and the tables themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from extproc.commands import STATE, State, named, taking, told
from extproc.printing import complain, say, show_json, show_table, show_text
from policies.audit.following.sink import SinkError
from policies.audit.ledger import arguments, words
from policies.audit.ledger.configured import read
from policies.audit.ledger.queries import By, Entry, Usage
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_reading import Reading, bring_up_to_date
from policies.audit.reconciling.command import reconcile

_T = TypeVar("_T")
Sink = Annotated[str | None, typer.Option("--sink", metavar="NAME", help="Which ledger, where there are several.")]
Json = Annotated[bool, typer.Option("--json", help="For programs; amounts of money are texts, in dollars.")]
Some = list[str] | None

app = typer.Typer(help="The ledger: who used what, and what became of a request.", no_args_is_help=True)


@app.command()
@taking(config=named)
def usage(
    *,
    by: Annotated[str, typer.Option("--by", metavar="NAME,…", help=", ".join(By))] = "tenant,model",
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="7d, 2026-11-01, last-month, …")] = "this-month",
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="Left out: now.")] = "",
    tenant: Annotated[Some, typer.Option(help="Only of this tenant; again for more. So with the others.")] = None,
    department: Annotated[Some, typer.Option()] = None,
    user: Annotated[Some, typer.Option()] = None,
    application: Annotated[Some, typer.Option("--app")] = None,
    model: Annotated[Some, typer.Option()] = None,
    decision: Annotated[Some, typer.Option(help="allow, reject, respond, none")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    as_json: Json = False,
    config: Path | None,
    state: State = STATE,
    sink: Sink = None,
) -> None:
    """Show who used what in a period (UTC): requests, tokens and dollars. What cost most comes first."""
    if as_csv and as_json:
        complain("expected --csv or --json, not both")
        raise typer.Exit(2)
    given = {
        By.TENANT: tenant,
        By.DEPARTMENT: department,
        By.USER: user,
        By.APP: application,
        By.MODEL: model,
        By.DECISION: decision,
    }
    with _told():
        question = arguments.question(by, since, until, given, datetime.now(UTC))
        rows = _reading(read(config, state, sink), lambda reading: reading.usage(question))
    if as_json:
        show_json([words.usage_document(row, question.by) for row in rows])
    elif as_csv:
        show_text(words.usage_csv(rows, question.by))
    else:
        _show_usage(rows, question.by)


def _show_usage(rows: list[Usage], by: tuple[By, ...]) -> None:
    rows = [row for row in rows if row.requests]
    if not rows:
        say("nothing in this period")
        return
    show_table((*by, *words.COLUMNS), [words.usage_row(row) for row in rows])
    unpriced = sum(row.unpriced for row in rows)
    if unpriced:
        complain(f"of {unpriced:,} exchanges the cost is not known, for their models have no price", prefix="warning: ")


@app.command()
@taking(config=named)
def show(
    *,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="The id of a request, exchange or reservation.")],
    as_json: Json = False,
    config: Path | None,
    state: State = STATE,
    sink: Sink = None,
) -> None:
    """Show all that is known of a request: who sent it, what was decided and why, how it ended, what it cost."""
    with _told():
        found = _reading(read(config, state, sink), lambda reading: reading.find(request))
    if as_json:
        show_json([words.entry_document(entry) for entry in found])
    else:
        _show_entries(found)
    if not found:
        complain("the ledger has no such request")
        raise typer.Exit(1)


def _show_entries(found: list[Entry]) -> None:
    for index, entry in enumerate(found):
        if index:
            say()
        say(words.headline(entry))
        show_table(("", ""), list(words.entry_lines(entry)))


app.command()(taking(config=named)(reconcile))


@app.command()
@taking(config=named)
def migrate(*, config: Path | None, state: State = STATE, sink: Sink = None) -> None:
    """Bring the tables up to date. The ledger does so itself when it starts."""
    with _told():
        before, after = bring_up_to_date(read(config, state, sink))
    say(f"the tables are of revision {after}" + ("" if before == after else f"; before: {before or 'none'}"))


def _told() -> AbstractContextManager[None]:
    """Exit status 2: typed wrongly; 1: the database does not answer."""
    return told("policies.audit", wrong=(arguments.ArgumentError,), failed=(SinkError,))


def _reading(settings: LedgerSettings, what: Callable[[Reading], _T]) -> _T:
    with Reading(settings) as reading:
        return what(reading)

"""`sluicegate cost …`: what was spent, what a request would cost, and whether an invoice agrees."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from extproc.commands import STATE, OnlyConfigOption, State, named, taking, told
from extproc.configured import chosen
from extproc.printing import complain, say, show_json, show_table, show_text
from extproc.spending import DIMENSIONS, Question, SpendingError
from policies.cost.reporting import documents, estimating, parquet, periods, reconciling, tables
from policies.cost.reporting.asking import Host, answers
from policies.cost.reporting.bills import Bill, BillError, bill, dimensions, filters, notes
from policies.cost.reporting.comparing import ToleranceError
from policies.cost.reporting.estimates import EstimateError
from policies.cost.reporting.invoices import InvoiceError
from policies.cost.reporting.page import PLOTS, page

Some = list[str] | None
Csv = Annotated[bool, typer.Option("--csv", help="For spreadsheets.")]
Json = Annotated[bool, typer.Option("--json", help="For programs; amounts of money are texts, in dollars.")]
_WRONG = (BillError, EstimateError, InvoiceError, ToleranceError, periods.PeriodError)
_LOGGER = "policies.audit"

app = typer.Typer(help="Spending: who spent what, what a request would cost, and invoices.", no_args_is_help=True)


@app.command()
@taking(config=named)
def report(
    *,
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", metavar="NAME,…", help=", ".join(DIMENSIONS))] = "tenant,model",
    period: Annotated[str, typer.Option(metavar="PERIOD", help=f"UTC: {periods.EXPECTED}. Left out: this-month.")] = "",
    since: Annotated[str, typer.Option("--from", metavar="DAY", help="In place of --period; likewise.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="DAY", help="Included. Left out: now.")] = "",
    tenant: Annotated[Some, typer.Option(help="Only of this tenant; again for more. So with the others.")] = None,
    department: Annotated[Some, typer.Option()] = None,
    user: Annotated[Some, typer.Option()] = None,
    application: Annotated[Some, typer.Option("--app")] = None,
    model: Annotated[Some, typer.Option()] = None,
    as_csv: Csv = False,
    as_json: Json = False,
    as_parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write a file of Parquet.")] = None,
    as_page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots: one file, for any browser.")
    ] = None,
    config: Path | None,
    state: State = STATE,
) -> None:
    """Show who spent what in a period. What cost most comes first; days and months stand in their order."""
    given = {"tenant": tenant, "department": department, "user": user, "app": application, "model": model}
    with told(_LOGGER, wrong=_WRONG, failed=(SpendingError,)):
        if as_csv + as_json + (as_parquet is not None) + (as_page is not None) > 1:
            raise BillError("expected one of --csv, --json, --parquet and --html")
        start, end = _period(period, since, until)
        question = Question(dimensions(by), start, end, filters(given))
        path = chosen(config, state)
        plots = tuple(PLOTS) if as_page is not None else ()
        questions = [Question((one,), start, end, question.filters) for one in plots]
        host: Host = context.obj
        first, *others = answers(host, path, question, *questions, state=state)
        found = bill(question, first)
        if as_page is not None:
            plotted = dict(zip(plots, others, strict=True))
            as_page.write_text(page(found, plotted, datetime.now(UTC)), "utf-8")
        elif as_parquet is not None:
            parquet.write(found, as_parquet)
    if as_json:
        show_json(documents.document(found))
    elif as_csv:
        show_text(documents.sheet(found))
    elif as_page is None and as_parquet is None:
        _show(found)
    for note in notes(found.total):
        complain(note, prefix="warning: ")


def _period(period: str, since: str, until: str) -> periods.Period:
    now = datetime.now(UTC)
    if since:
        if period:
            raise BillError("expected --period, or --from and --to, not both")
        return periods.between(since, until, now)
    if until:
        raise BillError("--to needs --from")
    return periods.period(period or "this-month", now)


def _show(found: Bill) -> None:
    say(periods.told(found.start, found.end))
    if not found.rows:
        say("nothing was spent")
        return
    show_table(*tables.aligned(tables.columns(found), tables.lines(found), len(found.by)))


@app.command()
def estimate(
    *,
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="Left out: that of the body.")] = "",
    input_tokens: Annotated[int | None, typer.Option("--input-tokens", min=0, metavar="N", help="All of them.")] = None,
    output_tokens: Annotated[int | None, typer.Option("--output-tokens", min=0, metavar="N")] = None,
    cached: Annotated[int, typer.Option(min=0, metavar="N", help="Of the input, so many from the provider's cache.")] = 0,
    request: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A body of JSON: what it costs at most, and usually.")
    ] = None,
    tenant: Annotated[
        str, typer.Option(metavar="TENANT", help="For prices by contract: its name or id, as the contract has it.")
    ] = "",
    upstream: Annotated[str, typer.Option(metavar="NAME", help="Left out: the first that serves the model.")] = "",
    tier: Annotated[str, typer.Option(metavar="TIER", help="batch, flex or priority.")] = "",
    at: Annotated[str, typer.Option("--at", metavar="DAY", help="By the prices of this day. Left out: of today.")] = "",
    as_json: Json = False,
    config: OnlyConfigOption = None,
    state: State = STATE,
) -> None:
    """Show what a request costs, by the prices of the configuration: contracts, its own, the list."""
    with told(_LOGGER, wrong=_WRONG, failed=(SpendingError,)):
        now = datetime.now(UTC)
        moment = periods.period(at, now, option="--at")[0] if at else now
        wanted = estimating.Wanted(chosen(config, state), state, model, tenant, upstream, tier, moment, now)
        host: Host = context.obj
        if request is not None:
            if input_tokens is not None or output_tokens is not None or cached:
                raise EstimateError("expected --request, or numbers of tokens, not both")
            estimating.of_body(host, wanted, request, as_json=as_json)
        else:
            estimating.of_tokens(host, wanted, (input_tokens, output_tokens, cached), as_json=as_json)


@app.command()
@taking(config=named)
def reconcile(
    *,
    context: typer.Context,
    invoice: Annotated[Path, typer.Argument(metavar="INVOICE", help="CSV: costs or usage of OpenAI, costs of Azure.")],
    upstream: Annotated[
        Some, typer.Option(metavar="NAME", help="Whose invoice it is; again for more. Left out: all of its provider.")
    ] = None,
    tolerance: Annotated[str, typer.Option(metavar="SHARE|DOLLARS", help="Such as 1% or 0.05.")] = "1%",
    alias: Annotated[
        Some, typer.Option("--model", metavar="NAME=MODEL", help="A model of the invoice, as the record calls it.")
    ] = None,
    rate: Annotated[str, typer.Option(metavar="DOLLARS", help="For one of the invoice's currency.")] = "",
    as_csv: Csv = False,
    as_json: Json = False,
    config: Path | None,
    state: State = STATE,
) -> None:
    """Compare an invoice with the record: by model and day, with the likely reason of every difference.

    Exit status 1 where something differs by more than --tolerance.
    """
    with told(_LOGGER, wrong=_WRONG, failed=(SpendingError,)):
        if as_csv and as_json:
            raise BillError("expected --csv or --json, not both")
        terms = reconciling.Terms.typed(upstream or (), tolerance, alias or (), rate)
        found = reconciling.compare(context.obj, chosen(config, state), state, invoice, terms)
    reconciling.show(*found, as_csv=as_csv, as_json=as_json)
    if any(row.over for row in found[1]):
        raise typer.Exit(1)

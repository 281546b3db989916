"""`sluicegate cost reconcile`: an invoice beside the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec

from extproc.printing import complain, say, show_json, show_table, show_text
from extproc.spending import Question
from policies.cost.reporting import reconciliations, tables
from policies.cost.reporting.asking import Host, answers
from policies.cost.reporting.bills import BillError
from policies.cost.reporting.comparing import Row, Tolerance, compared, tolerance
from policies.cost.reporting.invoices import Invoice, decimal, model_name
from policies.cost.reporting.reading import read


class Terms(msgspec.Struct, frozen=True):
    """How both are compared: which upstreams, how exactly, and what models are called. `rate`: dollars for one of the
    invoice's currency."""

    upstreams: tuple[str, ...]
    tolerance: Tolerance
    alias: dict[str, str]
    rate: Decimal | None

    @classmethod
    def typed(cls, upstreams: Sequence[str], share: str, alias: Sequence[str], rate: str) -> Terms:
        """From what was typed.

        Raises:
            BillError, ToleranceError: it cannot be meant.
        """
        names: dict[str, str] = {}
        for one in alias:
            name, separator, model = one.partition("=")
            if not (separator and name.strip() and model.strip()):
                raise BillError(f"--model {one}: expected NAME=MODEL: as on the invoice, and as on record")
            names[model_name(name)] = model_name(model)
        try:
            dollars = decimal(rate) if rate else None
        except ValueError:
            dollars = Decimal(0)
        if dollars is not None and dollars <= 0:
            raise BillError(f"--rate {rate}: expected dollars for one of the invoice's currency, such as 1.08")
        return cls(tuple(upstreams), tolerance(share), names, dollars)


def compare(host: Host, configuration: Path, state: Path, invoice: Path, terms: Terms) -> tuple[Invoice, list[Row]]:
    """The invoice, and its comparison with the record of the days that it has. `state`: as `answers` has it.

    Raises:
        ConfigurationError, SpendingError: the record cannot be asked.
        BillError: it is of no upstream.
        InvoiceError: the invoice is not to be understood.
        OSError: it cannot be read.
    """
    found = read(invoice, rate=terms.rate, alias=terms.alias)
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in found.days)
    known = host.catalogue(configuration).upstreams
    names = terms.upstreams or tuple(one.name for one in known if one.provider.value == found.provider)
    strange = sorted(set(names) - {one.name for one in known})
    if strange:
        raise BillError(f"--upstream {strange[0]}: expected one of {', '.join(one.name for one in known)}")
    if not names:
        raise BillError(f"no upstream of the configuration is of provider {found.provider}: say --upstream")
    question = Question(("day", "response_model"), first, last + timedelta(days=1), {"upstream": names})
    return found, compared(found, answers(host, configuration, question, state=state)[0], terms.tolerance)


def show(invoice: Invoice, rows: list[Row], *, as_csv: bool, as_json: bool) -> None:
    """Tell what was found."""
    if as_json:
        show_json(reconciliations.document(invoice, rows))
        return
    if as_csv:
        show_text(reconciliations.sheet(rows))
        return
    first, last = invoice.days
    over = sum(row.over for row in rows)
    say(f"{invoice.form}, {first} to {last}: what the invoice has more than the record")
    heading, lines = tables.aligned(reconciliations.HEADING[:-1], [line[:-1] for line in reconciliations.lines(rows)], 2)
    whys = [line[-1] for line in reconciliations.lines(rows)]
    show_table((*heading, reconciliations.HEADING[-1]), [(*line, why) for line, why in zip(lines, whys, strict=True)])
    for one in reconciliations.aside(invoice):
        complain(one, prefix="note: ")
    say(f"{over:,} of {len(rows):,} differ by more than is tolerated" if over else "all agree within the tolerance")

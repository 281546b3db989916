"""Which export a file is, and its invoice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from extproc.printing import harmless
from policies.cost.reporting import azure_invoices, openai_invoices
from policies.cost.reporting.invoice_files import Row, Sheet
from policies.cost.reporting.invoices import Invoice, InvoiceError, Line, collected

_Reader: TypeAlias = Callable[[Row, Decimal | None], Iterator[Line | tuple[str, int]]]
_SHOWN: Final = 12


class _Form(msgspec.Struct, frozen=True):
    """An export that is understood: whose it is, and the columns that it must have."""

    provider: str
    name: str
    columns: tuple[str, ...]
    read: _Reader


_FORMS: Final = (
    _Form("openai", "costs of OpenAI", openai_invoices.COSTS, openai_invoices.costs),
    _Form("openai", "usage of OpenAI", openai_invoices.USAGE, openai_invoices.usage),
    _Form("azure", "cost and usage details of Azure", azure_invoices.DETAILS, azure_invoices.details),
    _Form("azure", "FOCUS of Azure", azure_invoices.FOCUS, azure_invoices.focus),
)


def read(path: Path, *, rate: Decimal | None = None, alias: Mapping[str, str] | None = None) -> Invoice:
    """The invoice in a file.

    Args:
        rate: dollars for one of its currency.
        alias: by the name of a model on the invoice, what it is called on record.

    Raises:
        InvoiceError: it is not to be understood.
        OSError: it cannot be read.
    """
    with Sheet(path) as sheet:
        form = _form(sheet)
        return collected(form.provider, form.name, _lines(sheet, form, rate), alias or {})


def _form(sheet: Sheet) -> _Form:
    missing = {form.name: [name for name in form.columns if name not in sheet.columns] for form in _FORMS}
    found = next((form for form in _FORMS if not missing[form.name]), None)
    if found is not None:
        return found
    nearest = min(_FORMS, key=lambda form: len(missing[form.name]) / len(form.columns))
    absent = missing[nearest.name]
    there = ", ".join(harmless(name)[:40] for name in list(sheet.columns)[:_SHOWN])
    if len(absent) == len(nearest.columns):
        raise InvoiceError(f"{sheet.path}: no export that is known here: its columns are {there}")
    raise InvoiceError(
        f"{sheet.path}: for {nearest.name} there is no column {', '.join(absent)}; its columns are {there}"
    )


def _lines(sheet: Sheet, form: _Form, rate: Decimal | None) -> Iterator[Line | tuple[str, int]]:
    for row in sheet.rows():
        try:
            yield from form.read(row, rate)
        except ValueError as error:
            raise InvoiceError(f"{sheet.path}:{row.line}: {harmless(str(error))}") from None

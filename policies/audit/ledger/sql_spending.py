"""What was spent, in SQL: the question of `extproc.spending`, for which `sql_queries` does most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal_column

from extproc.spending import Question, SpendingError, Spent
from policies.audit.following.sink import SinkError
from policies.audit.ledger import queries
from policies.audit.ledger.queries import By
from policies.audit.ledger.rows import TOKENS
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_queries import usage_statement
from policies.audit.ledger.sql_reading import Reading
from policies.audit.ledger.sql_tables import USAGE

_ROW: Final = USAGE.c
_BESIDE: Final[Mapping[str, ColumnElement[str]]] = {
    "agent": case((_ROW.operation == "agent", _ROW.route), else_=""),
    "response_model": case((_ROW.response_model != "", _ROW.response_model), else_=_ROW.model),
    "price": _ROW.price,
}
"""What usage is not told apart by elsewhere."""
_KINDS: Final = tuple(name for name in TOKENS if name not in ("total", "weighted"))
_GUESSED: Final = ("estimate", "chunks")
"""Where figures come from that the provider has not told (`extproc.actuals.Basis`)."""


def spending_statement(question: Question, dialect: str) -> Select[Any]:
    """That of usage, with what it does not tell: dimensions of one's own, `priced` and `estimated`.

    Raises:
        SpendingError: something is asked by that the ledger does not know.
    """
    strange = sorted({*question.by, *question.filters} - {*By, *_BESIDE})
    if strange:
        raise SpendingError(f"the ledger does not tell spending apart by {', '.join(strange)}")
    filters = {By(name): values for name, values in question.filters.items() if name not in _BESIDE}
    known = tuple(By(name) for name in question.by if name not in _BESIDE)
    statement = usage_statement(queries.Question(known, question.start, question.end, filters), dialect)
    for name, values in question.filters.items():
        if name in _BESIDE:
            statement = statement.where(_BESIDE[name].in_(values))
    for name in question.by:
        if name in _BESIDE:
            statement = statement.add_columns(_BESIDE[name].label(f"by_{name}")).group_by(literal_column(f"by_{name}"))
            statement = statement.order_by(literal_column(f"by_{name}"))
    guessed = case((_ROW.basis.in_(_GUESSED), 1))
    return statement.add_columns(func.count(_ROW.cost_micro).label("priced"), func.count(guessed).label("estimated"))


def spending(connection: Connection, question: Question) -> list[Spent]:
    """What was spent: each combination of what is asked by once, without those of no exchange."""
    found = connection.execute(spending_statement(question, connection.dialect.name)).mappings()
    return [_spent(row, question.by) for row in found if row["sum_requests"]]


def _spent(row: Mapping[Any, Any], by: tuple[str, ...]) -> Spent:
    # PostgreSQL sums whole numbers into decimals without a fraction.
    unknown = row["sum_unpriced"] and not row["priced"]
    return Spent(
        by={name: row[f"by_{name}"] for name in by},
        requests=int(row["sum_requests"]),
        refused=int(row["sum_refused"]),
        open=int(row["sum_open"]),
        tokens={name: int(row[f"sum_{name}"]) for name in _KINDS},
        dollars=None if unknown else int(row["sum_cost"]),
        unpriced=int(row["sum_unpriced"]),
        estimated=int(row["estimated"]),
    )


class SpendingReading(Reading):
    """The ledger, for who asks what was spent."""

    def spent(self, question: Question) -> list[Spent]:
        """What was spent."""
        return self._ask(lambda connection: spending(connection, question))


def read(settings: LedgerSettings, question: Question) -> list[Spent]:
    """What the ledger has of it.

    Raises:
        SpendingError: it does not answer, or does not understand.
    """
    try:
        reading = SpendingReading(settings)
        with reading:
            return reading.spent(question)
    except SinkError as error:
        raise SpendingError(str(error)) from None

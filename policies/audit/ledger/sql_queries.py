"""The questions of `policies.audit.ledger.queries`, in SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, or_, select

from policies.audit.ledger.queries import Amount, By, Entry, Question, Usage, entry
from policies.audit.ledger.rows import TOKENS, cleaned, dollars
from policies.audit.ledger.sql_tables import USAGE

_ROW: Final = USAGE.c
_PLAIN: Final[dict[By, ColumnElement[str]]] = {
    By.TENANT: case((_ROW.tenant != "", _ROW.tenant), else_=_ROW.tenant_id),
    By.DEPARTMENT: _ROW.department,
    By.COST_CENTRE: _ROW.cost_centre,
    By.USER: _ROW.user_id,
    By.APP: _ROW.app_id,
    By.MODEL: _ROW.model,
    By.UPSTREAM: _ROW.upstream,
    By.SESSION: _ROW.session_id,
    By.DECISION: _ROW.decision,
}
_AT_ONCE: Final = 5_000
_LENGTHS: Final = {By.DAY: 10, By.MONTH: 7}
"""Characters of a date as ISO 8601 has it."""
_SUMS: Final = ("requests", "refused", "open", "unpriced", *TOKENS)
_WHOLE: Final = _ROW.part_of.is_(None)
"""Not a part of another exchange (`policies.audit.ledger.merging`)."""


def usage_statement(question: Question, dialect: str) -> Select[Any]:
    """Its columns: what is asked by, then the sums, as in `Usage`. What costs most comes first; days in their order."""
    groups: list[ColumnElement[Any]] = [_dimension(by, dialect).label(f"by_{by}") for by in question.by]
    sums: dict[str, ColumnElement[int]] = {
        "requests": func.count(),
        "refused": _count(_ROW.decision == "reject"),
        "open": _count(~_ROW.closed),
        "unpriced": _count(and_(_ROW.cost_micro.is_(None), _ROW.total > 0)),
        **{name: _sum(_ROW[name]) for name in TOKENS},
        "cost": _sum(_ROW.cost_micro),
    }
    wanted = [_ROW.at >= question.since, _ROW.at < question.until, _WHOLE]
    wanted += [_dimension(by, dialect).in_(values) for by, values in question.filters.items()]
    names: list[ColumnElement[Any]] = [literal_column(f"by_{by}") for by in question.by]
    times = [name for name, by in zip(names, question.by, strict=True) if by in _LENGTHS]
    order = [*times, literal_column("sum_cost").desc(), literal_column("sum_requests").desc(), *names]
    columns: list[ColumnElement[Any]] = [*groups, *(value.label(f"sum_{name}") for name, value in sums.items())]
    return select(*columns).where(*wanted).group_by(*names).order_by(*order)


def _dimension(by: By, dialect: str) -> ColumnElement[str]:
    if by in _PLAIN:
        return _PLAIN[by]
    length = _LENGTHS[by]
    if dialect == "postgresql":
        return func.to_char(func.timezone("UTC", _ROW.at), "YYYY-MM-DD"[:length])
    return func.substr(_ROW.at, 1, length, type_=USAGE.c.model.type)


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def usage(connection: Connection, question: Question) -> list[Usage]:
    """Who used what: one row for each combination of what is asked by; one in all where it is by nothing."""
    found = connection.execute(usage_statement(question, connection.dialect.name))
    groups = len(question.by)
    rows = []
    for row in found:
        # PostgreSQL sums whole numbers into decimals without a fraction.
        told = {name: int(row._mapping[f"sum_{name}"]) for name in _SUMS}
        rows.append(Usage(tuple(row[:groups]), **told, cost=dollars(int(row.sum_cost))))
    return rows


def amounts(connection: Connection, since: datetime, until: datetime) -> Iterator[Amount]:
    """What every exchange of a period used, one after the other."""
    columns = _ROW.exchange_id, _ROW.at, _ROW.closed, _ROW.requests, _ROW.weighted, _ROW.cost_micro
    wanted = select(*columns).where(_ROW.at >= since, _ROW.at < until, _WHOLE)
    for row in connection.execute(wanted.execution_options(yield_per=_AT_ONCE)):
        yield Amount(row[0], row[1], row[2], row[3], row[4], row[5] or 0)


def find(connection: Connection, *, request_id: str = "", exchange_id: str = "", reservation_id: str = "") -> list[Entry]:
    """Exchanges with any of these ids, in the order of their decisions. An id that is empty is not looked for.

    The id of a closing that came under another exchange's id finds the exchange that it belongs to.
    """
    wanted: list[ColumnElement[bool]] = []
    if request_id:
        wanted.append(_ROW.request_id == cleaned(request_id))
    if reservation_id:
        # The second says to the database that its index on reservations will do.
        wanted.append(and_(_ROW.reservation_id == cleaned(reservation_id), _ROW.reservation_id != literal_column("''")))
    if exchange_id:
        one = cleaned(exchange_id)
        whole = select(_ROW.part_of).where(_ROW.exchange_id == one).scalar_subquery()
        wanted += [_ROW.exchange_id == one, _ROW.exchange_id == whole]
    if not wanted:
        return []
    found = connection.execute(select(USAGE).where(or_(*wanted), _WHOLE).order_by(_ROW.at, _ROW.exchange_id))
    return [entry(dict(row)) for row in found.mappings()]

"""How rows are stored: inserted, or merged half by half into those that are there (`policies.audit.ledger.merging`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from policies.audit.ledger.merging import adopt, is_stray
from policies.audit.ledger.rows import CLOSING, COLUMNS, DECISION, EVENT_COLUMNS, UNDECIDED, Row
from policies.audit.ledger.sql_tables import EVENTS, USAGE

_LOCK: Final = 0x534C_5543_4544_4752
_MOST_IN: Final = 500
"""Values in one IN of SQLite."""
_STORED: Final = (*COLUMNS, "part_of")
"""Names of the columns: those that SQLAlchemy gives with a row are no plain text, and so no names of JSON."""
_HALVES: Final = (("decision_key", DECISION), ("closing_key", CLOSING))


def _given(table: Table, columns: Sequence[str]) -> Select[Any]:
    """Rows from one parameter, a JSON array of objects. To write an array for each column takes several times as long."""
    typed = [column(name, table.c[name].type) for name in columns]
    rows = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(*typed)
    given = rows.render_derived(name="given", with_types=True)
    return select(*(given.c[name] for name in columns))


def _merging(statement: Any) -> Any:
    """The insertion `statement`, with the better half where there is a row."""
    changes: dict[str, ColumnElement[Any]] = {}
    better = []
    for key, columns in _HALVES:
        wins = statement.excluded[key] < USAGE.c[key]
        better.append(wins)
        for name in columns:
            changes[name] = case((wins, statement.excluded[name]), else_=USAGE.c[name])
    return statement.on_conflict_do_update(index_elements=["exchange_id"], set_=changes, where=or_(*better))


_USAGE: Final[Mapping[str, Insert]] = {
    "postgresql": _merging(postgresql.insert(USAGE).from_select(list(COLUMNS), _given(USAGE, COLUMNS))),
    "sqlite": _merging(sqlite.insert(USAGE).values({name: bindparam(name) for name in COLUMNS})),
}
# The id of an event is that of its record: what is there already is the same.
_EVENTS: Final[Mapping[str, Insert]] = {
    "postgresql": postgresql.insert(EVENTS)
    .from_select(list(EVENT_COLUMNS), _given(EVENTS, EVENT_COLUMNS))
    .on_conflict_do_nothing(),
    "sqlite": sqlite.insert(EVENTS).values({name: bindparam(name) for name in EVENT_COLUMNS}).on_conflict_do_nothing(),
}
_PART_OF: Final = update(USAGE).where(USAGE.c.exchange_id == bindparam("stray")).values(part_of=bindparam("whole"))


def store(connection: Connection, usage: Sequence[Row], events: Sequence[Row]) -> None:
    """Store these rows in the transaction of `connection`.

    Args:
        usage: one for each exchange, in the order of their ids.
        events: the same record may stand there twice.
    """
    if usage:
        _take_turns(connection, alone=any(row["decision"] == UNDECIDED for row in usage))
        _put(connection, _USAGE, COLUMNS, usage)
        _join(connection, sorted({row["request_id"] for row in usage if row["request_id"]}))
    if events:
        _put(connection, _EVENTS, EVENT_COLUMNS, events)


def _take_turns(connection: Connection, *, alone: bool) -> None:
    """See to it that of a stray and the exchange that it belongs to, the one that comes later sees the other.

    Rows of others are seen when they are committed. Who brings a stray waits until no other transaction is under way;
    all others go side by side. (Those of SQLite always go one after another.)
    """
    if connection.dialect.name == "postgresql":
        function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        connection.execute(text(f"SELECT {function}(:key)"), {"key": _LOCK})


def _put(connection: Connection, statements: Mapping[str, Insert], columns: Sequence[str], rows: Sequence[Row]) -> None:
    statement: Executable = statements[connection.dialect.name]
    if connection.dialect.name == "postgresql":
        connection.execute(statement, {"rows": orjson.dumps(rows).decode()})
    else:
        connection.execute(statement, [{name: row[name] for name in columns} for row in rows])


def _join(connection: Connection, requests: Sequence[str]) -> None:
    """Find strays among the rows of these requests, and give their ends to the exchanges they belong to."""
    # Written out, not as a parameter: the index on strays is of rows for which this holds.
    undecided = USAGE.c.decision == literal_column(f"'{UNDECIDED}'")
    strays = [row for row in _rows_of(connection, requests, and_(undecided, USAGE.c.closed)) if is_stray(row)]
    if not strays:
        return
    decided = _rows_of(connection, sorted({row["request_id"] for row in strays}), USAGE.c.decision != UNDECIDED)
    changed, part_of = adopt(decided, strays)
    if changed:
        _put(connection, _USAGE, COLUMNS, sorted(changed, key=lambda row: str(row["exchange_id"])))
    known = {row["exchange_id"]: row["part_of"] for row in strays}
    moved = [{"stray": one, "whole": whole} for one, whole in sorted(part_of.items()) if whole != known[one]]
    if moved:
        connection.execute(_PART_OF, moved)


def _rows_of(connection: Connection, requests: Sequence[str], also: ColumnElement[bool]) -> list[Row]:
    """The rows of requests for which `also` holds."""
    if connection.dialect.name == "postgresql":
        wanted = USAGE.c.request_id == any_(
            cast(bindparam("requests", type_=ARRAY(USAGE.c.request_id.type)), ARRAY(USAGE.c.request_id.type))
        )
        found = connection.execute(select(USAGE).where(wanted, also), {"requests": list(requests)})
        return [dict(zip(_STORED, row, strict=True)) for row in found]
    rows: list[Row] = []
    for first in range(0, len(requests), _MOST_IN):
        some = requests[first : first + _MOST_IN]
        found = connection.execute(select(USAGE).where(USAGE.c.request_id.in_(some), also))
        rows += [dict(zip(_STORED, row, strict=True)) for row in found]
    return rows

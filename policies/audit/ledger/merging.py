"""How what several records tell of one exchange becomes one row. Pure.

Of each half the one with the smallest key stands, whole: rows can come in any order, again, and in batches of any size,
and the result is the same. The same rule is in SQL where a row is stored already (`sql_upserts`).

A verdict can be lost on its way to Envoy. The exchange was decided then, and its end comes under an id of its own, with
the decision `none`: its request id tells to which exchange it belongs. Such a row, a *stray*, is kept, so that the order
does not matter here either, and names in `part_of` the exchange that took its closing half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policies.audit.ledger.rows import ADOPTED, CLOSING, DECISION, UNDECIDED, Row, is_real_closing


def merge(one: Row, other: Row) -> Row:
    """What two rows of one exchange tell together."""
    merged = dict(one)
    for key, columns in (("decision_key", DECISION), ("closing_key", CLOSING)):
        if other[key] < one[key]:
            merged.update({column: other[column] for column in columns})
    return merged


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each exchange, in the order of their ids: all writers lock rows in the same order."""
    found: dict[str, Row] = {}
    for row in rows:
        known = found.get(row["exchange_id"])
        found[row["exchange_id"]] = row if known is None else merge(known, row)
    return [found[exchange] for exchange in sorted(found)]


def is_stray(row: Row) -> bool:
    """Whether it may be the end of another exchange."""
    return row["decision"] == UNDECIDED and bool(row["request_id"]) and is_real_closing(row)


def adopt(decided: Iterable[Row], strays: Sequence[Row]) -> tuple[list[Row], dict[str, str | None]]:
    """The end of exchanges whose verdict did not arrive.

    Args:
        decided: rows with a decision that have the request id of a stray.
        strays: rows for which `is_stray` holds.

    Returns:
        Those of the decided that have got another closing half, and for each stray the exchange of which it is part; None
        where it stands for itself.
    """
    by_request: dict[str, list[Row]] = {}
    for stray in strays:
        by_request.setdefault(stray["request_id"], []).append(stray)
    changed = []
    part_of: dict[str, str | None] = {stray["exchange_id"]: None for stray in strays}
    for row in sorted(decided, key=lambda row: str(row["exchange_id"]), reverse=True):
        candidates = by_request[row["request_id"]]
        best = min(candidates, key=lambda stray: str(stray["closing_key"]))
        key = ADOPTED + best["closing_key"]
        if key < row["closing_key"]:
            changed.append({**row, **{column: best[column] for column in CLOSING}, "closing_key": key})
        if key <= row["closing_key"]:
            # Of several the smallest id, which comes last.
            part_of[best["exchange_id"]] = row["exchange_id"]
    return changed, part_of

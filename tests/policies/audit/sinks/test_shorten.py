"""Records that are too long."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Closed, Record
from policies.audit.sinks.shorten import KEPT, LEAST_FIRST, MARK, plain, shortened
from tests.policies.audit.sinks.made import full, made, records


def test_every_member_of_a_record_has_its_place() -> None:
    assert sorted([*KEPT, *LEAST_FIRST]) == sorted([*Record.__struct_encode_fields__, "hash"])
    assert MARK not in Record.__struct_encode_fields__


def test_what_fits_is_left_alone() -> None:
    closed = full()
    assert shortened(closed.line, len(closed.line)) == (plain(orjson.loads(closed.line)), ())


@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"params": {"messages": "x" * 3_000}}, ("params",)),
        ({"why": "x" * 3_000, "details": "y" * 3_000}, ("params", "before", "after", "decisions", "details", "why")),
        ({"before": "x" * 3_000, "after": "y"}, ("params", "before")),
    ],
)
def test_the_least_important_goes_first(fields: dict[str, Any], gone: tuple[str, ...]) -> None:
    closed = full(**fields)
    text, named = shortened(closed.line, 3_000)
    whole, cut = orjson.loads(closed.line), orjson.loads(text)
    assert named == gone
    assert cut.pop(MARK) == list(gone)
    assert cut == {name: value for name, value in whole.items() if name not in gone}


def test_many_are_not_all_named() -> None:
    text, named = shortened(full(user_id="u" * 10_000).line, 900)
    assert named == (*LEAST_FIRST[:8], "…")
    assert "user_id" not in orjson.loads(text)


def test_a_member_of_a_newer_schema_goes_before_those_that_are_known() -> None:
    members = orjson.loads(full().line) | {"unheard_of": "x" * 5_000}
    text, named = shortened(orjson.dumps(members), 4_000)
    assert named == ("unheard_of",)
    assert "params" in orjson.loads(text)


def test_even_what_is_kept_is_cut_where_nothing_else_is_left() -> None:
    closed = made(journal="j" * 5_000)
    text, _ = shortened(closed.line, 800)
    cut = orjson.loads(text)
    assert len(text) <= 800
    assert cut["hash"] == closed.hash
    assert closed.record.journal.startswith(cut["journal"])


@given(records, st.integers(800, 3_000))
def test_whatever_it_is_it_fits(closed: Closed, most: int) -> None:
    text, gone = shortened(closed.line, most)
    whole, cut = orjson.loads(closed.line), orjson.loads(text)
    assert len(text) <= most
    assert (cut["hash"], cut["sequence"], cut["timestamp"]) == (whole["hash"], whole["sequence"], whole["timestamp"])
    assert bool(gone) == (MARK in cut) == (len(closed.line) > most)

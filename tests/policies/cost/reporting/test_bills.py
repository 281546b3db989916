from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.spending import DIMENSIONS, Question, Spent
from policies.cost.reporting.bills import BillError, bill, dimensions, filters, grouped, notes, total
from tests.policies.cost.reporting.spendings import END, START, row, spent

ALL = ("tenant", "model", "day")


def figures(one: Spent) -> object:
    return (one.requests, one.refused, one.open, one.unpriced, one.estimated, one.tokens, one.dollars)


@given(spent(), st.lists(st.sampled_from(ALL), unique=True))
def test_the_sum_of_any_grouping_is_the_total(rows: list[Spent], by: list[str]) -> None:
    groups = grouped(rows, by)
    assert figures(total(groups)) == figures(total(rows))
    assert len({tuple(one.by.values()) for one in groups}) == len(groups)


@given(spent(), st.permutations(ALL))
def test_the_order_does_not_matter(rows: list[Spent], by: list[str]) -> None:
    assert figures(total(reversed(rows))) == figures(total(rows))
    once = {tuple(sorted(one.by.items())): figures(one) for one in grouped(rows, by)}
    twice = {tuple(sorted(one.by.items())): figures(one) for one in grouped(grouped(rows[::-1], by), by)}
    assert once == twice


@given(spent())
def test_a_total_is_exact(rows: list[Spent]) -> None:
    known = [one.dollars for one in rows if one.dollars is not None]
    assert total(rows).dollars == (sum(known) if known or not rows else None)
    assert total(rows).requests == sum(one.requests for one in rows)


def test_what_is_asked_by() -> None:
    assert dimensions("tenant, cost-centre,user") == ("tenant", "cost_centre", "user")
    assert dimensions(" ") == ()
    assert dimensions(",".join(DIMENSIONS)) == DIMENSIONS
    with pytest.raises(BillError, match=r"--by 'tenent': expected some of tenant, .* \(did you mean 'tenant'\?\)"):
        dimensions("tenent")
    with pytest.raises(BillError, match="stands there twice"):
        dimensions("user,user")
    with pytest.raises(BillError, match="--by ''"):
        dimensions("user,")


def test_only_what_was_given_filters() -> None:
    assert filters({"user": ["a", "b"], "model": None, "app": []}) == {"user": ("a", "b")}


def test_a_bill() -> None:
    question = Question(("tenant",), START, END)
    rows = [row({"tenant": "a"}, 3, reasoning=2), row({"tenant": "b"}, None, unpriced=1)]
    found = bill(question, iter(rows))
    assert (found.by, found.start, found.end, list(found.rows)) == (("tenant",), START, END, rows)
    assert (found.total.dollars, found.total.unpriced) == (3, 1)
    assert found.kinds == ("input", "output", "reasoning")
    assert bill(question, ()).total.dollars == 0


def test_what_a_reader_must_know() -> None:
    assert notes(row({}, 1)) == []
    told = " ".join(notes(row({}, 1, unpriced=1_000, estimated=2, open=3)))
    assert "the cost of 1,000 requests is not known" in told
    assert "2 requests are charged at an estimate" in told
    assert "3 requests have not ended" in told

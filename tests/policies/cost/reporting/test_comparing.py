from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.spending import Spent
from policies.cost.reporting.comparing import (
    CHEAPER,
    EVERY,
    NOT_SEEN,
    Row,
    Tolerance,
    ToleranceError,
    compared,
    tolerance,
)
from policies.cost.reporting.invoices import Billed, Invoice
from tests.policies.cost.reporting.spendings import row

MICRO = 10**18
NONE = Tolerance()


def ours(dollars: int | None, day: str = "2026-11-02", model: str = "gpt-5-2025-08-07", **more: int) -> Spent:
    return row({"day": day, "response_model": model}, dollars, **{"requests": 2} | more)


def theirs(dollars: int | None, **more: object) -> Billed:
    return Billed(None if dollars is None else dollars * MICRO, **more)  # type: ignore[arg-type]


def rows(billed: dict[tuple[str, str], Billed], *spent: Spent, allowed: Tolerance = NONE) -> list[Row]:
    return compared(Invoice("openai", "costs", billed), spent, allowed)


def one(billed: Billed | None, *spent: Spent, allowed: Tolerance = NONE) -> Row:
    key = ("2026-11-02", "gpt-5")
    (found,) = rows({key: billed} if billed else {("2026-11-02", "other"): theirs(1)}, *spent, allowed=allowed)[:1]
    return found


def test_what_agrees() -> None:
    found = one(theirs(5_000_000), ours(2_000_000), ours(3_000_000, model="gpt-5"))
    assert (found.record, found.invoice, found.apart, found.over, found.why) == (5_000_000, 5_000_000, 0, False, ())
    assert found.requests == 4


@pytest.mark.parametrize(
    ("billed", "spent", "why"),
    [
        (theirs(9_000), None, "not metered: nothing of this model is on record on this day"),
        (theirs(9_000), ours(None, unpriced=2), "unknown model: 2 requests have no price here"),
        (
            theirs(500, tokens={"input": 10, "cached_input": 90}),
            ours(1_000, input=100),
            "cache: 90 cached tokens are billed, 0 are on record",
        ),
        (theirs(500, kinds={"cached_input"}), ours(1_000), "cache: cached input is billed, and none is on record"),
        (
            theirs(1_000, tokens={"input": 100}),
            ours(500, input=10, cached_input=90),
            "cache: 0 cached tokens are billed, 90 are on record",
        ),
        (theirs(500, tiers={"batch"}), ours(1_000), "tier: some of it is billed as batch"),
        (theirs(None, tokens={"input": 5}, requests=5), ours(1), "not metered: 3 more requests are billed"),
        (theirs(900, tokens={"input": 50}), ours(500, input=10), "not metered: 40 more tokens are billed"),
        (theirs(100, tokens={"input": 10}), ours(500, input=50), "not billed: 40 more tokens are on record"),
        (theirs(900, tokens={"output": 7}), ours(500, output=7), "price: the tokens agree, so another price is billed"),
        (theirs(900), ours(500, estimated=1), "estimated: 1 requests are charged at an estimate"),
        (theirs(900), ours(500, open=1), "open: 1 requests have not ended on record"),
        (theirs(501), ours(500), "rounding: each request is rounded to a micro-dollar"),
        (theirs(900), ours(500), NOT_SEEN),
        (theirs(100), ours(500), CHEAPER),
    ],
)
def test_why_they_differ(billed: Billed, spent: Spent | None, why: str) -> None:
    found = one(billed, *([spent] if spent else []))
    assert found.why[0] == why
    assert found.over is not why.startswith("rounding")


def test_what_has_no_price_is_told_of_the_record() -> None:
    found = one(theirs(900), ours(500), ours(None, unpriced=2))
    assert (found.record, found.unpriced) == (500, 2)
    assert one(theirs(500), ours(500)).unpriced == 0


def test_what_is_not_billed() -> None:
    found = {row.model: row for row in rows({("2026-11-02", "other"): theirs(1)}, ours(7))}
    assert found["gpt-5"].why == ("not billed: of another account, or not invoiced yet",)
    assert (found["gpt-5"].record, found["gpt-5"].invoice, found["gpt-5"].over) == (7, 0, True)


def test_what_cost_nothing_need_not_be_billed() -> None:
    assert [row.model for row in rows({("2026-11-02", "other"): theirs(1)}, ours(0, refused=2))] == ["other"]


def test_around_midnight() -> None:
    billed = {("2026-11-02", "gpt-5"): theirs(1_000), ("2026-11-03", "gpt-5"): theirs(3_000)}
    first, second = rows(billed, ours(2_000), ours(2_000, "2026-11-03"))
    assert first.why[0] == "midnight: 2026-11-03 differs by as much the other way"
    assert second.why[0] == "midnight: 2026-11-02 differs by as much the other way"
    apart = {("2026-11-02", "gpt-5"): theirs(1_000), ("2026-11-05", "gpt-5"): theirs(3_000)}
    assert rows(apart, ours(2_000), ours(2_000, "2026-11-05"))[0].why == (CHEAPER,)


def test_each_row_is_held_to_its_neighbours_alone() -> None:
    # Each with each would take many minutes.
    billed = {("2026-11-02", f"model-{number}"): theirs(5) for number in range(50_000)}
    assert len(rows(billed, ours(7))) == 50_001


def test_an_invoice_that_names_no_model() -> None:
    billed = {("2026-11-02", ""): theirs(12)}
    (found,) = rows(billed, ours(5), ours(7, model="other"))
    assert (found.model, found.record, found.invoice, found.over) == (EVERY, 12, 12, False)


def test_tokens_alone() -> None:
    same = theirs(None, tokens={"input": 10, "output": 5}, requests=2)
    found = one(same, ours(400, input=10, output=5))
    assert (found.apart, found.tokens_apart, found.over) == (None, 0, False)
    more = one(theirs(None, tokens={"input": 1_020}), ours(400, input=1_000), allowed=tolerance("1%"))
    assert (more.tokens_apart, more.over) == (20, True)
    assert not one(theirs(None, tokens={"input": 1_020}), ours(4, input=1_000), allowed=tolerance("2%")).over


def test_a_model_that_a_file_of_tokens_does_not_have() -> None:
    found = rows({("2026-11-02", "a"): theirs(None, tokens={"input": 1})}, ours(5, model="b", input=4, output=3))
    assert [(each.model, each.tokens_apart, each.over) for each in found] == [("a", 1, True), ("b", -7, True)]
    assert found[1].why == ("not billed: 7 more tokens are on record",)


@pytest.mark.parametrize(
    ("text", "billed", "apart", "allowed"),
    [
        ("1%", 1_000, 10, True),
        ("1%", 1_000, 11, False),
        ("1%", 1_000, -10, True),
        ("0.5%", 1_000, 6, False),
        ("1%", 0, 1, False),
        ("0%", 1_000, 0, True),
        ("0.05", 0, 50_000, True),
        ("0.05", 10**9, -50_001, False),
        ("0", 1, 0, True),
    ],
)
def test_tolerance(text: str, billed: int, apart: int, allowed: bool) -> None:
    assert tolerance(text).allows(billed, apart) is allowed


@pytest.mark.parametrize("text", ["", "%", "-1", "-1%", "a lot", "1 %%", "1e99"])
def test_what_is_no_tolerance(text: str) -> None:
    with pytest.raises(ToleranceError, match=r"expected a share such as 1%, or dollars such as 0\.05"):
        tolerance(text)


DAYS = st.integers(1, 9).map(lambda day: f"2026-11-{day:02}")
MODELS = st.sampled_from(["gpt-5", "gpt-5-2025-08-07", "o1"])
NUMBERS = st.integers(0, 10**6)


@given(
    st.lists(st.builds(ours, NUMBERS, DAYS, MODELS, requests=st.integers(1, 50)), max_size=8),
    st.dictionaries(st.tuples(DAYS, st.sampled_from(["gpt-5", "o1"])), st.builds(theirs, NUMBERS), min_size=1),
    st.integers(0, 10**5),
)
def test_nothing_is_lost(spent: list[Spent], billed: dict[tuple[str, str], Billed], micro: int) -> None:
    found = rows(billed, *spent, allowed=Tolerance(micro=micro))
    assert sum(row.invoice or 0 for row in found) == sum(one.micro or 0 for one in billed.values())
    assert sum(row.record or 0 for row in found) == sum(one.dollars or 0 for one in spent)
    assert [(row.day, row.model) for row in found] == sorted({(row.day, row.model) for row in found})
    for each in found:
        assert each.apart is not None
        assert each.over is (abs(each.apart) > micro and 2 * abs(each.apart) > each.requests + 1)
        assert bool(each.why) is bool(each.apart)

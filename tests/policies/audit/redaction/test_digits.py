from __future__ import annotations

import pytest

from policies.audit.redaction.digits import ENOUGH, runs, without_ids


def test_a_run_begins_at_every_group() -> None:
    assert [run.digits for run in runs("a 12 345-6789 0123.45")] == [
        "1234567890123" + "45",
        "345678901234" + "5",
        "6789012345",
    ]


def test_what_a_run_knows() -> None:
    (run, *_) = runs("Card: 4111 11-1199 x")
    assert run.context == "card: "
    assert run.alone
    assert not run.is_fraction
    assert run.groups(6) == (4, 2)
    assert run.groups(10) == (4, 2, 4)
    assert run.separators(10) == " -"
    assert run.end(6) == 13
    assert run.end(5) is None
    assert run.end(11) is None


@pytest.mark.parametrize(
    ("text", "alone"), [("card1234567", True), ("c4rd1234567", False), ("x 1234567", True), ("_1234567", True)]
)
def test_digits_in_the_same_word_before(text: str, alone: bool) -> None:
    assert next(runs(text, short=True)).alone is alone


@pytest.mark.parametrize(("text", "ends"), [("1234567exp", True), ("1234567e9", False), ("1234567 9", True)])
def test_digits_in_the_same_word_after(text: str, ends: bool) -> None:
    assert (next(runs(text, short=True)).end(7) is not None) is ends


def test_a_fraction() -> None:
    assert [run.is_fraction for run in runs("0.1234567", short=True)] == [False, True]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("550e8400-e29b-41d4-a716-446655440000", "x" * 36),
        ("at 2024-11-21, 2024", "at xxxx-xx-xx, 2024"),
        ("2024-11-21-1234", "2024-11-21-1234"),
        ("078-05-1120", "078-05-1120"),
        ("4111-1111-1111-1111", "4111-1111-1111-1111"),
    ],
)
def test_without_ids(text: str, left: str) -> None:
    assert without_ids(text) == left


@pytest.mark.parametrize(
    ("text", "enough"), [("12345", False), ("123456", True), ("1 2 3 4 5 6", True), ("123 abcd 456", False)]
)
def test_enough(text: str, enough: bool) -> None:
    assert (ENOUGH.search(text) is not None) is enough

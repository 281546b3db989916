from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.redaction.checksums import luhn
from policies.audit.redaction.digits import runs
from policies.audit.redaction.payments import card, ibans


def cards(text: str) -> list[str]:
    return [found.value for run in runs(text) if (found := card(run))]


@given(
    st.from_regex("(?:4[0-9]{11,17}|3[47][0-9]{12}|5[1-5][0-9]{13}|6[0-9]{14,17})", fullmatch=True), st.sampled_from(" -")
)
def test_every_number_with_a_right_last_digit(body: str, separator: str) -> None:
    number = next(body + digit for digit in "0123456789" if luhn(body + digit))
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    grouped = separator.join(number[place : place + 4] for place in range(0, len(number), 4))
    assert cards(f"x {number} y") == [number]
    assert cards(grouped)[:1] == [number]
    assert number not in cards(wrong)


@pytest.mark.parametrize(
    ("text", "found"),
    [("411 11111 111 11111", []), ("visa 411 11111 111 11111", ["4111111111111111"]), ("4.111111111111111", [])],
)
def test_groups(text: str, found: list[str]) -> None:
    assert cards(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DE89370400440532013000", ["DE89370400440532013000"]),
        ("DE893704004405320130001", []),
        ("DE89 3704 0044 0532 0130 00 12", ["DE89370400440532013000"]),
        ("de89370400440532013000", ["DE89370400440532013000"]),
        ("De89370400440532013000", []),
        ("ab12 cd34 NL91 ABNA 0417 1643 00", ["NL91ABNA0417164300"]),
        ("ZZ89370400440532013000", []),
    ],
)
def test_ibans(text: str, found: list[str]) -> None:
    assert [each.value for each in ibans(text)] == found

"""Check digits: a published number of each kind, and that any one digit changed makes it another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from policies.audit.redaction.checksums import codice_fiscale, cpf, luhn, mod_11_10, mod_97, verhoeff, weighted

Check = Callable[[str], bool]
NUMBERS: list[tuple[Check, str]] = [
    (luhn, "4111111111111111"),
    (luhn, "378282246310005"),
    (luhn, "8112289874"),
    (verhoeff, "234123412346"),
    (verhoeff, "499118665246"),
    (mod_97, "GB82WEST12345698765432"),
    (mod_97, "DE89370400440532013000"),
    (mod_11_10, "86095742719"),
    (mod_11_10, "65929970489"),
    (cpf, "52998224725"),
    (cpf, "11144477735"),
]


@pytest.mark.parametrize(("check", "number"), NUMBERS)
def test_right(check: Check, number: str) -> None:
    assert check(number)


@pytest.mark.parametrize(("check", "number"), NUMBERS)
def test_one_digit_changed_is_noticed(check: Check, number: str) -> None:
    for place, digit in enumerate(number):
        if digit.isdigit():
            for other in set("0123456789") - {digit}:
                assert not check(number[:place] + other + number[place + 1 :])


def test_eleven_times_one_digit_is_no_cpf() -> None:
    assert not any(cpf(str(digit) * 11) for digit in range(10))


def test_codice_fiscale() -> None:
    assert codice_fiscale("RSSMRA85T10A562S")
    assert [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if codice_fiscale("RSSMRA85T10A562" + letter)] == ["S"]


def test_weighted() -> None:
    assert weighted("123", (3, 2, 1)) == 10

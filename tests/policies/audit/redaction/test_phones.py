from __future__ import annotations

import pytest

from policies.audit.redaction.digits import runs
from policies.audit.redaction.phones import names_phones, phone, phones


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+49 (0) 170 1234567", "+4901701234567"),
        ("0049 170 1234567", "+491701234567"),
        ("+49-170-1234567", "+491701234567"),
        ("0170 1234567", "01701234567"),
        ("1-555-234-5678", "5552345678"),
        ("(555) 234-5678", "5552345678"),
    ],
)
def test_normal_form(text: str, value: str) -> None:
    assert [found.value for found in phones(text)] == [value]


@pytest.mark.parametrize(
    "text",
    ["+123456", "+1234567890123456", "00000000000", "01.02.2024", "155-234-5678", "555-134-5678", "v+4917012345678"],
)
def test_not_found(text: str) -> None:
    assert list(phones(text)) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("phone 612 345 678", ["612345678"]),
        ("Tel.: 5552345678", ["5552345678"]),
        ("hotel 5552345678", []),
        ("sms to 2345678", ["2345678"]),
        ("order 2345678", []),
        ("telephone number is 5552345678", ["5552345678"]),
        ("order 5552345678", []),
    ],
)
def test_behind_a_word(text: str, values: list[str]) -> None:
    assert [found.value for run in list(runs(text, names_phones(text)))[:1] if (found := phone(run))] == values

from __future__ import annotations

import pytest

from policies.audit.redaction.digits import runs
from policies.audit.redaction.identities import identities, identity


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ab 12 34 56 c", ["AB123456C"]),
        ("x-1234567-l", ["X1234567L"]),
        ("12.345.678-z", ["12345678Z"]),
        ("rssmra85t10a562s", ["RSSMRA85T10A562S"]),
        ("1 84 12 76 451 089 46", ["184127645108946"]),
        ("19811228-9874", ["8112289874"]),
        ("811228+9874", ["8112289874"]),
        ("811328-9874", []),
        ("GB123456A", []),
    ],
)
def test_forms_of_their_own(text: str, values: list[str]) -> None:
    assert [found.value for found in identities(text)] == values


def test_a_corsican_number_has_a_letter() -> None:
    key = 97 - int("1841219451089") % 97
    assert len(list(identities(f"184122A451089{key:02}"))) == 1
    assert list(identities(f"184122A451089{key % 97 + 1:02}")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("078-05-1120", True),
        ("078051120", False),
        ("social security 078051120", True),
        ("bsn: 111222333", True),
        ("bsn: 111222334", False),
        ("86095742719", True),
        ("tax id 860 957 427 19", True),
        ("44051401359", True),
        ("44 05 14 01359", False),
        ("PESEL 44 05 14 01359", True),
        ("529.982.247-25", True),
        ("234123412346", False),
        ("आधार 234123412346", True),
        ("0.86095742719", False),
    ],
)
def test_digits_alone(text: str, found: bool) -> None:
    assert any(identity(run) for run in runs(text)) is found

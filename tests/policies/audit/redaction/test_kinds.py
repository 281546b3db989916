from __future__ import annotations

import pytest

from policies.audit.redaction.kinds import LABEL, Kind, label, looks_random, too_long


@pytest.mark.parametrize("kind", [*Kind, "employee_2"])
def test_a_label_is_known_as_one(kind: str) -> None:
    assert label(kind, "3f9a1c0bffff") == f"[{kind}:3f9a1c0b]"
    assert LABEL.fullmatch(label(kind, "3f9a1c0bffff"))
    assert LABEL.fullmatch(too_long(7))


@pytest.mark.parametrize(
    "text", ["[email:3f9a1c0]", "[email:3f9a1c0g]", "[Email:3f9a1c0b]", "[email]", "[too long: x characters]"]
)
def test_other_text_in_brackets_is_no_label(text: str) -> None:
    assert LABEL.fullmatch(text) is None


@pytest.mark.parametrize(
    ("token", "least", "random"),
    [
        ("abcdefgh", 4, False),
        ("Abcdefgh", 4, False),
        ("ABCDEFGH", 4, False),
        ("abcDefgh", 4, True),
        ("abcd1234", 4, True),
        ("12345678", 4, False),
        ("abcd1234", 9, False),
    ],
)
def test_looks_random(token: str, least: int, random: bool) -> None:
    assert looks_random(token, least) is random

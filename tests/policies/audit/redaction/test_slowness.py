"""Texts made to be slow take time that grows with their length, and not much more than ordinary ones."""

from __future__ import annotations

from time import process_time

import pytest

from tests.policies.audit.redaction.samples import OWN_PATTERN, redactor

SIZE = 100 * 1024
UNITS = [
    *(
        "a",
        "1",
        "0",
        "@",
        "a@",
        "a.",
        "1 ",
        "1-",
        "4111 1111 ",
        "+49 ",
        "0 1",
        "(555) ",
        "%",
        "%40",
        "%2540",
        "\\",
        "\\u0040",
    ),
    *(
        "\\ud83d",
        "&#64;",
        "eyJ",
        "eyJa.",
        "sk-",
        "AKIA",
        "ghp_",
        "bearer ",
        "Basic a",
        "://",
        "://a:",
        "://a:b",
        "-----BEGIN ",
    ),
    *(
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN " + "PRIVATE KEY-----!",
        'password="',
        'password=\\\\"',
        "password='\\'",
    ),
    *(
        "password: ",
        "password",
        "secret=",
        "[secret:deadbeef]",
        "[secret:deadbeef]a@b.co ",
        "DE89",
        "DE89 3",
        "AB12",
        "X1234567",
    ),
    *(
        "\u200b",
        "１",
        "é",
        "e\u0301",
        "\u0301",
        "١ ",
        " ",
        "-",
        ".",
        '"',
        "a@b.",
        "xn--",
        "a@xn--a.",
        "12345678901 ",
        "EMP-",
    ),
    *(
        "ssn 123456789 ",
        "-550e8400-e29b",
        "2024-11-21-",
        "RSSMRA85",
        "00 1",
        "api key ",
        "a b c ",
        "{[",
        "sig=a&",
        "AIza",
        "JQQJ9/",
    ),
]
MOST_TIMES = 200
"""How many times as long as an ordinary text: lone digits are worst, for a number may begin at every one of them."""
ORDINARY = ("Ask ann@example.com (sk is a prefix): it costs $12.50; see 2024-11-21, version 1.2.3, key: value.\n" * 2000)[
    :SIZE
]
REDACTOR = redactor(patterns=OWN_PATTERN)


def least(text: str, runs: int = 1) -> float:
    """The least CPU time of some runs over a text, in seconds."""
    taken = []
    for _ in range(runs):
        begun = process_time()
        REDACTOR.text(text)
        taken.append(process_time() - begun)
    return max(min(taken), 0.0005)


def grows_evenly(text: str) -> bool:
    """Whether four times as much takes less than nine times as long: quadratic work would take sixteen times."""
    # A machine that is busy with other things may spoil one measurement, hardly four.
    return any(least(text) < 9 * least(text[: SIZE // 4]) for _ in range(4))


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_length_and_not_with_its_square(unit: str) -> None:
    whole = (unit * SIZE)[: SIZE - 1]
    assert grows_evenly("!" + whole)


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_much_longer_than_an_ordinary_one(unit: str) -> None:
    assert any(least((unit * SIZE)[:SIZE]) < MOST_TIMES * least(ORDINARY) for _ in range(4))

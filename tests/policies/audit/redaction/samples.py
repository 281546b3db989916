"""What the tests of redaction share: a redactor, the corpus, and one value of every kind that can be planted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, NamedTuple

from policies.audit.redaction import RedactionSettings, Redactor

KEY: Final = b"0123456789abcdef0123456789abcdef"
_HASH: Final = re.compile(r"\[([a-z][a-z0-9_]*):[0-9a-f]{8}\]")


class Case(NamedTuple):
    kind: str
    text: str
    redacted: str


def corpus() -> list[Case]:
    """The cases of `corpus.jsonl`. In it a broken bar keeps scanners of repositories from taking examples for keys."""
    lines = Path(__file__).with_name("corpus.jsonl").read_text("utf-8").splitlines()
    cases = [json.loads(line.replace("\\u00a6", "")) for line in lines]
    return [Case(case["class"], case["text"], case["redacted"]) for case in cases]


def without_hashes(text: str) -> str:
    """The text with `[email]` for `[email:3f9a1c0b]`."""
    return _HASH.sub(r"[\1]", text)


def redactor(**settings: object) -> Redactor:
    return Redactor(RedactionSettings.model_validate(settings), KEY)


PLANTED: Final = (
    # Of each: what is written, and what of it must not be left.
    *((value, value) for value in ("sk-" + "aB3dE5fG7hI9jK1lM3nO5pQ7", "sk-" + "ant-api03-aB3dE5fG7hI9jK1lM3nO")),
    *((value, value) for value in ("AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5")),
    *((value, value) for value in ("github_" + "pat_11AAAAAAA0aB3dE5fG7hI9", "xoxb-" + "123456789012-aB3dE5fG7hI9")),
    *((value, value) for value in ("AIza" + "SyA1bC2dE3fG4hI5jK6lM7nO8pQ9rS0tU1v", "sk_" + "live_aB3dE5fG7hI9jK1lM3nO")),
    *((value, value) for value in ("eyJhbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",)),
    ("-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----", "MIIEvQIBADANBg"),
    ("Bearer 0a1b2c3d4e5f6a7b", "0a1b2c3d4e5f6a7b"),
    ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ("postgres://app:Pa55w0rd@db/x", "Pa55w0rd"),
    ("AccountKey=aB3dE5fG7hI9jK1lM3nO5pQ7==", "aB3dE5fG7hI9jK1lM3nO5pQ7"),
    ("password=Hunter2hunter2", "Hunter2hunter2"),
    ('api_key: "q9w8e7r6"', "q9w8e7r6"),
    ("jane.roe@example.com", "jane.roe@example.com"),
    ("дарья@почта.рф", "дарья@почта.рф"),
    ("+49 170 1234567", "1234567"),
    ("(555) 234-5678", "234-5678"),
    ("4111 1111 1111 1111", "1111 1111"),
    ("378282246310005", "378282246310005"),
    ("DE89 3704 0044 0532 0130 00", "0044 0532"),
    ("078-05-1120", "05-1120"),
    ("AB 12 34 56 C", "12 34 56"),
    ("86095742719", "86095742719"),
    ("1 84 12 76 451 089 46", "76 451 089"),
    ("BSN 111222333", "111222333"),
    ("12345678Z", "12345678Z"),
    ("X1234567L", "X1234567L"),
    ("RSSMRA85T10A562S", "RSSMRA85T10A562S"),
    ("44051401359", "44051401359"),
    ("811228-9874", "811228-9874"),
    ("529.982.247-25", "529.982.247-25"),
    ("4991 1866 5246", "4991 1866 5246"),
    ("EMP-004711", "EMP-004711"),
)
OWN_PATTERN: Final = {"employee": r"EMP-[0-9]{6}"}

from __future__ import annotations

import re

import pytest

from policies.audit.redaction.patterns import check_pattern


@pytest.mark.parametrize(
    "pattern", ["EMP-[0-9]{6}", r"\bKD\d{4,12}\b", "(?i)a|b", "(?:ab){2,8}", "x(?=y{1,3})z?", "[^a]b++"[:5]]
)
def test_taken(pattern: str) -> None:
    assert check_pattern(pattern) == pattern
    re.compile(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+$", "no upper bound"),
        ("a*", "no upper bound"),
        ("a{3,}", "no upper bound"),
        ("a++", "no upper bound"),
        ("(?:a|a){30}", "slow"),
        ("(?:a{1,9}){1,9}b", "slow"),
        ("a{1,20}b{1,20}c", "slow"),
        ("a{300}", "slow"),
        (r"(a)\1", "references"),
        ("a{0,3}", "nothing at all"),
        ("(", "no regular expression"),
        ("[", "no regular expression"),
        ("a" * 513, "at most"),
    ],
)
def test_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)

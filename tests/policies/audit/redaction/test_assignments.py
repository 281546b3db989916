from __future__ import annotations

import pytest

from policies.audit.redaction.assignments import assignments, is_marked, may_say_secret, says_secret, stands_for_nothing


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("password", True),
        ("DB_PASSWORD", True),
        ("api-key", True),
        ("clientSecret", True),
        ("X-Api-Key", True),
        ("passwort", True),
        ("db_pass", True),
        ("Set-Cookie", True),
        ("compass", False),
        ("max_tokens", False),
        ("key", False),
        ("password_hash", False),
        ("", False),
    ],
)
def test_names(name: str, says: bool) -> None:
    assert says_secret(name) is says


@pytest.mark.parametrize(
    ("name", "may"), [("token", True), ("eos_token", True), ("sig", True), ("tokens", False), ("", False)]
)
def test_weak_names(name: str, may: bool) -> None:
    assert may_say_secret(name) is may


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("password=[secret:deadbeef]", []),
        ("password=[secret:deadbeef]x1", ["[secret:deadbeef]x1"]),
        ("password='a', password='b'", ["a", "b"]),
        ('password="unclosed 1', ["unclosed 1"]),
        ("password=", []),
        ("?secret=x&y=1", ["x"]),
        ("secret=x1y2;", ["x1y2"]),
        ("token: short1", []),
        ("token: 0a1b2c3d4e5f6a7b", ["0a1b2c3d4e5f6a7b"]),
        ("password=f'{x}'", []),
        ("password=user.password", []),
        ("password=get_1(x)", []),
        ("password=abcdefghijklmnopqrstuvwxyz", ["abcdefghijklmnopqrstuvwxyz"]),
        ("cookie: a=b; c=d\nx", ["a=b; c=d"]),
    ],
)
def test_values(text: str, values: list[str]) -> None:
    assert [found.value for found in assignments(text)] == values


@pytest.mark.parametrize("value", ["", "***", "${X}", "<secret>", "{{ x }}", "None", "string", "[email:deadbeef]", "%s"])
def test_nothing(value: str) -> None:
    assert stands_for_nothing(value)


def test_marks() -> None:
    assert is_marked("my password")
    assert is_marked("мой пароль")
    assert not is_marked("gpt-4o")

from __future__ import annotations

import pytest

from policies.audit.redaction.addresses import emails


@pytest.mark.parametrize(
    ("text", "found", "value"),
    [
        ("to John.Doe@Example.COM.", "John.Doe@Example.COM", "john.doe@example.com"),
        ("'jane@example.com'", "jane@example.com'"[:-1], "jane@example.com"),
        ("a@[192.168.0.1]", "a@[192.168.0.1]", "a@[192.168.0.1]"),
        ('"a b"@example.com', '"a b"@example.com', '"a b"@example.com'),
        ("Straße@müller.de", "Straße@müller.de", "strasse@müller.de"),
        ("x" * 300 + "@example.com", "x" * 300 + "@example.com", "x" * 300 + "@example.com"),
    ],
)
def test_found(text: str, found: str, value: str) -> None:
    findings = list(emails(text))
    if " " in found:
        assert findings == []  # quoted parts with spaces are a stated bound
        return
    assert [(text[each.start : each.end], each.value) for each in findings] == [(found, value)]


@pytest.mark.parametrize("text", ["a@b", "@example.com", "a@1.2.3", "a@example.c", "a @example.com", "a@.com"])
def test_not_found(text: str) -> None:
    assert list(emails(text)) == []

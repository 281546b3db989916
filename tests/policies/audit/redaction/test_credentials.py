from __future__ import annotations

import pytest

from policies.audit.redaction.credentials import credentials


def found(text: str) -> list[str]:
    return [each.value for each in credentials(text, text.lower())]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Basic YTpi", []),
        ("Basic YTpiYzpk", ["YTpiYzpk"]),
        ("Basic materials", []),
        ("bearer ab12cd34", ["ab12cd34"]),
        ("bearer abcd", []),
        ("https://u:pw@h", ["pw"]),
        ("https://h:80/a@b", []),
        ("https://u:[secret:deadbeef]@h", []),
        ("sk-" + "a" * 30, []),
        ("sk-" + "aB" * 15, ["sk-" + "aB" * 15]),
    ],
)
def test_found(text: str, values: list[str]) -> None:
    assert found(text) == values


def test_private_keys_with_and_without_a_last_line() -> None:
    begin, end = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"
    assert found(f"a {begin}\nMII\n{end} b {begin}\nMIJ\n{end}.") == [f"{begin}\nMII\n{end}", f"{begin}\nMIJ\n{end}"]
    assert found(f"{begin}\nMII.") == [f"{begin}\nMII"]
    assert found(f"{begin}\n{end}!{begin}\nMIJ!") == [f"{begin}\n{end}", f"{begin}\nMIJ"]

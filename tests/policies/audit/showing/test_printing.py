"""Nothing that is printed steers a terminal."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.showing.printing import HarmlessLines, harmless_json, say_raw, say_styled

HOSTILE = "a\x1b[2J\x9b31m\u202ereversed\u2066\x7f\r\n\u2028b"


@given(
    st.recursive(st.text(st.characters(codec="utf-8")), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_json_means_the_same_and_is_printable(value: object) -> None:
    line = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    safe = harmless_json(line)
    assert safe.decode().isprintable()
    if "\ufffd" not in line.decode("utf-8", "replace"):
        assert json.loads(safe) == value


def test_characters_beyond_the_first_plane_are_escaped_as_pairs() -> None:
    assert harmless_json('"\U000e0041"'.encode()) == b'"\\udb40\\udc41"'
    assert json.loads(harmless_json('"\U000e0041"'.encode())) == "\U000e0041"


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("red", ""):
        say_styled(HOSTILE, style)
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_raw_lines_are_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    import sys

    line = '{"a":"\x9b\u202e"}'.encode()
    say_raw(line)
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == line + b"\n"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=5), st.integers(1, 7))
def test_an_export_to_a_terminal(lines: list[str], size: int) -> None:
    whole = "\n".join(lines).encode()
    out = io.BytesIO()
    harmless_out = HarmlessLines(out)
    for at in range(0, len(whole), size):
        assert harmless_out.write(whole[at : at + size]) == len(whole[at : at + size])
    harmless_out.close()
    found = out.getvalue().decode().split("\n")
    assert len(found) == max(1, len(lines))
    assert all(line.isprintable() for line in found)

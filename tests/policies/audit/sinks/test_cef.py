"""CEF, read by a parser that follows the specification's escapes and knows nothing of how they are made."""

from __future__ import annotations

import re
from io import BytesIO

import pytest
from hypothesis import given

from policies.audit.export.cef import LENGTHS, export, in_extension, in_header, line
from policies.audit.record import Closed, Level
from tests.policies.audit.sinks.made import full, made, records


def parsed(text: str) -> tuple[list[str], dict[str, str]]:
    """The seven fields of the header after `CEF:0`… and the extension."""
    fields = split(text)
    pairs = re.findall(r"(\w+)=((?:[^\\=]|\\.)*?)(?= \w+=|$)", fields[7], re.DOTALL)
    escapes = {"n": "\n", "r": "\r", "\\": "\\", "=": "="}
    return fields[:7], {key: re.sub(r"\\(.)", lambda found: escapes[found[1]], value) for key, value in pairs}


def split(text: str) -> list[str]:
    fields: list[str] = []
    field, index = "", 0
    while index < len(text) and len(fields) < 7:
        if text[index] == "\\":
            assert text[index + 1] in "\\|"
            field += text[index + 1]
            index += 1
        elif text[index] == "|":
            fields.append(field)
            field = ""
        else:
            field += text[index]
        index += 1
    return [*fields, text[index:]]


def test_an_event_to_the_byte() -> None:
    closed = made(7, version="1.2", tenant="acme", why="a|b=c\\d\ne", decision="reject", reason="budget", level="warning")
    assert line(closed) == (
        "CEF:0|Sluicegate|Sluicegate|1.2|request.closed|request closed|6|rt=1795268303000 cat=closing act=reject"
        " reason=budget msg=a|b\\=c\\\\d\\ne deviceExternalId=gateway-1.0 externalId=7 dvchost=gateway-1"
        f" cs1=acme cs1Label=tenant cs6={closed.hash} cs6Label=hash"
    )


@pytest.mark.parametrize(
    ("value", "header", "extension"),
    [
        ("plain text", "plain text", "plain text"),
        ("a|b", "a\\|b", "a|b"),
        ("a=b", "a=b", "a\\=b"),
        ("a\\b", "a\\\\b", "a\\\\b"),
        ("a\\|=b", "a\\\\\\|=b", "a\\\\|\\=b"),
        ("a\nb", "a b", "a\\nb"),
        ("a\r\nb\rc", "a b c", "a\\nb\\nc"),
        ("a\u2028b\u0085c", "a b c", "a\\nb\\nc"),
        ("a\x00b\x1bc\td", "a b c d", "a b c d"),
        ("a\u202eb", "a b", "a b"),
        (" a ", " a ", "a"),
        ("ü漢🧭", "ü漢🧭", "ü漢🧭"),
        ("\\", "\\\\", "\\\\"),
    ],
)
def test_escapes(value: str, header: str, extension: str) -> None:
    assert (in_header(value), in_extension(value)) == (header, extension)


def test_a_value_is_cut_before_it_is_escaped() -> None:
    assert in_extension("=" * 10, 3) == "\\=\\=\\="


@pytest.mark.parametrize(("level", "severity"), [(Level.INFO, "3"), (Level.WARNING, "6"), (Level.ERROR, "8"), ("?", "8")])
def test_severities(level: str, severity: str) -> None:
    assert parsed(line(made(level=level)))[0][6] == severity


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rt", "1795268303000"),
        ("cat", "closing"),
        ("act", "<decision>"),
        ("outcome", "refused"),
        ("reason", "<reason>"),
        ("msg", "<why>"),
        ("deviceExternalId", "gateway-1.0"),
        ("externalId", "1"),
        ("dvchost", "gateway-1"),
        ("suid", "<user_id>"),
        ("spriv", "Admin,User"),
        ("sourceServiceName", "<app_id>"),
        ("destinationServiceName", "<upstream>"),
        ("request", "<path>"),
        ("requestMethod", "<method>"),
        ("in", "1"),
        ("out", "2"),
        ("cs1", "<tenant>"),
        ("cs2", "<model>"),
        ("cs3", "<session_id>"),
        ("cs4", "<policy>"),
        ("cs5", "0.001234"),
        ("cn1", "6"),
        ("cn2", "4"),
        ("cn3", "429"),
        ("flexString1", "<exchange_id>"),
        ("flexString2", "<request_id>"),
        ("flexString2Label", "requestId"),
    ],
)
def test_a_full_record(key: str, value: str) -> None:
    assert parsed(line(full()))[1][key] == value


def test_export_writes_a_line_for_each() -> None:
    out = BytesIO()
    export(iter([made(1), full(2)]), out)
    assert out.getvalue().decode() == f"{line(made(1))}\n{line(full(2))}\n"


@given(records)
def test_whatever_it_is_it_is_one_line_that_can_be_read(closed: Closed) -> None:
    text = line(closed)
    assert len(text.splitlines()) == 1
    header, extension = parsed(text)
    assert header[:3] == ["CEF:0", "Sluicegate", "Sluicegate"]
    assert extension["externalId"] == str(closed.record.sequence)
    assert extension["cs6"] == closed.hash
    assert all(len(value) <= LENGTHS.get(key, 1_023) for key, value in extension.items())
    for key, value in extension.items():
        assert f"{key}Label" in extension or not re.fullmatch(r"(cs|cn|flexString)\d", key), value

"""Syslog messages, read by a grammar of RFC 5424 that knows nothing of how they are made."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.record import Closed, Level
from policies.audit.sinks.syslog_format import framed, message
from tests.policies.audit.sinks.made import HARD, MOMENT, big, full, made, records

_PARAMETER: Final = rb'([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"'
GRAMMAR: Final = re.compile(
    rb"<(?P<priority>\d{1,3})>1 (?P<moment>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128})"
    rb" (?P<id>[!-~]{1,32}) \[sluicegate@32473(?P<data>(?: " + _PARAMETER + rb")+)\] \xef\xbb\xbf(?P<text>.*)",
    re.DOTALL,
)
HARMFUL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def parsed(content: bytes) -> dict[str, Any]:
    found = GRAMMAR.fullmatch(content)
    assert found is not None, content
    data = {
        name.decode(): re.sub(rb"\\(.)", rb"\1", value).decode()
        for name, value in re.findall(_PARAMETER, found["data"], re.DOTALL)
    }
    return {
        **{name: value.decode() for name, value in found.groupdict().items()},
        "data": data,
        "text": orjson.loads(found["text"]),
        "raw": found["text"],
    }


def said(closed: Closed, hostname: str | None = None, max_bytes: int = 8_192) -> dict[str, Any]:
    return parsed(message(closed, facility=13, hostname=hostname, max_bytes=max_bytes))


def test_a_message_to_the_byte() -> None:
    closed = made(7, tenant="acme", user_id='a"b\\c]d', status=200)
    assert (
        message(closed, facility=13, hostname=None, max_bytes=8_192)
        == (
            f"<110>1 {MOMENT} gateway-1 sluicegate - request.closed [sluicegate@32473"
            ' journal="gateway-1.0" sequence="7" kind="closing" tenant="acme"'
            ' user_id="a\\"b\\\\c\\]d" status="200"] \ufeff'
        ).encode()
        + closed.line
    )


@pytest.mark.parametrize(
    ("level", "priority"), [(Level.INFO, 13 * 8 + 6), (Level.WARNING, 13 * 8 + 4), (Level.ERROR, 13 * 8 + 3), ("?", 107)]
)
def test_severities(level: str, priority: int) -> None:
    assert said(made(level=level))["priority"] == str(priority)


@pytest.mark.parametrize(
    ("journal", "hostname", "host"),
    [
        ("gateway-1.0", None, "gateway-1"),
        ("gw.eu.example.12", None, "gw.eu.example"),
        ("alone", None, "alone"),
        ("gateway-1.0", "edge", "edge"),
        ("a bü.0", None, "a?b?"),
    ],
)
def test_host_names(journal: str, hostname: str | None, host: str) -> None:
    assert said(made(journal=journal), hostname)["host"] == host


@pytest.mark.parametrize("text", HARD)
def test_text_stays_what_it_was_and_harms_nobody(text: str) -> None:
    closed = made(user_id=text, why=text, params={text: text})
    found = said(closed)
    assert found["text"] == orjson.loads(closed.line)
    assert found["data"]["user_id"] == re.sub(HARMFUL, "\ufffd", text)
    assert not HARMFUL.search(found["raw"].decode())


def test_what_is_too_long_says_what_it_lacks() -> None:
    closed = big(20_000)
    assert said(closed, max_bytes=65_536)["text"] == orjson.loads(closed.line)
    found = said(closed)
    assert found["data"]["truncated"] == "params"
    assert found["text"]["truncated"] == ["params"]
    assert found["text"]["hash"] == closed.hash


def test_structured_data_gives_way_where_little_is_allowed() -> None:
    found = said(full(journal="ж" * 120 + ".0", user_id="ж" * 90, tenant="ж" * 90, model="ж" * 90), max_bytes=2_048)
    assert set(found["data"]) == {"journal", "sequence", "truncated"}


def test_frames() -> None:
    assert framed(b"abc", "octets") == b"3 abc"
    assert framed(b"abc", "lines") == b"abc\n"


def unframed(stream: bytes) -> list[bytes]:
    found = []
    while stream:
        length, _, rest = stream.partition(b" ")
        assert length.isdigit()
        assert length[:1] != b"0"
        found.append(rest[: int(length)])
        stream = rest[int(length) :]
    return found


@given(st.lists(records, min_size=1, max_size=4), st.integers(2_048, 9_000))
def test_no_record_breaks_the_framing(batch: list[Closed], most: int) -> None:
    messages = [message(closed, facility=13, hostname=None, max_bytes=most) for closed in batch]
    assert unframed(b"".join(framed(each, "octets") for each in messages)) == messages
    assert b"".join(framed(each, "lines") for each in messages).split(b"\n") == [*messages, b""]
    for closed, content in zip(batch, messages, strict=True):
        assert len(content) <= most
        found = parsed(content)
        assert found["data"]["sequence"] == str(closed.record.sequence)
        assert found["text"]["hash"] == closed.hash
        assert not HARMFUL.search(content[content.index(b"\xef\xbb\xbf") + 3 :].decode())
        if "truncated" not in found["data"]:
            assert found["text"] == orjson.loads(closed.line)

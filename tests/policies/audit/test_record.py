"""The schema: what programs that read the journal rely on."""

from __future__ import annotations

import re

import msgspec
import pytest

from policies.audit.canonical import FIRST
from policies.audit.record import SCHEMA, Hash, Kind, Level, Moment, Name, Record, Reserved, Said, Tokens
from tests.policies.audit.world import STAMP, record


def test_a_record_of_which_little_is_known_says_little() -> None:
    """What is left out has no value: a reader must not have to tell it from nothing."""
    assert msgspec.to_builtins(record()) == {
        "event": "configuration.loaded",
        "journal": "gw.0",
        "kind": "event",
        "level": "info",
        "previous": FIRST,
        "schema": SCHEMA,
        "sequence": 1,
        "timestamp": STAMP,
    }


def test_no_member_is_the_hash() -> None:
    """It is put behind the last, whatever that is called."""
    assert "hash" not in {field.encode_name for field in msgspec.structs.fields(Record)}


def test_members_have_the_platforms_names_or_those_of_ecs() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(Record)]
    assert len(names) == len(set(names))
    dotted = {name for name in names if "." in name}
    assert dotted == {"http.request.method", "http.response.status_code", "service.version", "url.path"}
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in set(names) - dotted)


@pytest.mark.parametrize("kind", [Record, Said, Reserved, Tokens])
def test_every_member_is_told_of(kind: type[msgspec.Struct]) -> None:
    """Each has a default that means nothing, or is always there."""
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    always = {"event", "journal", "kind", "level", "previous", "schema", "sequence", "timestamp"}
    assert required == (always if kind is Record else set())


def test_events_are_two_words_with_a_dot_between_them() -> None:
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", name) for name in Name)
    assert [kind.value for kind in Kind] == ["decision", "closing", "event"]
    assert [level.value for level in Level] == ["info", "warning", "error"]


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        record().why = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        (Hash, FIRST, True),
        (Hash, "0" * 63 + "g", False),
        (Hash, "A" * 64, False),
        (Hash, "0" * 65, False),
        (Moment, STAMP, True),
        (Moment, "2026-01-01T00:00:00Z", False),
        (Moment, "2026-01-01T00:00:00.000000+00:00", False),
        (Moment, "2026-01-01 00:00:00.000000Z", False),
    ],
)
def test_hashes_and_times_have_one_form(kind: object, text: str, fits: bool) -> None:
    data = msgspec.json.encode(text)
    if fits:
        assert msgspec.json.decode(data, type=kind) == text
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(data, type=kind)

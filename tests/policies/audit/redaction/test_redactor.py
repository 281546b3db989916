from __future__ import annotations

from typing import Any

import msgspec
import pytest

from policies.audit.canonical import read, seal
from policies.audit.record import SCHEMA, Record, Said
from policies.audit.redaction import RedactionSettings, Redactor
from policies.audit.redaction.redactor import CHOSEN
from tests.policies.audit.redaction.samples import KEY, redactor

MAIL = "jane@example.com"
PSEUDONYMS = {"pseudonymise": ["acme", "eu-*"], "key": {"env": "K"}}
# What identity, configuration or the gateway itself says, in its own words.
NOT_CHOSEN = {
    *(
        "by",
        "of",
        "started",
        "app_id",
        "backend",
        "basis",
        "cache",
        "price",
        "caller",
        "configuration",
        "cost",
        "cost_centre",
        "decision",
        "department",
    ),
    *(
        "dialect",
        "ended_by",
        "ending",
        "event",
        "exchange_id",
        "journal",
        "kind",
        "level",
        "policy",
        "previous",
        "recovered",
    ),
    *("reservation_id", "result", "tenant", "tenant_id", "timestamp", "version", "user_id"),
}


def record(**members: Any) -> Record:
    whole: dict[str, Any] = {
        "event": "request.allowed",
        "journal": "a.0",
        "kind": "decision",
        "level": "info",
        "previous": "0" * 64,
    }
    whole |= {"schema": SCHEMA, "sequence": 1, "timestamp": "2026-01-01T00:00:00.000000Z"}
    return Record(**(whole | members))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Redactor(RedactionSettings(), b"short")


def test_equal_values_have_equal_labels_under_one_key() -> None:
    one, other = redactor(), Redactor(RedactionSettings(), KEY[::-1])
    assert one.text(f"a {MAIL}") == "a " + one.text(MAIL.upper())
    assert one.text(MAIL) == redactor().text("jane%40example.com")
    assert one.text(MAIL) != other.text(MAIL)
    assert one.text("4111 1111 1111 1111") == one.text("4111-1111-1111-1111")


def test_a_long_text_is_not_looked_at() -> None:
    small = redactor(longest=256)
    assert small.text("x" * 257) == "[too long: 257 characters]"
    assert small.text("x" * 256) == "x" * 256
    assert small.text("[too long: 257 characters]") == "[too long: 257 characters]"


def test_what_is_remembered_is_bounded_and_clean() -> None:
    one = redactor()
    for number in range(20_000):
        assert one.text(f"model-{number}") == f"model-{number}"
    assert one.text(MAIL) == one.text(MAIL) != MAIL
    remembered = [*one._clean, *one._clean_before]
    assert len(remembered) <= 2 * 4096
    assert MAIL not in remembered


def test_pseudonyms() -> None:
    one = redactor(**PSEUDONYMS)
    pseudonym = one.user("acme", "u1")
    assert pseudonym == one.user("acme", "u1") == one.user("acme", pseudonym)
    assert pseudonym.startswith("user-")
    assert len({pseudonym, one.user("eu-1", "u1"), one.user("eu-2", "u1"), one.user("acme", "u2")}) == 4
    assert one.user("other", "u1") == "u1"
    assert one.user("acme", "") == ""
    assert one.text(pseudonym) == pseudonym


def test_pseudonyms_of_two_keys_are_told_apart_by_their_beginning() -> None:
    settings = RedactionSettings.model_validate(PSEUDONYMS)
    old, new = Redactor(settings, KEY), Redactor(settings, KEY[::-1])
    assert old.user("acme", "u1")[:10] == old.user("acme", "u2")[:10]
    assert old.user("acme", "u1")[:10] != new.user("acme", "u1")[:10]
    assert old.user("acme", "u1")[10:] != new.user("acme", "u1")[10:]


def test_tenant_and_user_are_not_run_together() -> None:
    one = redactor(pseudonymise=["*"], key={"env": "K"})
    assert one.user("ab", "c") != one.user("a", "bc")


def test_every_text_of_a_record_is_known_as_chosen_or_not() -> None:
    texts = {field.name for field in msgspec.structs.fields(Record) if isinstance(field.default, str) or field.required}
    assert texts - {"schema", "sequence"} == set(CHOSEN) | NOT_CHOSEN


@pytest.mark.parametrize("name", CHOSEN)
def test_chosen_members(name: str) -> None:
    kept = redactor().record(record(**{name: MAIL}))
    assert getattr(kept, name) == redactor().text(MAIL)
    assert kept.redacted


def test_the_rest_of_a_record() -> None:
    one = redactor(**PSEUDONYMS)
    said = Said(code="a", policy="p", why=f"not for {MAIL}")
    kept = one.record(
        record(tenant="acme", user_id="u1", flags=("x", MAIL), marks=(MAIL,), decisions=(said,), params={"user": MAIL})
    )
    label = one.text(MAIL)
    assert kept.flags == ("x", label)
    assert kept.marks == (label,)
    assert kept.decisions == (Said(code="a", policy="p", why=f"not for {label}"),)
    assert kept.params == {"user": label}
    assert kept.user_id == one.user("acme", "u1")
    assert one.record(kept) == kept


def test_a_record_without_anything_to_hide_stays() -> None:
    plain = record(model="gpt-4o", path="/v1/chat/completions", params={"n": 1})
    assert redactor().record(plain) == plain
    assert redactor().record(record(redacted=True)).redacted


def test_numbers_become_text_without_being_redacted() -> None:
    kept = redactor().record(record(params={"temperature": 0.7}))
    assert kept.params == {"temperature": "0.7"}
    assert not kept.redacted


def test_dropped_members() -> None:
    one = redactor(
        drop=["params", "user_id", "url.path", "decisions", "tokens", "status"[:0] or "http.response.status_code"]
    )
    kept = one.record(record(params={"a": 1}, user_id="u", path="/x", decisions=(Said(code="a"),), status=200, model="m"))
    assert kept == record(model="m", redacted=True)
    assert not one.record(record(model="m")).redacted


def test_what_is_redacted_can_be_sealed() -> None:
    odd = {"a": float("nan"), "b": 1 << 80, "c": "\ud800", 4: b"\xff", "d": [(1.5,)], "e": {None: object}}
    kept = redactor().record(record(params=odd, model="\udfff x"))
    line, digest = seal(kept)
    assert read(line).hash == digest

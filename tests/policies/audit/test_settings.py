"""Settings of the audit policy: what is recorded unless it says otherwise, and whose prompts are."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from policies.audit.settings import AuditSettings
from tests.policies.audit.world import ALICE


def settings(**given: Any) -> AuditSettings:
    return AuditSettings.model_validate({"journal": {"folder": "journal"}, **given})


def sinks(*names: str) -> list[dict[str, Any]]:
    return [{"kind": "file", "name": name, "path": f"{name}.jsonl"} for name in names]


def test_a_journal_is_all_that_must_be_said() -> None:
    made = settings()
    assert (made.sinks, made.session_header, made.capture.tenants) == ((), "x-session-id", ())
    with pytest.raises(ValidationError, match="journal"):
        AuditSettings.model_validate({})


@pytest.mark.parametrize(
    ("tenants", "captured"),
    [
        ([], False),
        (["t-1"], True),
        (["contoso"], True),
        (["fabrikam", "con*"], True),
        (["*"], True),
        (["t-2", "Contoso"], False),
        (["t-"], False),
        ([""], False),
    ],
)
def test_prompts_are_recorded_of_tenants_that_opted_in(tenants: list[str], captured: bool) -> None:
    assert settings(capture={"tenants": tenants}).captures(ALICE, b"{}") is captured


def test_a_tenant_without_a_name_is_meant_by_no_name() -> None:
    nameless = replace(ALICE, tenant_name="")
    assert not settings(capture={"tenants": ["contoso"]}).captures(nameless, b"{}")
    assert not settings(capture={"tenants": [""]}).captures(nameless, b"{}")
    assert settings(capture={"tenants": ["t-?"]}).captures(nameless, b"{}")


@pytest.mark.parametrize(
    ("body", "captured"), [(b"", True), (b"x" * 10, True), (b"x" * 11, False), (None, False)], ids=repr
)
def test_prompts_of_a_large_body_are_not_recorded(body: bytes | None, captured: bool) -> None:
    """Nor where no body was read."""
    made = settings(capture={"tenants": ["contoso"], "max_bytes": 10})
    assert made.captures(ALICE, body) is captured


@pytest.mark.parametrize("header", ["", "X-Session-Id", "x session", "x" * 65, "x-sessiön"])
def test_the_session_header_is_a_field_name_in_lower_case(header: str) -> None:
    with pytest.raises(ValidationError, match="session_header"):
        settings(session_header=header)


@pytest.mark.parametrize("given", [{"close_after": 0}, {"close_after": 90_000}, {"session_idle": 0}, {"unheard_of": 1}])
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        settings(**given)


def test_two_sinks_have_two_names() -> None:
    """By its name a sink remembers how far it came."""
    assert [sink.name for sink in settings(sinks=sinks("a", "b")).sinks] == ["a", "b"]
    with pytest.raises(ValidationError, match="two sinks have the name 'a'"):
        settings(sinks=sinks("b", "a", "a"))

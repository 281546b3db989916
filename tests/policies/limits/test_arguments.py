from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits import arguments
from policies.limits.limit import KINDS
from policies.limits.subjects import EVERYONE, Level, Subject
from policies.limits.words import label, shown

LONG: Final = "1." + 40 * "0" + "1"
TENANTS: Final = {"t-1": "contoso", "t-2": "fabrikam", "t-3": "twin", "t-4": "twin", "t-5": "", "t-2-old": "t-1"}


@pytest.mark.parametrize(
    ("text", "tenant", "parts"),
    [
        ("contoso", "t-1", ()),
        ("t-1", "t-1", ()),  # an id comes before a name that is alike
        ("t-5", "t-5", ()),
        ("everyone", EVERYONE, ()),
        ("contoso/user=alice", "t-1", ((Level.USER, "alice"),)),
        ("contoso/model=gpt-4o,user=alice", "t-1", ((Level.USER, "alice"), (Level.MODEL, "gpt-4o"))),
        ("everyone/model=gpt-4o", EVERYONE, ((Level.MODEL, "gpt-4o"),)),
        ("contoso/department=R%26D", "t-1", ((Level.DEPARTMENT, "R&D"),)),
    ],
)
def test_subjects(text: str, tenant: str, parts: tuple[tuple[Level, str], ...]) -> None:
    assert arguments.subject(text, TENANTS) == Subject(tenant, parts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("contos", "no tenant 'contos' has been seen: did you mean 'contoso'?"),
        ("zzz", "no tenant 'zzz' has been seen, known are "),
        ("twin/user=a", "several tenants are called 'twin': say which by its id: t-3, t-4"),
        ("", "'' is no subject: "),
        ("contoso/", "'contoso/' is no subject: "),
        ("contoso/role=x", "is no subject: expected one of department, user, "),
        ("contoso/user=a,user=b", "is no subject: expected one level, or two different ones"),
        ("contoso/user=a,app=b,model=c", "is no subject: expected one level, or two different ones"),
    ],
)
def test_what_is_no_subject(text: str, words: str) -> None:
    with pytest.raises(arguments.ArgumentError) as refused:
        arguments.subject(text, TENANTS)
    assert words in str(refused.value)


def test_a_gateway_that_has_seen_nobody_names_nobody() -> None:
    with pytest.raises(arguments.ArgumentError) as refused:
        arguments.tenant("contoso", {})
    assert str(refused.value) == "no tenant 'contoso' has been seen"


def test_a_tenant_that_was_not_seen_can_be_meant_by_its_id() -> None:
    assert arguments.subject("new/user=a", TENANTS, unseen=True) == Subject("new", ((Level.USER, "a"),))
    assert arguments.tenant("contoso", TENANTS, unseen=True) == "t-1"


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), min_size=1, max_size=6),
    st.text(max_size=8),
    st.data(),
)
def test_what_is_shown_can_be_typed(tenants: dict[str, str], user: str, data: st.DataObject) -> None:
    tenants.pop(EVERYONE, None)
    known = [*tenants, EVERYONE]
    subject = Subject(data.draw(st.sampled_from(known)), ((Level.USER, user),))
    assert arguments.subject(label(subject, tenants), tenants) == subject


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("0", "tokens_per_day", 0),
        ("12500", "tokens_per_day", 12_500),
        ("1_000_000", "tokens_per_day", 1_000_000),
        ("1000000000000", "requests_per_minute", 10**12),
        ("1e3", "requests_per_minute", 1000),
        ("12.50", "dollars_per_day", 12_500_000),
        ("0.000001", "dollars_per_month", 1),
        ("0.075", "dollars_per_month", 75_000),
        ("1000000000", "dollars_per_month", 10**15),
    ],
)
def test_amounts(text: str, kind: str, amount: int) -> None:
    assert arguments.amount(text, arguments.kind(kind)) == amount


@pytest.mark.parametrize("kind", ["tokens_per_day", "dollars_per_day"])
@pytest.mark.parametrize(
    "text",
    ["", "-1", "x", "nan", "inf", "-0.5", "1,000", "$5", "1 2", "9e99", "1e-9", "0.0000001", "１２", "1e999999999", LONG],
)
def test_what_is_no_amount(text: str, kind: str) -> None:
    with pytest.raises(arguments.ArgumentError) as refused:
        arguments.amount(text, arguments.kind(kind))
    assert str(refused.value).startswith(f"{kind}: expected ")
    assert str(refused.value).endswith(f"not {text!r}")


def test_tokens_are_whole() -> None:
    with pytest.raises(arguments.ArgumentError):
        arguments.amount("1.5", arguments.kind("tokens_per_day"))


@given(st.integers(0, 10**15))
def test_dollars_are_read_as_they_are_shown(micros: int) -> None:
    kind = KINDS["dollars_per_day"]
    assert arguments.amount(shown(micros, kind.measure).removeprefix("$").replace(",", ""), kind) == micros


def test_kinds() -> None:
    assert [arguments.kind(name) for name in KINDS] == list(KINDS.values())
    with pytest.raises(arguments.ArgumentError, match="'tpd' is no kind of limit: expected one of requests_per_minute"):
        arguments.kind("tpd")


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("user", (Level.USER,)),
        ("tenant", (Level.TENANT,)),
        ("model,user", (Level.USER, Level.MODEL)),
    ],
)
def test_levels(text: str, levels: tuple[Level, ...]) -> None:
    assert arguments.levels(text) == levels


@pytest.mark.parametrize("text", ["", "users", "everyone", "user,user", "tenant,user", "user,app,model", "user,"])
def test_what_are_no_levels(text: str) -> None:
    with pytest.raises(arguments.ArgumentError, match=r"--level .*: expected one of tenant, department, user"):
        arguments.levels(text)


def test_a_caller_is_what_the_subject_and_the_options_say() -> None:
    subject = Subject("t-1", ((Level.USER, "alice"), (Level.MODEL, "gpt-4o")))
    found = arguments.caller(subject, TENANTS, roles=["A", "B"], model="gpt-4o", department="R&D")
    assert (found.tenant, found.tenant_name, found.user, found.model) == ("t-1", "contoso", "alice", "gpt-4o")
    assert (found.department, found.app, found.roles) == ("R&D", "", frozenset({"A", "B"}))


def test_everyone_is_of_no_tenant() -> None:
    assert arguments.caller(Subject(EVERYONE), TENANTS).tenant == ""


def test_options_cannot_contradict_the_subject() -> None:
    with pytest.raises(arguments.ArgumentError, match="--model gpt-5: the subject says model=gpt-4o"):
        arguments.caller(Subject("t-1", ((Level.MODEL, "gpt-4o"),)), TENANTS, model="gpt-5")

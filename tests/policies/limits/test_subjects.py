"""A subject is read as it is written, and has a key of its own in its tenant's slot."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from policies.limits.subjects import EVERYONE, Level, Subject, SubjectError, bounded, key_form, parse, tag

WITHIN = [level for level in Level if level not in (Level.EVERYONE, Level.TENANT)]
LONG = "x" * 4_000
AWKWARD = (
    *("*", "everyone", "tenant", "user", "a,b", "a/b", "a=b", "a%b", "%", "%25", "%2A", "#", "{", "}", "{}", "{x}"),
    *("user=alice", " ", " a", "ü", "日本", "😀", "\ud83d\ude00", "\ud800", "\\ud800", "\udcff", "\x00", "\n", "sg"),
    *(LONG, LONG + "y", "ü" * 4_000, "#" + "0" * 64, "sha256:" + "0" * 64),
)
TEXTS = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(), max_size=200))
"""With lone surrogates: `characters` leaves out nothing."""
TENANTS = st.one_of(TEXTS, st.just(""), st.just(EVERYONE))


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    levels = sorted(draw(st.sets(st.sampled_from(WITHIN), max_size=2)), key=WITHIN.index)
    return Subject(draw(TENANTS), tuple((level, draw(TEXTS)) for level in levels))


ROWS = [
    (Subject("contoso"), "contoso", "sg:{contoso}:s:tenant"),
    (Subject(EVERYONE), "everyone", "sg:{*}:s:everyone"),
    (Subject("everyone"), "%65veryone", "sg:{everyone}:s:tenant"),
    (Subject("contoso", ((Level.USER, "alice"),)), "contoso/user=alice", "sg:{contoso}:s:user=alice"),
    (
        Subject("contoso", ((Level.USER, "alice"), (Level.MODEL, "gpt-4o"))),
        "contoso/user=alice,model=gpt-4o",
        "sg:{contoso}:s:user=alice,model=gpt-4o",
    ),
    (Subject(EVERYONE, ((Level.MODEL, "gpt-4o"),)), "everyone/model=gpt-4o", "sg:{*}:s:model=gpt-4o"),
    (Subject("a/b", ((Level.APP, "x,y=z"),)), "a%2Fb/app=x%2Cy%3Dz", "sg:{a%2Fb}:s:app=x%2Cy%3Dz"),
    (Subject("{a}"), "%7Ba%7D", "sg:{%7Ba%7D}:s:tenant"),
    (Subject("", ((Level.USER, "alice"),)), "%/user=alice", "sg:{%}:s:user=alice"),
    (Subject("50%"), "50%25", "sg:{50%25}:s:tenant"),
    (Subject("t", ((Level.USER, "a@b.c:1+!~ d"),)), "t/user=a@b.c:1+!~ d", "sg:{t}:s:user=a@b.c:1+!~ d"),
    (Subject("t", ((Level.USER, "\ud800"),)), "t/user=%ED%A0%80", "sg:{t}:s:user=%ED%A0%80"),
]


@pytest.mark.parametrize(("subject", "text", "key"), ROWS, ids=[row[1] for row in ROWS])
def test_how_subjects_are_written(subject: Subject, text: str, key: str) -> None:
    assert str(subject) == text
    assert subject.key() == key
    assert parse(text) == subject


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A pair is the same pair in either order: its counters are those of the configured one.
        ("t/model=m,user=u", Subject("t", ((Level.USER, "u"), (Level.MODEL, "m")))),
        # What a person need not encode.
        ("t/user=a=b", Subject("t", ((Level.USER, "a=b"),))),
        ("t/user=a/b", Subject("t", ((Level.USER, "a/b"),))),
        ("t/user=%C3%BC", Subject("t", ((Level.USER, "ü"),))),
        ("t/user=ü", Subject("t", ((Level.USER, "ü"),))),
        ("t/user=50%", Subject("t", ((Level.USER, "50%"),))),
        ("%2A", Subject(EVERYONE)),
    ],
)
def test_what_people_may_write_as_well(text: str, expected: Subject) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a subject"),
        ("/", "expected a subject"),
        ("/user=alice", "expected a subject"),
        ("contoso/", "expected a subject"),
        ("contoso/alice", "expected one of department, user, .*, not 'alice'"),
        ("contoso/User=alice", "not 'User'"),
        ("contoso/tenant=x", "not 'tenant'"),
        ("contoso/everyone=x", "not 'everyone'"),
        ("contoso/user", "expected user=VALUE"),
        ("contoso/user=", "expected user=VALUE"),
        ("contoso/user=a,", "not ''"),
        ("contoso/user=a,user=b", "one level, or two different ones"),
        ("contoso/user=a,app=b,model=c", "one level, or two different ones"),
        ("contoso/user=%FF", "percent-encoded UTF-8"),
        ("%C3", "percent-encoded UTF-8"),
    ],
)
def test_what_is_no_subject(text: str, message: str) -> None:
    with pytest.raises(SubjectError, match=message):
        parse(text)


@given(subjects())
def test_a_subject_is_read_as_it_is_written(subject: Subject) -> None:
    text = str(subject)
    assert parse(text) == subject
    assert text.isascii()


@given(st.text(st.characters(), max_size=60))
@example("\ud800/user=x")
def test_reading_gives_a_subject_or_an_error_of_its_own(text: str) -> None:
    try:
        subject = parse(text)
    except SubjectError:
        return
    assert parse(str(subject)) == subject


@given(subjects(), subjects())
@example(Subject("t", ((Level.USER, LONG),)), Subject("t", ((Level.USER, LONG + "y"),)))
@example(Subject("t", ((Level.USER, "\ud800"),)), Subject("t", ((Level.USER, "\\ud800"),)))
@example(Subject(EVERYONE), Subject("everyone"))
@example(Subject("t", ((Level.USER, "a,model=b"),)), Subject("t", ((Level.USER, "a"), (Level.MODEL, "b"))))
def test_different_subjects_have_different_names_and_keys(one: Subject, other: Subject) -> None:
    assert (one == other) == (one.key() == other.key()) == (str(one) == str(other))


@given(st.sampled_from(["user", "app"]), TEXTS)
def test_no_value_has_the_key_of_another_long_one(level: str, value: str) -> None:
    """The key of a long value ends in a hash, which could be the value of another subject."""
    key = Subject("t", ((Level(level), value * 200),)).key()
    end = key.rpartition("=")[2]
    assert Subject("t", ((Level(level), end),)).key() != key or end == value * 200


@given(TENANTS, st.lists(subjects(), min_size=1, max_size=5))
def test_all_subjects_of_a_tenant_are_in_one_slot(tenant: str, found: list[Subject]) -> None:
    braced = tag(tenant)
    assert braced[0] == "{"
    assert braced[-1] == "}"
    assert len(braced) > 2
    assert not set(braced[1:-1]) & set("{}")
    slots = {key_slot(Subject(tenant, one.parts).key().encode()) for one in found}
    assert slots == {key_slot(braced[1:-1].encode())}


@given(subjects().filter(lambda one: one.parts), st.sets(st.sampled_from(WITHIN)))
@example(Subject("a%s", ((Level.USER, "%s"), (Level.MODEL, "100%"))), {Level.USER})
def test_a_form_is_the_key_of_all_that_differ_in_what_is_left_open(subject: Subject, left_open: set[Level]) -> None:
    form = key_form(subject.tenant, subject.parts, left_open)
    values = tuple(bounded(value) for level, value in subject.parts if level in left_open)
    assert form % values == subject.key()


@given(subjects())
def test_a_key_is_bounded(subject: Subject) -> None:
    assert len(subject.key()) <= 3 * 128 + 64
    assert subject.key().isascii()

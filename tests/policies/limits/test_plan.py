"""Which limits bear on whom: the last entry that matches, and what was set at run time on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from policies.limits import plan as module
from policies.limits.limit import KINDS, Kind, Outage, OutputReserve, Rule, Window
from policies.limits.plan import Caller, Override, Plan, Plans, matches, overridden, subject_of, usual_outage
from policies.limits.settings import LimitEntry, Match
from policies.limits.subjects import EVERYONE, Level, Subject, parse
from tests.policies.limits.world import caller, limit

ALICE = caller()


def entry(subject: str | list[str], match: Mapping[str, str] | None = None, **members: Any) -> LimitEntry:
    return LimitEntry.model_validate({"subject": subject, "match": match or {}, **members})


def limits(plan: Plan) -> dict[str, int]:
    """What is limited, as `subject kind`, and to how much."""
    return {f"{one.subject} {one.rule.kind.name}": one.rule.amount for one in (*plan.limits, *plan.everyone)}


def planned(*entries: LimitEntry, whom: Caller = ALICE, overrides: Mapping[str, int] | None = None) -> dict[str, int]:
    plans = Plans(entries)
    plans.override(override(text, amount) for text, amount in (overrides or {}).items())
    return limits(plans.plan(whom))


def override(text: str, amount: int) -> Override:
    subject, _, kind = text.rpartition(" ")
    return Override(parse(subject), kind, amount)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], {}),
        ([entry("user", requests_per_minute=5)], {"t-1/user=alice requests_per_minute": 5}),
        ([entry("tenant", tokens_per_day=5)], {"t-1 tokens_per_day": 5}),
        ([entry("everyone", tokens_per_day=5)], {"everyone tokens_per_day": 5}),
        ([entry("department", tokens_per_day=5)], {"t-1/department=R%26D tokens_per_day": 5}),
        ([entry(["model", "user"], tokens_per_day=5)], {"t-1/user=alice,model=gpt-4o tokens_per_day": 5}),
        ([entry(["everyone", "model"], tokens_per_day=5)], {"everyone/model=gpt-4o tokens_per_day": 5}),
        # The last that matches counts, for each subject and kind by itself.
        (
            [
                entry("user", requests_per_minute=5, tokens_per_day=50),
                entry("user", requests_per_minute=6),
                entry("tenant", requests_per_minute=7),
            ],
            {
                "t-1/user=alice requests_per_minute": 6,
                "t-1/user=alice tokens_per_day": 50,
                "t-1 requests_per_minute": 7,
            },
        ),
        (
            [entry("user", {"role": "User"}, requests_per_minute=6), entry("user", requests_per_minute=5)],
            {"t-1/user=alice requests_per_minute": 5},
        ),
        (
            [entry("user", requests_per_minute=5), entry("user", {"role": "Admin"}, requests_per_minute=6)],
            {"t-1/user=alice requests_per_minute": 5},
        ),
        # Where there is no such thing, there is no such subject.
        ([entry("session", requests_per_minute=5), entry("agent", requests_per_minute=5)], {}),
        ([entry(["user", "session"], requests_per_minute=5)], {}),
    ],
)
def test_which_entry_wins(entries: list[LimitEntry], expected: dict[str, int]) -> None:
    assert planned(*entries) == expected


@pytest.mark.parametrize(
    ("match", "does"),
    [
        ({}, True),
        ({"tenant": "contoso"}, True),  # by its name
        ({"tenant": "t-1"}, True),  # or its id
        ({"tenant": "con*"}, True),
        ({"tenant": "fabrikam"}, False),
        ({"tenant": "Contoso"}, False),
        ({"user": "alice"}, True),
        ({"user": "al?ce"}, True),
        ({"user": "[a-c]lice"}, True),
        ({"user": "alic"}, False),
        ({"model": "gpt-4*"}, True),
        ({"model": "gpt-4"}, False),
        ({"role": "User"}, True),
        ({"role": "U*"}, True),
        ({"role": "Admin"}, False),
        ({"department": "R&D"}, True),
        ({"app": "*-ui"}, True),
        ({"agent": "*"}, False),  # there is none
        # All that is said must match.
        ({"user": "alice", "model": "gpt-4o", "role": "User"}, True),
        ({"user": "alice", "model": "o3", "role": "User"}, False),
    ],
)
def test_whom_an_entry_is_for(match: dict[str, str], does: bool) -> None:
    assert matches(Match.model_validate(match), ALICE) is does


@pytest.mark.parametrize("name", ["tenant", "department", "role", "user", "app", "model", "agent"])
def test_what_a_caller_lacks_matches_nothing(name: str) -> None:
    nobody = Caller("", "", "", "", "", frozenset(), "", "", "")
    assert not matches(Match.model_validate({name: "*"}), nobody)
    assert matches(Match(), nobody)


def test_one_of_several_roles_is_enough() -> None:
    both = caller(roles=frozenset({"User", "Batch"}))
    assert matches(Match(role="Batch"), both)
    assert not matches(Match(role="User", user="bob"), both)


@pytest.mark.parametrize(
    ("levels", "whom", "expected"),
    [
        ((Level.TENANT,), ALICE, Subject("t-1")),
        ((Level.EVERYONE,), ALICE, Subject(EVERYONE)),
        ((Level.USER,), ALICE, Subject("t-1", ((Level.USER, "alice"),))),
        ((Level.EVERYONE, Level.MODEL), ALICE, Subject(EVERYONE, ((Level.MODEL, "gpt-4o"),))),
        ((Level.EVERYONE, Level.MODEL), caller(model=""), None),
        ((Level.DEPARTMENT,), caller(department=""), None),
        ((Level.USER, Level.SESSION), ALICE, None),
        ((Level.SESSION,), caller(session="s1"), Subject("t-1", ((Level.SESSION, "s1"),))),
        ((Level.AGENT,), caller(agent="kb"), Subject("t-1", ((Level.AGENT, "kb"),))),
    ],
)
def test_which_subject_a_caller_is(levels: tuple[Level, ...], whom: Caller, expected: Subject | None) -> None:
    assert subject_of(levels, whom) == expected


USERS = entry("user", requests_per_minute=5)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, {"t-1/user=alice requests_per_minute": 5}),
        # In place of what is configured.
        ({"t-1/user=alice requests_per_minute": 0}, {"t-1/user=alice requests_per_minute": 0}),
        ({"t-1/user=alice requests_per_minute": 900}, {"t-1/user=alice requests_per_minute": 900}),
        # Beside it.
        (
            {
                "t-1/user=alice tokens_per_day": 7,
                "t-1 dollars_per_month": 8,
                "everyone/model=gpt-4o tokens_per_minute": 9,
            },
            {
                "t-1/user=alice requests_per_minute": 5,
                "t-1/user=alice tokens_per_day": 7,
                "t-1 dollars_per_month": 8,
                "everyone/model=gpt-4o tokens_per_minute": 9,
            },
        ),
        (
            {"t-1/model=gpt-4o,user=alice tokens_per_day": 7},
            {"t-1/user=alice requests_per_minute": 5, "t-1/user=alice,model=gpt-4o tokens_per_day": 7},
        ),
        # Of others: another tenant, another user, another model, a session that this is not.
        (
            {
                "t-2/user=alice requests_per_minute": 1,
                "t-2 tokens_per_day": 1,
                "t-1/user=bob requests_per_minute": 1,
                "t-1/user=alice,model=o3 tokens_per_day": 1,
                "t-1/session=s tokens_per_day": 1,
                "everyone/model=o3 tokens_per_day": 1,
                "everyone/user=bob tokens_per_day": 1,
            },
            {"t-1/user=alice requests_per_minute": 5},
        ),
    ],
)
def test_limits_that_were_set_at_run_time(overrides: dict[str, int], expected: dict[str, int]) -> None:
    assert planned(USERS, overrides=overrides) == expected


def test_an_override_reaches_a_user_with_a_long_name() -> None:
    """Long names are not written out in keys, but they are where people set limits."""
    long = caller(user="u" * 500)
    text = f"{Subject('t-1', ((Level.USER, long.user),))} requests_per_minute"
    assert planned(USERS, whom=long, overrides={text: 0}) == {text: 0}


def test_overrides_replace_the_former_ones_at_once() -> None:
    plans = Plans([USERS])
    assert limits(plans.plan(ALICE)) == {"t-1/user=alice requests_per_minute": 5}
    plans.override([override("t-1/user=alice requests_per_minute", 1)])
    assert limits(plans.plan(ALICE)) == {"t-1/user=alice requests_per_minute": 1}
    plans.override([override("t-1 requests_per_minute", 2)])
    assert limits(plans.plan(ALICE)) == {"t-1/user=alice requests_per_minute": 5, "t-1 requests_per_minute": 2}
    plans.override([])
    assert limits(plans.plan(ALICE)) == {"t-1/user=alice requests_per_minute": 5}


def test_an_override_changes_the_amount_and_nothing_else() -> None:
    configured = limit("dollars_per_day", 50, soft=0.5, outage=Outage.ALLOWANCE, allowance=7, shadow=True)
    found = overridden(configured, Override(configured.subject, "dollars_per_day", 9))
    assert (found.rule.amount, found.rule.source) == (9, "override")
    same = replace(found.rule, amount=50, source=configured.rule.source)
    assert (found.subject, found.key, same) == (configured.subject, configured.key, configured.rule)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_budgets_are_worth_an_interruption_and_rates_are_not(kind: Kind) -> None:
    is_budget = kind.window in (Window.DAY, Window.MONTH)
    assert usual_outage(kind) is (Outage.CLOSED if is_budget else Outage.LOCAL)
    alone = overridden(None, Override(Subject("t-1"), kind.name, 5))
    assert (alone.rule.outage, alone.rule.source, alone.rule.shadow) == (usual_outage(kind), "override", False)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_counters_are_kept_for_longer_than_two_windows(kind: Kind) -> None:
    """The one before is still needed. Places among the parallel ones are given back within a day."""
    [found] = Plans([entry("tenant", None, **{kind.name: 5})]).plan(ALICE).limits
    window = {Window.MINUTE: 60, Window.DAY: 86_400, Window.MONTH: 31 * 86_400, Window.NONE: 43_200}[kind.window]
    assert 2 * window <= found.rule.seconds <= 2 * window + 3_600


def test_a_limit_says_what_its_entry_says() -> None:
    said = entry(
        "user", dollars_per_day=2, soft=0.5, output_reserve="expected", outage="allowance", allowance=0.25, shadow=True
    )
    [found] = Plans([USERS, said]).plan(ALICE).limits[1:]
    assert (found.subject, found.key) == (parse("t-1/user=alice"), "sg:{t-1}:s:user=alice")
    assert found.rule == Rule(
        kind=KINDS["dollars_per_day"],
        amount=2_000_000,
        seconds=found.rule.seconds,
        soft=0.5,
        reserve=OutputReserve.EXPECTED,
        outage=Outage.ALLOWANCE,
        allowance=250_000,
        shadow=True,
        source="limits[1]",
    )


@pytest.mark.parametrize(("whole", "own", "shadow"), [(False, False, False), (True, False, True), (False, True, True)])
def test_in_shadow_nothing_is_enforced(whole: bool, own: bool, shadow: bool) -> None:
    plans = Plans([entry("user", requests_per_minute=5, shadow=own)], shadow=whole)
    plans.override([override("t-1/user=alice requests_per_minute", 6), override("t-1 tokens_per_day", 7)])
    found = plans.plan(ALICE).limits
    in_shadow = {one.rule.kind.name: one.rule.shadow for one in found}
    assert in_shadow == {"requests_per_minute": shadow, "tokens_per_day": whole}


def test_limits_of_everyone_stand_apart_and_those_of_one_subject_together() -> None:
    """A script charges one tenant's slot, and reads each subject once."""
    plan = Plans(
        [
            entry("user", requests_per_minute=5),
            entry("everyone", requests_per_minute=5),
            entry("tenant", requests_per_minute=5),
            entry("user", tokens_per_minute=5),
            entry(["everyone", "model"], tokens_per_day=5),
            entry("tenant", parallel_requests=5),
        ]
    ).plan(ALICE)
    assert {one.subject.tenant for one in plan.limits} == {"t-1"}
    assert {one.subject.tenant for one in plan.everyone} == {EVERYONE}
    keys = [one.key for one in plan.limits]
    assert keys == sorted(keys)
    assert len(keys) == 4
    assert len(plan.everyone) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    plans = Plans([entry("app", requests_per_minute=5)])
    found = [plans.plan(caller(app=f"a{number}")) for number in range(25)]
    assert len(plans._remembered) == 10
    # What was forgotten is worked out again, and what was not is the same object.
    assert plans.plan(caller(app="a0")) == found[0]
    assert plans.plan(caller(app="a0")) is not found[0]
    assert plans.plan(caller(app="a24")) is found[24]


@pytest.mark.parametrize(("match", "remembered"), [({}, 1), ({"role": "User"}, 1), ({"user": "u*"}, 50)])
def test_users_and_sessions_are_not_remembered_but_where_an_entry_matches_on_users(
    match: dict[str, str], remembered: int
) -> None:
    plans = Plans([USERS, entry("user", match, tokens_per_day=7), entry(["session", "model"], requests_per_day=9)])
    for number in range(50):
        found = limits(plans.plan(caller(user=f"u{number}", session=f"s{number}")))
        assert found == {
            f"t-1/user=u{number} requests_per_minute": 5,
            f"t-1/user=u{number} tokens_per_day": 7,
            f"t-1/model=gpt-4o,session=s{number} requests_per_day": 9,
        }
    assert len(plans._remembered) == remembered


@given(
    st.builds(
        caller, **{name: st.sampled_from(["", "a", "%s", "{x}", "ü", "x" * 300]) for name in ("user", "model", "app")}
    )
)
def test_every_limit_is_under_the_key_of_its_subject(whom: Caller) -> None:
    whom = replace(whom, session=whom.app)
    pairs = [["user", "model"], ["app", "user"], ["user", "session"], ["everyone", "user"]]
    entries = [entry(of, requests_per_minute=5) for of in (["tenant"], ["user"], ["app"], *pairs)]
    plan = Plans(entries).plan(whom)
    found = [*plan.limits, *plan.everyone]
    assert [one.key for one in found] == [one.subject.key() for one in found]
    expected = [subject_of(one.subject, whom) for one in entries]
    assert {one.subject for one in found} == {one for one in expected if one is not None}


@pytest.mark.parametrize("of", ["t-1/user=alice", "everyone/user=alice", "t-1/user=alice,model=gpt-4o"])
def test_an_override_of_one_user_is_nobody_elses(of: str) -> None:
    text = f"{of} requests_per_minute"
    entries = [entry(["user", "model"], requests_per_day=9), entry(["everyone", "user"], tokens_per_day=8)]
    plans = Plans([*entries, entry("tenant", requests_per_minute=7)])
    before, bobs = limits(plans.plan(ALICE)), limits(plans.plan(caller(user="bob")))
    plans.override([override(text, 1)])
    assert limits(plans.plan(ALICE)) == before | {text: 1}
    assert limits(plans.plan(caller(user="bob"))) == bobs


@pytest.mark.parametrize(
    ("entries", "overrides", "expected"),
    [
        ([entry("user", requests_per_minute=5)], (), False),
        ([entry("session", requests_per_minute=5)], (), True),
        ([entry(["user", "session"], requests_per_minute=5)], (), True),
        ([entry("user", requests_per_minute=5)], ("t-1/session=s requests_per_minute",), True),
        ([entry("user", requests_per_minute=5)], ("t-1/user=alice requests_per_minute",), False),
    ],
)
def test_sessions_are_asked_for_where_a_limit_is_about_one(
    entries: list[LimitEntry], overrides: tuple[str, ...], expected: bool
) -> None:
    plans = Plans(entries)
    plans.override([override(text, 1) for text in overrides])
    assert plans.by_session is expected
    plans.override([])
    assert plans.by_session is any(Level.SESSION in one.subject for one in entries)


def test_what_follows_from_an_amount_follows_from_that_of_an_override() -> None:
    plans = Plans([entry("user", requests_per_minute=100)])
    plans.override([override("t-1/user=alice requests_per_minute", 10)])
    [found] = plans.plan(ALICE).limits
    assert (found.rule.amount, found.rule.warns_from, found.rule.head[-1]) == (10, 8, 10)


LEVELS = st.sampled_from(["user", "tenant", "everyone", "app", "session"])
ENTRIES = st.lists(
    st.builds(
        lambda subject, match, kind, amount: entry(subject, match, **{kind: amount}),
        LEVELS,
        st.sampled_from([{}, {"role": "User"}, {"role": "Admin"}, {"user": "a*"}, {"tenant": "other"}]),
        st.sampled_from(["requests_per_minute", "tokens_per_day"]),
        st.integers(0, 5),
    ),
    max_size=8,
)


@given(ENTRIES)
def test_the_last_entry_that_matches_counts(entries: list[LimitEntry]) -> None:
    """As a person would read the configuration: from below, the first that matches."""
    found = planned(*entries)
    for name, kind in (("t-1/user=alice", Level.USER), ("t-1", Level.TENANT), ("everyone", Level.EVERYONE)):
        for measure in ("requests_per_minute", "tokens_per_day"):
            last = next(
                (
                    one.amounts()[measure]
                    for one in reversed(entries)
                    if one.subject == (kind,) and measure in one.amounts() and matches(one.match, ALICE)
                ),
                None,
            )
            assert found.get(f"{name} {measure}") == last

from __future__ import annotations

from extproc.call import Operation
from extproc.identity import Identity
from policies.access import grants as grants_module
from policies.access.grants import Holdings
from tests.policies.access.world import GROUP, grants, machine, person


def held(holdings: Holdings, operation: Operation) -> list[str]:
    return [str(one) for one in holdings.operations.get(operation, ())]


SOME = {
    "permissions": {"p": {"operations": ["chat"], "models": ["*"]}, "q": {"agents": ["*"]}},
    "roles": {"R": ["p"], "S": ["p", "q"], "All": ["*"], "Apps": {"permissions": ["*"], "callers": ["app"]}},
    "groups": {GROUP: ["p"]},
}


def test_a_permission_is_held_once_and_says_through_what() -> None:
    both = grants(**SOME).holdings(person("S", "R"))
    assert held(both, Operation.CHAT) == ["permission p through role R"]
    assert both.through == ("role R", "role S")


def test_through_a_group() -> None:
    member = grants(**SOME).holdings(person(groups=(GROUP, "other")))
    assert held(member, Operation.CHAT) == [f"permission p through group {GROUP}"]


def test_the_star_is_every_permission() -> None:
    everything = grants(**SOME).holdings(person("All"))
    assert held(everything, Operation.CHAT) == ["permission p through role All"]
    assert set(everything.agents) == {"kb", "tools"}


def test_roles_for_the_other_kind_of_caller_are_idle() -> None:
    compiled = grants(**SOME)
    assert compiled.holdings(person("Apps")).idle == ("role Apps",)
    assert compiled.holdings(machine("Apps")).through == ("role Apps",)


def test_the_same_roles_are_compiled_once() -> None:
    compiled = grants(**SOME)
    first = compiled.holdings(person("R", groups=("one",)))
    assert compiled.holdings(person("R", groups=("two", "three"))) is first
    assert compiled.holdings(machine("R")) is not first


def test_what_is_remembered_is_bounded_and_stays_right() -> None:
    compiled = grants(**SOME)
    limit = grants_module._REMEMBERED
    for number in range(limit + 50):
        compiled.holdings(person("R", f"role-{number}"))
    assert len(compiled._memory) == limit
    assert held(compiled.holdings(person("R", "role-0")), Operation.CHAT) == ["permission p through role R"]
    assert held(compiled.holdings(person("role-0")), Operation.CHAT) == []


def test_unknown_groups_grant_nothing() -> None:
    compiled = grants(**SOME)
    overage = person(groups=(GROUP,), groups_known=False)
    assert held(compiled.holdings(overage), Operation.CHAT) == []
    assert held(compiled.best_case(overage), Operation.CHAT) == [f"permission p through group {GROUP}"]


def test_the_best_case_of_one_caller_is_not_another_callers() -> None:
    compiled = grants(**SOME)
    compiled.best_case(person(groups_known=False))
    stranger: Identity = person()
    assert held(compiled.holdings(stranger), Operation.CHAT) == []


def test_several_rules_for_one_agent_add_up() -> None:
    compiled = grants(
        permissions={
            "p": {"agents": [{"name": "kb", "paths": ["/a"]}, {"name": "k*", "methods": ["GET"], "paths": ["/b"]}]}
        },
        roles={"R": ["p"]},
    )
    ways = [way for way, _ in compiled.holdings(person("R")).agents["kb"]]
    assert [(way.covers("POST", "/a"), way.covers("GET", "/b"), way.covers("POST", "/b")) for way in ways] == [
        (True, False, False),
        (False, True, False),
    ]

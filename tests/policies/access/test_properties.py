"""What must hold for any settings, any caller and any call."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.call import Call, Operation
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.access.decide import Allowed, Decision, decide_call, decide_endpoint, usable_models
from policies.access.grants import Grants, compile_grants
from policies.access.refusals import Refused
from policies.access.settings import AccessSettings
from tests.policies.access.world import CATALOGUE, endpoint, grants

NAMES = ["R1", "R2", "R3", "R4"]
GROUPS = ["g1", "g2"]
MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-5", "llama-3", "claude-haiku", "ft:mine", "unheard"]
TOOLS = ["web_search", "mcp"]
OPERATIONS = ["chat", "responses", "embeddings", "messages"]


def some(values: list[str], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True)


permissions = st.fixed_dictionaries(
    {"operations": some(OPERATIONS, 1), "models": some([*MODELS, "gpt-*", "*"], 1)},
    optional={
        "upstreams": some(["cloud", "azure-*", "local", "claude"], 1),
        "max_output_tokens": st.sampled_from([10, 20]),
        "hosted_tools": some([*TOOLS, "*"]),
        "agents": some(["kb", "tools"]),
        "opaque": st.just([]),
    },
)
assignments = st.fixed_dictionaries(
    {"permissions": some(["p1", "p2", "p3"])}, optional={"callers": some(["user", "app"], 1)}
)


@st.composite
def compiled(draw: st.DrawFn) -> Grants:
    settings: dict[str, Any] = {
        "permissions": {name: draw(permissions) for name in ("p1", "p2", "p3")},
        "roles": {name: draw(assignments) for name in NAMES},
        "groups": {name: draw(assignments) for name in GROUPS},
    }
    return compile_grants(AccessSettings.model_validate(settings), CATALOGUE)


identities = st.builds(
    Identity,
    tenant=st.just("t"),
    user=st.just("u"),
    app=st.just("a"),
    kind=st.sampled_from(CallerKind),
    roles=st.frozensets(st.sampled_from([*NAMES, "unheard"])),
    groups=st.frozensets(st.sampled_from([*GROUPS, "unheard"])),
    groups_known=st.booleans(),
)
calls = st.builds(
    Call,
    operation=st.sampled_from(OPERATIONS).map(Operation),
    dialect=st.sampled_from([Dialect.OPENAI, Dialect.ANTHROPIC]),
    model=st.one_of(st.none(), st.sampled_from(MODELS), st.text(max_size=4)),
    max_output=st.sampled_from([None, 5, 15, 25]),
    hosted_tools=st.lists(st.sampled_from(TOOLS), max_size=2).map(tuple),
)


def ceiling(decision: Decision) -> float:
    assert isinstance(decision, Allowed)
    return float("inf") if decision.ceiling is None else decision.ceiling


@given(compiled(), identities, calls, st.data())
def test_nothing_is_gained_by_losing_roles_or_groups(
    made: Grants, identity: Identity, call: Call, data: st.DataObject
) -> None:
    fewer = replace(
        identity,
        roles=frozenset(role for role in identity.roles if data.draw(st.booleans())),
        groups=frozenset(group for group in identity.groups if data.draw(st.booleans())),
    )
    with_fewer, with_all = decide_call(made, fewer, call), decide_call(made, identity, call)
    if isinstance(with_fewer, Allowed):
        assert isinstance(with_all, Allowed)
        if call.operation is not Operation.EMBEDDINGS:
            assert ceiling(with_all) >= ceiling(with_fewer)
    for route in ("kb", "tools"):
        asked = endpoint("agent", route=route, rest="/x")
        if isinstance(decide_endpoint(made, fewer, asked, "GET", ""), Allowed):
            assert isinstance(decide_endpoint(made, identity, asked, "GET", ""), Allowed)


@given(compiled(), identities, calls)
def test_unknown_groups_allow_what_no_groups_allow_and_say_so_where_they_matter(
    made: Grants, identity: Identity, call: Call
) -> None:
    unknown = decide_call(made, replace(identity, groups_known=False), call)
    none = decide_call(made, replace(identity, groups=frozenset(), groups_known=True), call)
    every = decide_call(made, replace(identity, groups=frozenset(GROUPS), groups_known=True), call)
    assert isinstance(unknown, Allowed) == isinstance(none, Allowed)
    if isinstance(unknown, Refused):
        assert (unknown.code == "groups_unknown") == isinstance(every, Allowed)


@given(compiled(), identities, calls)
def test_a_call_that_is_allowed_has_an_endpoint_that_is_allowed(made: Grants, identity: Identity, call: Call) -> None:
    if isinstance(decide_call(made, identity, call), Allowed):
        asked = endpoint(call.operation.value)
        assert isinstance(decide_endpoint(made, identity, asked, "POST", ""), Allowed)


@given(compiled(), identities, calls)
def test_an_allowed_call_is_within_its_ceiling_and_one_permission_allows_all_of_it(
    made: Grants, identity: Identity, call: Call
) -> None:
    decision = decide_call(made, identity, call)
    if isinstance(decision, Allowed):
        grant = decision.by.grant
        assert call.model is not None
        assert call.operation in grant.operations
        assert call.model in grant.models
        assert all(tool in grant.hosted_tools for tool in call.hosted_tools)
        found = CATALOGUE.find(call.dialect, call.model)
        assert grant.upstreams is None or (found is not None and found[0].name in grant.upstreams)
        if decision.ceiling is not None and call.max_output is not None:
            assert call.max_output <= decision.ceiling


@given(compiled(), identities)
def test_a_model_is_listed_exactly_if_a_call_to_it_is_allowed(made: Grants, identity: Identity) -> None:
    known = replace(identity, groups_known=True)
    for dialect, operations in (
        (Dialect.OPENAI, ("chat", "responses", "embeddings")),
        (Dialect.ANTHROPIC, ("messages",)),
    ):
        listed = usable_models(made, known, dialect)
        for name, _ in CATALOGUE.named_models(dialect):
            allowed = [decide_call(made, known, Call(Operation(each), dialect, model=name)) for each in operations]
            assert (name in listed) == any(isinstance(decision, Allowed) for decision in allowed)


@given(identities, calls)
def test_without_settings_everything_is_denied(identity: Identity, call: Call) -> None:
    none = grants()
    assert isinstance(decide_call(none, identity, call), Refused)
    assert isinstance(decide_endpoint(none, identity, endpoint(call.operation.value), "POST", ""), Refused)


@given(compiled(), identities, calls)
def test_what_is_said_is_printable_and_bounded(made: Grants, identity: Identity, call: Call) -> None:
    decision = decide_call(made, identity, call)
    if isinstance(decision, Refused):
        assert (decision.message + decision.why).isprintable()
        assert len(decision.message) < 600

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from extproc.identity import CallerKind
from extproc.mistakes import describe
from policies.access.settings import AccessSettings
from tests.policies.access.world import GROUP, SETTINGS, grants


def mistakes(settings: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as raised:
        AccessSettings.model_validate(settings)
    return "\n".join(describe(raised.value, AccessSettings))


def test_short_forms_mean_what_the_long_ones_say() -> None:
    short = {"permissions": {"p": {"agents": ["kb"]}}, "roles": {"R": ["p"]}}
    long = {
        "permissions": {"p": {"agents": [{"name": "kb"}]}},
        "roles": {"R": {"permissions": ["p"], "callers": ["user", "app"]}},
    }
    assert AccessSettings.model_validate(short) == AccessSettings.model_validate(long)


def test_both_kinds_of_caller_unless_said_otherwise() -> None:
    settings = AccessSettings.model_validate(SETTINGS)
    assert settings.roles["Asker"].callers == {CallerKind.USER, CallerKind.APP}
    assert settings.roles["Person"].callers == {CallerKind.USER}


def test_group_ids_are_compared_in_lower_case() -> None:
    settings = AccessSettings.model_validate({"groups": {GROUP.upper(): [], "Sales Team": []}})
    assert set(settings.groups) == {GROUP, "Sales Team"}


def test_the_same_group_twice_is_a_mistake() -> None:
    assert "twice" in mistakes({"groups": {GROUP.upper(): [], GROUP: []}})


def permission(**members: Any) -> dict[str, Any]:
    return {"permissions": {"p": members}}


@pytest.mark.parametrize(
    ("settings", "path", "said"),
    [
        (permission(models=["gpt-[4"], operations=["chat"]), "permissions.p.models[0]", "not closed"),
        (permission(models=[""], operations=["chat"]), "permissions.p.models[0]", "expected a name"),
        (permission(operations=["chat"]), "permissions.p", "without `models`"),
        (permission(models=["*"]), "permissions.p", "without `operations`"),
        (permission(models=["*"], operations=["models"]), "permissions.p", "without `operations`"),
        (permission(hosted_tools=["mcp"]), "permissions.p", "`hosted_tools`"),
        (permission(max_output_tokens=5), "permissions.p", "`max_output_tokens`"),
        (permission(models=["*"], operations=["chat"], max_output_tokens=0), "permissions.p.max_output_tokens", "1"),
        (permission(upstreams=["cloud"]), "permissions.p", "`upstreams`"),
        (permission(models=["*"], operations=["chat"], upstreams=[]), "permissions.p.upstreams", "at least 1"),
        (permission(models=["*"], operations=["agent"]), "permissions.p.operations[0]", "expected chat, "),
        (permission(modles=["*"]), "permissions.p.modles", "unknown key"),
        (permission(agents=[{"name": "kb", "paths": ["docs"]}]), "permissions.p.agents[0].paths[0]", "slash"),
        (permission(agents=[{"name": "kb", "paths": []}]), "permissions.p.agents[0].paths", "at least 1"),
        (permission(agents=[{"name": "kb", "methods": ["get"]}]), "permissions.p.agents[0].methods[0]", "expected GET, "),
        (permission(agents="kb"), "permissions.p.agents", "expected a list"),
        ({"permissions": {"a name": {}}}, "permissions.a name", "beginning with a letter"),
        ({"roles": {"R": {"permissions": [], "callers": []}}}, "roles.R.callers", "at least 1"),
        ({"roles": {"R": {"permissions": [], "callers": ["robot"]}}}, "roles.R.callers", "expected user or app"),
        ({"roles": {" R": []}}, "roles. R", "outer spaces"),
        ({"roles": {"R\n": []}}, "roles.R\n", "printable"),
        ({"scopes": ['a"b']}, "scopes[0]", "a scope token"),
        ({"scopes": ["two words"]}, "scopes[0]", "a scope token"),
        ({"rolls": {}}, "rolls", "unknown key (did you mean 'roles'?)"),
        ({"roles": {"R": "p"}}, "roles.R", "expected a list of permissions"),
    ],
)
def test_mistakes_are_told_with_their_path(settings: dict[str, Any], path: str, said: str) -> None:
    told = mistakes(settings)
    assert said in told
    assert path in told


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"agents": ["kp"]}, "permissions.p.agents[0]: no agent is called 'kp'"),
        ({"agents": ["tolls"]}, "permissions.p.agents[0]: no agent is called 'tolls' (did you mean 'tools'?)"),
        ({"agents": ["kb", "x*"]}, "permissions.p.agents[1]: no agent matches 'x*'"),
        ({"opaque": ["audio"]}, "permissions.p.opaque[0]: no opaque route is called 'audio'"),
        ({"opaque": ["files"], "upstreams": ["local"]}, "no opaque route of these upstreams is called 'files'"),
        (
            {"models": ["*"], "operations": ["chat"], "upstreams": ["local", "azure-w*"]},
            "permissions.p.upstreams[1]: no upstream matches 'azure-w*'",
        ),
    ],
)
def test_what_is_not_in_the_catalogue_is_a_mistake_at_build(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="permissions") as raised:
        grants(permissions={"p": members})
    assert said in str(raised.value)


def test_every_mistake_at_once_one_a_line() -> None:
    with pytest.raises(ValueError, match="nobody") as raised:
        grants(
            permissions={"query": {"agents": ["nobody"]}, "q": {"opaque": ["nothing"]}},
            roles={"R": ["qurey", "query"]},
            groups={GROUP: ["nope", "*"]},
        )
    assert str(raised.value).splitlines() == [
        "permissions.query.agents[0]: no agent is called 'nobody'",
        "permissions.q.opaque[0]: no opaque route is called 'nothing'",
        "roles.R: there is no permission 'qurey' (did you mean 'query'?)",
        f"groups.{GROUP}: there is no permission 'nope'",
    ]


def test_the_schema_can_be_printed() -> None:
    schema = AccessSettings.model_json_schema()
    assert set(schema["properties"]) == {"permissions", "roles", "groups", "scopes"}


def test_the_schema_knows_the_short_forms() -> None:
    schema = AccessSettings.model_json_schema()
    names = {"type": "array", "items": {"type": "string"}}
    for section in ("roles", "groups"):
        assert names in schema["properties"][section]["additionalProperties"]["anyOf"]
    rules = schema["$defs"]["Permission"]["properties"]["agents"]
    assert {"type": "string"} in rules["items"]["anyOf"]

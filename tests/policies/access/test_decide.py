"""The decision tables. Each row is one caller and one request; the last column is the permission that allows it, or the
code with which it is refused (in capitals)."""

from __future__ import annotations

import pytest

from extproc.call import Operation
from extproc.exchange import Dialect
from extproc.identity import CallerKind, Identity
from policies.access.decide import Allowed, Decision, decide_call, decide_endpoint, decide_model, usable_models
from policies.access.refusals import Refused
from tests.policies.access.world import GRANTS, GROUP, call, endpoint, grants, machine, person

OPERATION, MODEL = "OPERATION_NOT_ALLOWED", "MODEL_NOT_ALLOWED"


def told(decision: Decision) -> str:
    return decision.code.upper() if isinstance(decision, Refused) else decision.by.grant.permission


def whole_decision(identity: Identity, operation: str, model: str | None) -> str:
    """As the hooks take it: the endpoint first, the call only if that was allowed."""
    first = decide_endpoint(GRANTS, identity, endpoint(operation), "POST", "/v1/any")
    if isinstance(first, Refused):
        return told(first)
    return told(decide_call(GRANTS, identity, call(operation, model)))


@pytest.mark.parametrize(
    ("roles", "kind", "operation", "model", "outcome"),
    [
        # One role, each operation.
        ("Asker", "user", "chat", "gpt-4o", "ask"),
        ("Asker", "user", "chat", "gpt-4o-mini", "ask"),
        ("Asker", "user", "responses", "gpt-4o", "ask"),
        ("Asker", "user", "messages", "claude-sonnet", "ask"),
        ("Asker", "user", "count_tokens", "claude-haiku", "ask"),
        ("Asker", "user", "completions", "gpt-4o", OPERATION),
        ("Asker", "user", "embeddings", "text-embedding-3-small", OPERATION),
        ("Asker", "user", "chat", "o3", MODEL),
        ("Asker", "user", "chat", "gpt-5", MODEL),
        ("Asker", "user", "chat", "llama-3", MODEL),
        ("Asker", "user", "messages", "gpt-4o", "ask"),  # granted; that no Anthropic upstream has it, the host says
        # Names are compared exactly, in case and in length.
        ("Asker", "user", "chat", "GPT-4o", MODEL),
        ("Asker", "user", "chat", "gpt-4O", MODEL),
        ("Asker", "user", "chat", " gpt-4o", MODEL),
        ("Asker", "user", "chat", "xgpt-4o", MODEL),
        ("Asker", "user", "chat", "gpt-4", MODEL),
        ("Asker", "user", "chat", "gpt-4o\n", MODEL),
        ("Asker", "user", "chat", "gpt-4o\x00", MODEL),
        ("Asker", "user", "chat", "gpt-4o\u202e", MODEL),
        ("Asker", "user", "chat", "gpt-4o\ud800", MODEL),
        ("Asker", "user", "chat", "gpt-4o" + "o" * 251, MODEL),
        ("Asker", "user", "chat", "", MODEL),
        ("Asker", "user", "chat", None, MODEL),
        ("Asker", "user", "chat", "ｇpt-4o", MODEL),
        ("Asker", "user", "chat", "*", MODEL),
        ("Asker", "user", "chat", "gpt-4o*", "ask"),  # the caller's own asterisk is a character
        ("Embedder", "user", "embeddings", "text-embedding-3-smal?", MODEL),
        # Kinds of caller: the same claim holds roles of people and of applications.
        ("Asker", "app", "chat", "gpt-4o", "ask"),
        ("Person", "user", "chat", "gpt-4o", "ask"),
        ("Person", "app", "chat", "gpt-4o", OPERATION),
        ("Machine", "app", "chat", "gpt-4o", "ask"),
        ("Machine", "app", "embeddings", "text-embedding-3-small", "embed"),
        ("Machine", "user", "chat", "gpt-4o", OPERATION),
        ("Machine", "user", "embeddings", "text-embedding-3-small", OPERATION),
        ("Person Machine", "app", "embeddings", "text-embedding-3-small", "embed"),
        ("Person Machine", "user", "embeddings", "text-embedding-3-small", OPERATION),
        ("Root", "app", "chat", "o3", MODEL),
        ("Root", "app", "chat", "gpt-5", "in_azure"),
        # Several roles: the union.
        ("Asker Embedder", "user", "embeddings", "text-embedding-3-small", "embed"),
        ("Asker Embedder", "user", "chat", "gpt-4o", "ask"),
        # But one permission must allow the whole of a call.
        ("Asker Embedder", "user", "chat", "text-embedding-3-small", MODEL),
        ("Asker Embedder", "user", "embeddings", "gpt-4o", MODEL),
        # Upstreams: the one that would serve the model decides.
        ("Homebody", "user", "chat", "llama-3", "at_home"),
        ("Homebody", "user", "completions", "llama-3", "at_home"),
        ("Homebody", "user", "chat", "gpt-4o", MODEL),  # the cloud stands before the local server and serves it
        ("Homebody", "user", "chat", "ft:mine", MODEL),  # so does its glob
        ("Homebody", "user", "chat", "gpt-5", MODEL),
        ("Homebody", "user", "chat", "no-such-model", MODEL),
        ("Azure", "user", "chat", "gpt-5", "in_azure"),
        ("Azure", "user", "chat", "gpt-4o", MODEL),
        ("Azure", "user", "responses", "gpt-5", OPERATION),
        ("Azure Homebody", "user", "chat", "llama-3", "at_home"),
        ("Azure Asker", "user", "chat", "gpt-4o", "ask"),
        # Nothing granted.
        ("", "user", "chat", "gpt-4o", OPERATION),
        ("", "app", "chat", "gpt-4o", OPERATION),
        ("Unheard", "user", "chat", "gpt-4o", OPERATION),
        ("asker", "user", "chat", "gpt-4o", OPERATION),
        ("ASKER", "user", "chat", "gpt-4o", OPERATION),
        ("*", "user", "chat", "gpt-4o", OPERATION),
        ("Nothing", "user", "chat", "gpt-4o", OPERATION),
        ("Idle", "user", "chat", "gpt-4o", OPERATION),
        ("Reader", "user", "chat", "gpt-4o", OPERATION),
        ("Lister", "user", "chat", "gpt-4o", OPERATION),
        ("Unheard Asker", "user", "chat", "gpt-4o", "ask"),
        # A permission's name is not a role.
        ("ask", "user", "chat", "gpt-4o", OPERATION),
    ],
)
def test_calls(roles: str, kind: str, operation: str, model: str | None, outcome: str) -> None:
    who = person if kind == "user" else machine
    assert whole_decision(who(*roles.split()), operation, model) == outcome


@pytest.mark.parametrize(
    ("roles", "operation", "model", "asked", "outcome", "ceiling"),
    [
        ("Asker", "chat", "gpt-4o", None, "ask", 1000),
        ("Asker", "chat", "gpt-4o", 1000, "ask", 1000),
        ("Asker", "chat", "gpt-4o", 1001, "OUTPUT_CEILING_EXCEEDED", None),
        ("Asker", "responses", "gpt-4o", 1001, "OUTPUT_CEILING_EXCEEDED", None),
        ("Asker", "messages", "claude-haiku", 1001, "OUTPUT_CEILING_EXCEEDED", None),
        ("Writer", "chat", "gpt-4o", 4000, "ask_at_length", 4000),
        ("Writer", "chat", "gpt-4o", 4001, "OUTPUT_CEILING_EXCEEDED", None),
        ("Writer", "chat", "gpt-4o-mini", 1001, "OUTPUT_CEILING_EXCEEDED", None),  # the longer one is for another model
        ("Writer", "responses", "gpt-4o", 1001, "OUTPUT_CEILING_EXCEEDED", None),  # and for another operation
        ("Novelist", "chat", "gpt-4o-mini", 1_000_000, "ask_without_end", None),
        ("Novelist", "chat", "gpt-4o-mini", None, "ask_without_end", None),
        ("Novelist", "chat", "gpt-4o", 4001, "OUTPUT_CEILING_EXCEEDED", None),
        ("Embedder", "embeddings", "text-embedding-3-small", None, "embed", None),  # nothing is generated
        ("Asker", "count_tokens", "claude-haiku", None, "ask", None),
        ("Homebody", "chat", "llama-3", None, "at_home", None),
    ],
)
def test_output_ceilings(
    roles: str, operation: str, model: str, asked: int | None, outcome: str, ceiling: int | None
) -> None:
    decision = decide_call(GRANTS, person(*roles.split()), call(operation, model, max_output=asked))
    assert told(decision) == outcome
    if isinstance(decision, Allowed):
        assert decision.ceiling == ceiling


def test_the_refusal_of_too_much_output_names_both_numbers() -> None:
    decision = decide_call(GRANTS, person("Asker"), call("responses", "gpt-4o", max_output=1001))
    assert isinstance(decision, Refused)
    assert "1000" in decision.message
    assert "1001" in decision.message
    assert decision.param == "max_output_tokens"


@pytest.mark.parametrize(
    ("roles", "tools", "asked", "outcome"),
    [
        ("Asker", (), None, "ask"),
        ("Asker", ("web_search",), None, "TOOL_NOT_ALLOWED"),
        ("Searcher", ("web_search",), None, "search_web"),
        ("Searcher", ("web_search_preview",), None, "search_web"),
        ("Searcher", ("Web_search",), None, "TOOL_NOT_ALLOWED"),
        ("Searcher", ("mcp",), None, "TOOL_NOT_ALLOWED"),
        ("Searcher", ("web_search", "mcp"), None, "TOOL_NOT_ALLOWED"),
        ("Searcher", ("web_search", "web_search"), None, "search_web"),
        ("Coder", ("code_interpreter",), None, "run_code"),
        ("Researcher", ("web_search",), None, "search_web"),
        ("Researcher", ("code_interpreter",), None, "run_code"),
        ("Researcher", ("web_search", "code_interpreter"), None, "TOOL_NOT_ALLOWED"),
        # The ceiling is that of the permission that allows the tool, not of another.
        ("Searcher", ("web_search",), 501, "OUTPUT_CEILING_EXCEEDED"),
        ("Searcher", (), 501, "ask"),
        ("Root", ("web_search", "*"), None, "TOOL_NOT_ALLOWED"),
    ],
)
def test_tools_that_the_provider_runs(roles: str, tools: tuple[str, ...], asked: int | None, outcome: str) -> None:
    asked_call = call("responses", "gpt-4o", tools=tools, max_output=asked)
    assert told(decide_call(GRANTS, person(*roles.split()), asked_call)) == outcome


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (("web_search", "mcp"), "the tool 'mcp',"),
        (("web_search", "code_interpreter"), "'code_interpreter' together with the other tools"),
        (("a\nb",), "the tool of this type,"),
    ],
)
def test_the_refused_tool_is_named(tools: tuple[str, ...], words: str) -> None:
    decision = decide_call(GRANTS, person("Researcher"), call("responses", "gpt-4o", tools=tools))
    assert isinstance(decision, Refused)
    assert words in decision.message
    assert "\n" not in decision.message + decision.why


@pytest.mark.parametrize(
    ("role", "method", "agent", "rest", "outcome"),
    [
        ("Reader", "GET", "kb", "/search", "read_kb"),
        ("Reader", "GET", "kb", "/docs/1/2", "read_kb"),
        ("Reader", "POST", "kb", "/search", "PATH_NOT_ALLOWED"),
        ("Reader", "HEAD", "kb", "/search", "PATH_NOT_ALLOWED"),
        ("Reader", "get", "kb", "/search", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", "/Search", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", "/", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", None, "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", "/docs", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", "/docs/../admin", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "kb", "/docs/%2e%2e/admin", "PATH_NOT_ALLOWED"),
        ("Reader", "GET", "tools", "/search", OPERATION),
        ("Reader", "GET", "unheard", "/search", OPERATION),
        ("Reader", "GET", None, "/search", OPERATION),
        ("Tooler", "DELETE", "tools", "/anything", "run_tools"),
        ("Tooler", "PROPFIND", "tools", "/", "run_tools"),
        ("Tooler", "GET", "kb", "/search", OPERATION),
        ("Asker", "GET", "kb", "/search", OPERATION),
        ("Root", "GET", "kb", "/admin", "PATH_NOT_ALLOWED"),
    ],
)
def test_agents(role: str, method: str, agent: str | None, rest: str | None, outcome: str) -> None:
    asked = endpoint("agent", route=agent, rest=rest)
    # The request's own path does not count: a prefix in front of it must not make it match.
    assert told(decide_endpoint(GRANTS, person(role), asked, method, "/docs/x")) == outcome


@pytest.mark.parametrize(
    ("role", "method", "route", "path", "outcome"),
    [
        ("Sender", "POST", "files", "/v1/files", "send_files"),
        ("Sender", "GET", "files", "/v1/files", "PATH_NOT_ALLOWED"),
        ("Sender", "GET", "file", "/v1/files/1", OPERATION),
        ("Filer", "DELETE", "file", "/v1/files/1", "own_files"),
        ("Filer", "GET", "files", "/v1/files", "own_files"),
        ("Filer", "POST", "batches", "/v1/batches", OPERATION),
        ("Azure", "POST", "batches", "/v1/batches", "own_azure"),
        ("Azure", "POST", "files", "/v1/files", OPERATION),
        ("Asker", "POST", "files", "/v1/files", OPERATION),
    ],
)
def test_opaque_routes(role: str, method: str, route: str, path: str, outcome: str) -> None:
    assert told(decide_endpoint(GRANTS, person(role), endpoint("opaque", route=route), method, path)) == outcome


def test_opaque_routes_can_be_granted_by_path() -> None:
    some = grants(permissions={"p": {"opaque": [{"name": "file", "paths": ["/v1/files/*"]}]}}, roles={"R": ["p"]})
    asked = endpoint("opaque", route="file")
    assert told(decide_endpoint(some, person("R"), asked, "GET", "/v1/files/1")) == "p"
    assert told(decide_endpoint(some, person("R"), asked, "GET", "/v1/files/1/content")) == "PATH_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("roles", "groups", "known", "operation", "model", "asked", "outcome"),
    [
        ("", (GROUP,), True, "chat", "gpt-4o", None, "ask_at_length"),
        ("", (GROUP.upper(),), True, "chat", "gpt-4o", None, OPERATION),
        ("", ("another",), True, "chat", "gpt-4o", None, OPERATION),
        ("", (), False, "chat", "gpt-4o", None, "GROUPS_UNKNOWN"),
        ("", (GROUP,), False, "chat", "gpt-4o", None, "GROUPS_UNKNOWN"),  # groups of a partial list do not count
        ("", (), False, "chat", "o3", None, "GROUPS_UNKNOWN"),  # before the model is known
        ("", (), False, "messages", "claude-haiku", None, OPERATION),
        ("Asker", (), False, "chat", "gpt-4o", None, "ask"),
        ("Asker", (), False, "chat", "o3", None, MODEL),  # no group would help
        ("Asker", (), False, "chat", "gpt-4o", 2000, "GROUPS_UNKNOWN"),  # a group would raise the ceiling
        ("Asker", (), False, "chat", "gpt-4o", 5000, "OUTPUT_CEILING_EXCEEDED"),
        ("Asker", (GROUP,), True, "chat", "gpt-4o", 2000, "ask_at_length"),
        ("Asker", (), False, "embeddings", "text-embedding-3-small", None, "GROUPS_UNKNOWN"),
        ("Asker", (), True, "embeddings", "text-embedding-3-small", None, OPERATION),
        ("Embedder", (), False, "embeddings", "text-embedding-3-small", None, "embed"),
    ],
)
def test_groups(
    roles: str, groups: tuple[str, ...], known: bool, operation: str, model: str, asked: int | None, outcome: str
) -> None:
    identity = person(*roles.split(), groups=groups, groups_known=known)
    first = decide_endpoint(GRANTS, identity, endpoint(operation), "POST", "/v1/any")
    second = decide_call(GRANTS, identity, call(operation, model, max_output=asked))
    assert told(first if isinstance(first, Refused) else second) == outcome


def test_unknown_groups_could_open_an_agent() -> None:
    asked = endpoint("agent", route="tools", rest="/x")
    assert told(decide_endpoint(GRANTS, person(groups_known=False), asked, "GET", "")) == "GROUPS_UNKNOWN"
    assert told(decide_endpoint(GRANTS, person(groups=(GROUP,)), asked, "GET", "")) == "run_tools"
    other = endpoint("agent", route="kb", rest="/search")
    assert told(decide_endpoint(GRANTS, person(groups_known=False), other, "GET", "")) == OPERATION


def test_unknown_groups_do_not_matter_where_none_is_configured() -> None:
    some = grants(permissions={"p": {"operations": ["chat"], "models": ["*"]}}, roles={"R": ["p"]})
    asked = endpoint("chat")
    assert told(decide_endpoint(some, person(groups_known=False), asked, "POST", "")) == OPERATION


def test_a_group_may_count_for_one_kind_of_caller_only() -> None:
    some = grants(
        permissions={"p": {"operations": ["chat"], "models": ["*"]}},
        groups={GROUP: {"permissions": ["p"], "callers": ["user"]}},
    )
    robot = Identity("t", "u", "a", CallerKind.APP, groups_known=False)
    assert told(decide_endpoint(some, robot, endpoint("chat"), "POST", "")) == OPERATION
    assert told(decide_endpoint(some, person(groups_known=False), endpoint("chat"), "POST", "")) == "GROUPS_UNKNOWN"


def test_the_refusal_of_unknown_groups_says_what_can_be_done() -> None:
    decision = decide_endpoint(GRANTS, person(groups_known=False), endpoint("chat"), "POST", "")
    assert isinstance(decision, Refused)
    assert "overage" in decision.message
    assert "Graph" in decision.message
    assert decision.status == 403


@pytest.mark.parametrize(
    ("scopes", "kind", "outcome"),
    [
        (("gateway.use",), "user", "p"),
        (("other", "gateway.admin"), "user", "p"),
        (("other",), "user", "SCOPE_MISSING"),
        ((), "user", "SCOPE_MISSING"),
        (("Gateway.Use",), "user", "SCOPE_MISSING"),
        ((), "app", "p"),
    ],
)
def test_delegated_permissions(scopes: tuple[str, ...], kind: str, outcome: str) -> None:
    some = grants(
        permissions={"p": {"operations": ["chat"], "models": ["*"]}},
        roles={"R": ["p"]},
        scopes=["gateway.use", "gateway.admin"],
    )
    who = person("R", scopes=scopes) if kind == "user" else machine("R")
    assert told(decide_endpoint(some, who, endpoint("chat"), "POST", "")) == outcome


def test_a_scope_alone_is_no_permission() -> None:
    some = grants(permissions={"p": {"operations": ["chat"], "models": ["*"]}}, roles={"R": ["p"]}, scopes=["use"])
    assert told(decide_endpoint(some, person(scopes=("use",)), endpoint("chat"), "POST", "")) == OPERATION


@pytest.mark.parametrize(
    ("roles", "dialect", "names"),
    [
        ("Asker", Dialect.OPENAI, ["gpt-4o", "gpt-4o-mini"]),
        ("Asker", Dialect.ANTHROPIC, ["claude-sonnet", "claude-haiku"]),
        ("Embedder", Dialect.OPENAI, ["text-embedding-3-small"]),
        ("Embedder", Dialect.ANTHROPIC, []),
        ("Asker Embedder", Dialect.OPENAI, ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"]),
        ("Homebody", Dialect.OPENAI, ["llama-3"]),  # what the cloud serves under the same name is not the local one
        ("Homebody", Dialect.ANTHROPIC, []),  # all models, but no operation of this API
        ("Azure", Dialect.OPENAI, ["gpt-5"]),
        ("Lister", Dialect.OPENAI, []),  # may ask for the list, and nothing is on it
        ("Root", Dialect.OPENAI, ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "gpt-5", "llama-3"]),
        ("Root", Dialect.JSONRPC, []),
        ("", Dialect.OPENAI, []),
    ],
)
def test_listed_models_are_those_that_may_be_used(roles: str, dialect: Dialect, names: list[str]) -> None:
    identity = person(*roles.split())
    assert usable_models(GRANTS, identity, dialect) == names
    for name in ("gpt-4o", "o3", "gpt-5", "llama-3", "claude-haiku", "ft:*", "ft:mine", "none"):
        expected = name if name in names else "model_not_found"
        found = decide_model(GRANTS, identity, dialect, name)
        assert (found if isinstance(found, str) else found.code) == expected


def test_a_model_that_is_not_yours_is_refused_like_one_that_does_not_exist() -> None:
    refusals = [
        decide_model(GRANTS, person("Asker"), Dialect.OPENAI, name)
        for name in ("o3", "nothing", "claude-haiku", "ft:1", "", None)
    ]
    assert isinstance(refusals[0], Refused)
    assert refusals[0].status == 404
    assert all(refusal == refusals[0] for refusal in refusals)


def test_unknown_groups_may_hold_a_model_back_but_never_show_it() -> None:
    identity = person("Asker", groups_known=False)
    assert usable_models(GRANTS, identity, Dialect.OPENAI) == ["gpt-4o", "gpt-4o-mini"]
    found = decide_model(GRANTS, identity, Dialect.OPENAI, "text-embedding-3-small")
    assert isinstance(found, Refused)
    assert found.code == "groups_unknown"
    gone = decide_model(GRANTS, identity, Dialect.OPENAI, "o3")
    assert isinstance(gone, Refused)
    assert gone.code == "model_not_found"


def test_the_right_to_list_covers_the_list_and_its_entries() -> None:
    for operation in ("models", "model"):
        assert told(decide_endpoint(GRANTS, person("Lister"), endpoint(operation), "GET", "")) == "list"
        assert told(decide_endpoint(GRANTS, person("Embedder"), endpoint(operation), "GET", "")) == OPERATION


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (person(), "no role that this gateway knows"),
        (person("Unheard"), "no role that this gateway knows"),
        (machine("Person"), "count here only for people"),
        (person("Machine"), "count here only for applications"),
        (person("Reader"), "You have no permission for the operation 'chat'"),
    ],
)
def test_refusals_can_be_forwarded(identity: Identity, words: str) -> None:
    decision = decide_endpoint(GRANTS, identity, endpoint("chat"), "POST", "")
    assert isinstance(decision, Refused)
    assert words in decision.message
    assert "administrator" in decision.message
    # Other people's permissions and roles are nobody's business.
    for foreign in ("ask", "Asker", "Root", "Novelist", "read_kb"):
        assert foreign not in decision.message.replace("Ask your", "")


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("groups_known", [True, False])
def test_empty_settings_deny_everything(operation: Operation, groups_known: bool) -> None:
    none = grants()
    identity = person("OrgAdmin", "*", groups=(GROUP,), groups_known=groups_known)
    asked = endpoint(operation.value, route="kb", rest="/")
    assert told(decide_endpoint(none, identity, asked, "GET", "/")) == OPERATION
    assert told(decide_call(none, identity, call(operation.value, "gpt-4o"))) == OPERATION
    assert usable_models(none, identity, Dialect.OPENAI) == []

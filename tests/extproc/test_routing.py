"""Where calls go. A name that the client chose never leaves its place in the path."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Call, Endpoint, Operation
from extproc.calls import without_payload
from extproc.catalogue import Catalogue, Model, Opaque, Provider, Target, Upstream
from extproc.exchange import Dialect
from extproc.paths import is_normal
from extproc.routing import choose
from tests.extproc.world import CATALOGUE, endpoint, request

OPENAI, AZURE, ANTHROPIC = Provider.OPENAI, Provider.AZURE, Provider.ANTHROPIC
PREFIX = "/openai/deployments"
V = "?api-version=2024-10-21"


def route(path: str, model: str | None, catalogue: Catalogue = CATALOGUE) -> Target | None:
    of = endpoint(path)
    return choose(of, Call(of.operation, of.dialect, model=of.deployment or model), request(path), catalogue)


TABLE: list[tuple[str, str | None, Target]] = [
    ("/v1/chat/completions", "gpt-4o", Target("openai", "/v1/chat/completions", OPENAI, "gpt-4o")),
    ("/v1/completions", "gpt-4o", Target("openai", "/v1/completions", OPENAI, "gpt-4o")),
    ("/v1/responses", "gpt-4o", Target("openai", "/v1/responses", OPENAI, "gpt-4o")),
    ("/v1/embeddings", "gpt-4o", Target("openai", "/v1/embeddings", OPENAI, "gpt-4o")),
    ("/openai/v1/chat/completions", "gpt-4o", Target("openai", "/v1/chat/completions", OPENAI, "gpt-4o")),
    ("/v1/chat/completions", "fast", Target("openai", "/v1/chat/completions", OPENAI, "gpt-4o-mini")),
    ("/v1/chat/completions", "ft:x/../y", Target("openai", "/v1/chat/completions", OPENAI, "ft:x/../y")),
    ("/v1/chat/completions", "o3", Target("openai", "/v1/chat/completions", OPENAI, "o3")),
    (f"{PREFIX}/gpt-4o/chat/completions{V}", None, Target("openai", "/v1/chat/completions", OPENAI, "gpt-4o")),
    (f"{PREFIX}/fast/embeddings{V}", None, Target("openai", "/v1/embeddings", OPENAI, "gpt-4o-mini")),
    ("/v1/chat/completions", "prod", Target("azure", f"{PREFIX}/prod/chat/completions{V}", AZURE, "prod")),
    ("/v1/completions", "prod", Target("azure", f"{PREFIX}/prod/completions{V}", AZURE, "prod")),
    ("/v1/embeddings", "alias", Target("azure", f"{PREFIX}/dep-1/embeddings{V}", AZURE, "dep-1")),
    ("/v1/responses", "prod", Target("azure", f"/openai/responses{V}", AZURE, "prod")),
    (f"{PREFIX}/prod/chat/completions{V}", None, Target("azure", f"{PREFIX}/prod/chat/completions{V}", AZURE, "prod")),
    (f"{PREFIX}/alias/chat/completions{V}", None, Target("azure", f"{PREFIX}/dep-1/chat/completions{V}", AZURE, "dep-1")),
    (
        f"{PREFIX}/prod/chat/completions?api-version=2025-04-01-preview",
        None,
        Target("azure", f"{PREFIX}/prod/chat/completions?api-version=2025-04-01-preview", AZURE, "prod"),
    ),
    (
        "/openai/responses?api-version=preview",
        "prod",
        Target("azure", "/openai/responses?api-version=preview", AZURE, "prod"),
    ),
    ("/v1/chat/completions", "v1-4o", Target("azure-v1", "/openai/v1/chat/completions", AZURE, "v1-4o")),
    ("/v1/responses", "v1-4o", Target("azure-v1", "/openai/v1/responses", AZURE, "v1-4o")),
    (f"{PREFIX}/v1-4o/chat/completions{V}", None, Target("azure-v1", "/openai/v1/chat/completions", AZURE, "v1-4o")),
    ("/v1/embeddings", "bare", Target("azure-bare", "/openai/v1/embeddings", AZURE, "bare")),
    ("/v1/messages", "claude-sonnet", Target("anthropic", "/v1/messages", ANTHROPIC, "claude-sonnet")),
    (
        "/v1/messages/count_tokens",
        "claude-sonnet",
        Target("anthropic", "/v1/messages/count_tokens", ANTHROPIC, "claude-sonnet"),
    ),
    (
        "/anthropic/v1/messages",
        "claude-proxied",
        Target("claude-proxy", "/proxy/v1/messages", ANTHROPIC, "claude-proxied"),
    ),
    (
        "/v1/messages?beta=true",
        "claude-sonnet",
        Target("anthropic", "/v1/messages?beta=true", ANTHROPIC, "claude-sonnet"),
    ),
]


@pytest.mark.parametrize(("path", "model", "target"), TABLE)
def test_calls(path: str, model: str | None, target: Target) -> None:
    assert route(path, model) == target


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "unknown"),
        ("/v1/chat/completions", "GPT-4o"),
        ("/v1/chat/completions", " gpt-4o"),
        ("/v1/chat/completions", "claude-sonnet"),
        ("/v1/messages", "gpt-4o"),
        ("/v1/messages", "prod"),
        ("/v1/chat/completions", "o33"),
        ("/v1/chat/completions", "az-a/b"),
        ("/v1/chat/completions", "az-../x"),
        ("/v1/chat/completions", "az-a%2Fb"),
        ("/v1/chat/completions", "az-a?x"),
        ("/v1/chat/completions", "az-ä"),
        ("/v1/chat/completions", None),
    ],
)
def test_nothing_serves(path: str, model: str | None) -> None:
    assert route(path, model) is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        ("a=%20%C3%a4&b", "a=%20%C3%a4&b"),
        ("api-version=2023-05-15", ""),
        ("API-VERSION=2023-05-15&a=1", "a=1"),
        ("api%2Dversion=2023-05-15&a=1", "a=1"),
        ("%61pi-version=2023-05-15", ""),
        ("a=api-version", "a=api-version"),
        ("key=hunter2&a=1", "a=1"),
        ("access_token=hunter2", ""),
        ("Api-Key=hunter2&%6bey=hunter2&subscription-key=hunter2", ""),
        ("a=1&a=2&api-version=x&c=d%26e", "a=1&a=2&c=d%26e"),
    ],
)
def test_what_is_left_of_a_query(query: str, expected: str) -> None:
    plain = route(f"/v1/chat/completions?{query}", "gpt-4o")
    azure = route(f"/v1/chat/completions?{query}", "prod")
    tail = f"?{expected}" if expected else ""
    assert plain == Target("openai", f"/v1/chat/completions{tail}", OPENAI, "gpt-4o")
    more = f"&{expected}" if expected else ""
    assert azure == Target("azure", f"{PREFIX}/prod/chat/completions{V}{more}", AZURE, "prod")


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("GET /agents/kb/", Target("kb", "/base/")),
        ("PUT /agents/kb/a%20b/c?x=1&key=k", Target("kb", "/base/a%20b/c?x=1&key=k")),
        ("GET /agents/tools/x", Target("tools", "/x")),
        ("GET /v1/files", Target("openai", "/v1/files", OPENAI)),
        ("GET /v1/files?limit=5&key=hunter2", Target("openai", "/v1/files?limit=5", OPENAI)),
        ("GET /v1/files/a/content", Target("openai", "/v1/files/a/content", OPENAI)),
        ("GET /openai/v1/files", Target("azure-v1", "/openai/v1/files", AZURE)),
        ("GET /v1/batches?api-version=preview", Target("azure-bare", "/openai/v1/batches?api-version=preview", AZURE)),
        ("GET /v1/messages/batches", Target("claude-proxy", "/proxy/v1/messages/batches", ANTHROPIC)),
        ("GET /v1/lost", None),
        ("GET /v1/models", None),
        ("GET /v1/models/gpt-4o", None),
    ],
)
def test_what_has_no_payload(line: str, target: Target | None) -> None:
    method, _, path = line.partition(" ")
    of = endpoint(path, method)
    assert choose(of, without_payload(of, request(path, method)), request(path, method), CATALOGUE) == target


@pytest.mark.parametrize("operation", [Operation.AGENT, Operation.OPAQUE])
def test_what_was_taken_out_of_the_catalogue(operation: Operation) -> None:
    gone = Endpoint(operation, Dialect.OPENAI, route="gone", rest="/x")
    assert choose(gone, Call(operation, Dialect.OPENAI), request("/x"), Catalogue()) is None


@pytest.mark.parametrize("base", ["", "/openai", "/proxy", "/proxy/openai"])
def test_azure_base_paths(base: str) -> None:
    catalogue = Catalogue((Upstream("a", AZURE, base, "v1", (Model("*"),)),))
    found = route("/v1/chat/completions", "m", catalogue)
    root = base if base.endswith("/openai") else f"{base}/openai"
    assert found == Target("a", f"{root}/deployments/m/chat/completions?api-version=v1", AZURE, "m")


EVERYTHING = Catalogue(
    (
        Upstream("azure", AZURE, "", "2024-10-21", (Model("*"),)),
        Upstream("anthropic", ANTHROPIC, "", models=(Model("*"),)),
    ),
    opaque=(Opaque("files", "/v1/files", "azure"),),
)
names = st.text(max_size=30) | st.text(st.sampled_from("ab/.%2eF?#;\\:@\n"), max_size=12)


@given(names, st.sampled_from(["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]))
def test_a_model_never_leaves_its_segment(model: str, path: str) -> None:
    found = route(path, model, EVERYTHING)
    if found is None:
        return
    stem, _, query = found.path.partition("?")
    assert is_normal(stem)
    assert stem.split("/") == ["", "openai", "deployments", model, *path.split("/")[2:]]
    assert query == "api-version=2024-10-21"


@given(names, st.sampled_from(["/v1/responses", "/v1/messages"]))
def test_a_model_that_is_not_in_the_path_changes_no_path(model: str, path: str) -> None:
    found = route(path, model, EVERYTHING)
    assert found is None or found.path in ("/v1/messages", f"/openai/responses{V}")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["api-version", "API-version", "api%2dversion", "a", "b"]), st.sampled_from(["", "1", "%26"])
        )
    )
)
def test_azure_gets_one_version(pairs: list[tuple[str, str]]) -> None:
    found = route("/v1/chat/completions?" + "&".join(f"{name}={value}" for name, value in pairs), "prod")
    assert found is not None
    sent = parse_qsl(found.path.partition("?")[2], keep_blank_values=True)
    assert [value for name, value in sent if name.lower() == "api-version"] == ["2024-10-21"]

"""How large a call can be, and how its output is held to what is granted."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.call import Call, Operation, OutputCeiling
from extproc.catalogue import Catalogue, Model, Provider, Target, Upstream
from extproc.exchange import Dialect
from extproc.price import Price
from policies.limits.sizing import Known, Sizer, members_for, uses_tokens
from policies.limits.tokens.estimate import Estimate, Estimator
from policies.limits.tokens.learned import Learned
from policies.limits.tokens.models import Vocabulary

PRICE = Price(1, 2, 3, 4)
MODELS = (
    Model("gpt-4o", price=PRICE, max_output=16_384),
    Model("fast", "gpt-4o-mini"),
    Model("own", "llama-3", output_field="max_tokens", tokenizer="cl100k"),
    Model("claude-*"),
)
CATALOGUE = Catalogue(upstreams=(Upstream("main", Provider.OPENAI, models=MODELS),))
TEXT = "Say the same word fifty times."
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": TEXT}]}


@pytest.fixture(scope="module")
def sizer() -> Sizer:
    return Sizer(CATALOGUE, Estimator(), max_output=4_096, hidden_input=8_000)


def call(operation: Operation = Operation.CHAT, **members: Any) -> Call:
    return Call(operation, Dialect.OPENAI, "gpt-4o", **members)


def known(sizer: Sizer, name: str) -> Known:
    model = next((model for model in MODELS if model.name == name), None)
    return sizer.known(Target("main", "/v1", Provider.OPENAI, model.target if model else None), name)


@pytest.mark.parametrize(
    ("name", "own_name", "vocabulary"),
    [
        ("gpt-4o", "gpt-4o", Vocabulary.O200K),
        ("fast", "gpt-4o-mini", Vocabulary.O200K),
        ("own", "llama-3", Vocabulary.CL100K),
        ("claude-3-opus", "claude-3-opus", Vocabulary.ANTHROPIC),
        ("mistral", "mistral", Vocabulary.UNKNOWN),
    ],
)
def test_what_is_known_of_a_model(sizer: Sizer, name: str, own_name: str, vocabulary: Vocabulary) -> None:
    found = known(sizer, name)
    assert (found.name, found.vocabulary) == (own_name, vocabulary)
    assert known(sizer, name) is found


def test_without_a_target_nothing_is_configured(sizer: Sizer) -> None:
    assert sizer.known(None, "gpt-4o") == Known(None, "gpt-4o", Vocabulary.O200K)


def test_short_and_long_prompts_are_estimated_alike(sizer: Sizer) -> None:
    model = known(sizer, "gpt-4o")
    quick, exact = sizer.quick(call(), BODY, model), sizer.exact(call(), BODY, model)
    assert quick.counted
    assert quick.tokens == exact.tokens > 5
    long = {"messages": [{"role": "user", "content": TEXT * 1_000}]}
    bounded, counted = sizer.quick(call(), long, model), sizer.exact(call(), long, model)
    assert (bounded.counted, counted.counted) == (False, True)
    assert bounded.tokens > counted.tokens > 1_000 * 5


@pytest.mark.parametrize(
    ("asked", "model", "ceiling", "output"),
    [
        (call(max_output=100), "gpt-4o", None, 100),
        (call(max_output=100_000), "gpt-4o", None, 100_000),
        (call(), "gpt-4o", None, 16_384),
        (call(), "fast", None, 4_096),
        (call(), "gpt-4o", 500, 500),
        (call(max_output=100), "gpt-4o", 500, 100),
        (call(max_output=0), "gpt-4o", None, 16_384),
        (call(Operation.EMBEDDINGS), "gpt-4o", 500, 0),
    ],
)
def test_the_most_output(sizer: Sizer, asked: Call, model: str, ceiling: int | None, output: int) -> None:
    bound = OutputCeiling(ceiling) if ceiling is not None else None
    size = sizer.size(asked, Estimate(10), known(sizer, model), bound, None, price=PRICE)
    assert (size.input, size.output, size.price) == (10, output, PRICE)


WEB = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("hosted", "members", "most"),
    [
        ((), {"tools": [{"type": "function", "max_uses": 7}]}, 0),
        (("web_search_20250305",), {"tools": [{**WEB, "max_uses": 3}]}, 3),
        (("web_search_20250305",), {"tools": [{**WEB, "max_uses": 3}, {**WEB, "max_uses": 4}]}, 7),
        # Unbounded, or bounded by nothing that is a bound.
        (("web_search_20250305",), {"tools": [WEB]}, 10),
        *((("web_search",), {"tools": [{"type": "web_search", "max_uses": bound}]}, 10) for bound in (0, -1, True, "3")),
        (("web_search",), {"tools": [{"type": "web_search", "max_uses": 10**9}]}, 10),
        (("web_search",), {"web_search_options": {}}, 10),
        (("stored_prompt",), {"prompt": {"id": "p"}}, 10),
        (("code_interpreter",), {"tools": [{"type": "code_interpreter"}]}, 0),
    ],
)
def test_the_most_searches(sizer: Sizer, hosted: tuple[str, ...], members: dict[str, Any], most: int) -> None:
    size = sizer.size(call(hosted_tools=hosted), Estimate(10), known(sizer, "gpt-4o"), None, None, members=members)
    assert size.searches == most


@pytest.mark.parametrize(("asked", "tier"), [("flex", "flex"), (None, ""), (1, ""), (["flex"], "")])
def test_the_tier_that_is_asked_for(sizer: Sizer, asked: object, tier: str) -> None:
    members = {"service_tier": asked}
    size = sizer.size(call(), Estimate(10), known(sizer, "gpt-4o"), None, None, members=members)
    assert size.tier == tier
    assert sizer.size(call(), Estimate(10), known(sizer, "gpt-4o"), None, None).tier == ""


def test_answers_are_multiplied(sizer: Sizer) -> None:
    assert sizer.size(call(choices=5), Estimate(10), known(sizer, "gpt-4o"), None, None).choices == 5


def test_input_that_is_stored_at_the_provider_has_a_size_too(sizer: Sizer) -> None:
    size = sizer.size(call(), Estimate(10, visible=False), known(sizer, "gpt-4o"), None, None)
    assert size.input == 8_010


@pytest.mark.parametrize(
    ("estimate", "tokens"),
    [
        (Estimate(1_000, counted=True, exact=False), 1_320),
        (Estimate(1_000, counted=True, exact=True), 1_000),
        (Estimate(1_000, counted=False, exact=False), 1_000),
    ],
)
def test_what_was_learned_corrects_counts_by_a_foreign_vocabulary_alone(
    sizer: Sizer, estimate: Estimate, tokens: int
) -> None:
    learned = Learned()
    for _ in range(300):
        learned.add(100, 120, 10)
    size = sizer.size(call(), estimate, known(sizer, "claude-3-opus"), None, learned)
    assert size.input == tokens


@pytest.mark.parametrize(
    ("asked", "model", "members", "changes"),
    [
        # Set by nobody: inserted where the server takes it.
        (call(), "gpt-4o", {}, {"max_completion_tokens": 50}),
        (call(), "own", {}, {"max_tokens": 50}),
        (call(Operation.COMPLETIONS), "gpt-4o", {}, {"max_tokens": 50}),
        (call(Operation.RESPONSES), "gpt-4o", {}, {"max_output_tokens": 50}),
        (call(Operation.MESSAGES), "gpt-4o", {}, {"max_tokens": 50}),
        (call(Operation.EMBEDDINGS), "gpt-4o", {}, {}),
        # Set by the client, and lower: left alone.
        (call(), "gpt-4o", {"max_tokens": 50}, {}),
        (call(), "gpt-4o", {"max_completion_tokens": 3}, {}),
        # Higher: lowered.
        (call(), "gpt-4o", {"max_tokens": 51}, {"max_tokens": 50}),
        (
            call(),
            "gpt-4o",
            {"max_tokens": 60, "max_completion_tokens": 70},
            {"max_tokens": 50, "max_completion_tokens": 50},
        ),
        (call(), "gpt-4o", {"max_tokens": 60, "max_completion_tokens": 7}, {"max_tokens": 50}),
        (call(), "gpt-4o", {"max_tokens": None}, {"max_completion_tokens": 50}),
        # Nothing, which some servers read as no ceiling: it would hold nobody.
        (call(), "gpt-4o", {"max_tokens": 0}, {"max_tokens": 50}),
        (call(Operation.RESPONSES), "gpt-4o", {"max_output_tokens": 0}, {"max_output_tokens": 50}),
        # A member that the model's server does not take binds nobody.
        (call(), "own", {"max_completion_tokens": 7}, {"max_tokens": 50}),
        (call(), "own", {"max_tokens": 7}, {}),
    ],
)
def test_the_members_that_hold_the_output(
    sizer: Sizer, asked: Call, model: str, members: dict[str, Any], changes: dict[str, int]
) -> None:
    assert dict(members_for(asked, members, 50, known(sizer, model))) == changes


def test_which_calls_use_tokens() -> None:
    used = {operation for operation in Operation if uses_tokens(Call(operation, Dialect.OPENAI))}
    assert used == {
        *(Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.EMBEDDINGS, Operation.MESSAGES)
    }

"""An estimate is never below the count, and is the count where that is quick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.call import Operation
from policies.limits.tokens.estimate import Estimate, Estimator
from policies.limits.tokens.models import Vocabulary
from policies.limits.tokens.vocabulary import encoding
from tests.policies.limits.tokens.test_prompt import HOSTILE, NAMES

CHAT, COMPLETIONS, EMBEDDINGS = Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS
O200K, CL100K, ANTHROPIC, UNKNOWN = Vocabulary.O200K, Vocabulary.CL100K, Vocabulary.ANTHROPIC, Vocabulary.UNKNOWN
ESTIMATOR = Estimator()
SMALL = Estimator(exact_bytes=20)
VOCABULARIES = st.sampled_from(tuple(Vocabulary))
TEXTS = st.text(max_size=30) | st.sampled_from(("hello world", "的" * 9, "x" * 20, "x" * 21, "é" * 10, "é" * 11))


def true_count(text: str, vocabulary: Vocabulary) -> int:
    return len(encoding(vocabulary.encoding).encode_ordinary(text))


JARGON = {
    "messages": [
        {
            "role": "system",
            "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain "
            "English.",
        },
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Things working well together will increase revenue.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased "
            "leverage.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
        },
    ]
}
WEATHER = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a given location",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                        "unit": {
                            "type": "string",
                            "description": "The unit of temperature to return",
                            "enum": ["celsius", "fahrenheit"],
                        },
                    },
                    "required": ["location"],
                },
            },
        }
    ],
}


@pytest.mark.parametrize(
    ("members", "vocabulary", "billed", "above"),
    [(JARGON, CL100K, 129, 10), (JARGON, O200K, 124, 10), (WEATHER, CL100K, 105, 60), (WEATHER, O200K, 101, 60)],
)
def test_the_examples_of_openais_cookbook(
    members: dict[str, Any], vocabulary: Vocabulary, billed: int, above: int
) -> None:
    # "How to count tokens with tiktoken": what the API counted itself, for gpt-4 and gpt-4o.
    found = ESTIMATOR.quick(CHAT, members, vocabulary)
    assert billed <= found.tokens <= billed + above
    assert found == ESTIMATOR.exact(CHAT, members, vocabulary)
    assert (found.counted, found.exact, found.visible) == (True, True, True)


@given(st.lists(TEXTS, max_size=5), VOCABULARIES)
def test_quick_is_not_below_the_count(texts: list[str], vocabulary: Vocabulary) -> None:
    members = {"input": texts}
    whole = ESTIMATOR.exact(EMBEDDINGS, members, vocabulary)
    assert whole.tokens >= sum(true_count(text, vocabulary) for text in texts)
    for estimator in (ESTIMATOR, SMALL):
        quick = estimator.quick(EMBEDDINGS, members, vocabulary)
        assert whole.tokens <= quick.tokens <= quick.bound == whole.bound
        assert quick.bound == sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        assert quick.tokens == whole.tokens or not quick.counted
        assert quick.counted is (estimator is ESTIMATOR or sum(len(text.encode()) for text in texts) <= 20)


@given(TEXTS, st.sampled_from((O200K, CL100K)))
def test_a_short_text_is_counted_exactly(text: str, vocabulary: Vocabulary) -> None:
    found = ESTIMATOR.quick(COMPLETIONS, {"prompt": text}, vocabulary)
    assert found == Estimate(true_count(text, vocabulary), True, True, True, len(text.encode()))


@given(TEXTS, st.sampled_from((ANTHROPIC, UNKNOWN)))
def test_a_foreign_text_is_bounded_by_the_scaled_count_and_its_bytes(text: str, vocabulary: Vocabulary) -> None:
    found = ESTIMATOR.quick(COMPLETIONS, {"prompt": text}, vocabulary)
    count, size = true_count(text, vocabulary), len(text.encode())
    assert found.tokens == min(size, vocabulary.scaled(count))
    assert (found.counted, found.exact) == (True, False)


@pytest.mark.parametrize(
    ("texts", "tokens", "counted"),
    [
        (["x" * 20], 4, True),
        (["x" * 21], 21, False),
        (["é" * 10], 6, True),
        (["é" * 11], 22, False),
        # What is too long is bounded; what comes after it may still be counted.
        (["hello world", "x" * 21, " again"], 2 + 21 + 1, False),
        (["hello world", "hello world"], 2 + 11, False),
    ],
)
def test_the_first_bytes_are_counted(texts: list[str], tokens: int, counted: bool) -> None:
    found = SMALL.quick(EMBEDDINGS, {"input": texts}, O200K)
    if counted:
        tokens = sum(true_count(text, O200K) for text in texts)
    assert (found.tokens, found.counted, found.exact) == (tokens, counted, counted)


def test_of_a_long_text_the_exact_count_is_smaller() -> None:
    members = {"prompt": "The quick brown fox jumps over the lazy dog. " * 1_000}
    quick, whole = ESTIMATOR.quick(COMPLETIONS, members, O200K), ESTIMATOR.exact(COMPLETIONS, members, O200K)
    assert (quick.tokens, quick.counted, quick.exact) == (45_000, False, False)
    assert (whole.tokens, whole.counted, whole.exact) == (true_count(members["prompt"], O200K), True, True)
    assert whole.bound == quick.bound == 45_000


def test_tokens_count_without_text() -> None:
    found = SMALL.quick(EMBEDDINGS, {"input": list(range(100_000))}, CL100K)
    assert found == Estimate(100_000, True, True, True, 100_000)


def test_an_image_is_no_text_and_is_not_scaled() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    members = {"messages": [{"role": "user", "content": [picture]}]}
    assert ESTIMATOR.quick(CHAT, members, O200K, "gpt-4o").tokens == 8 + 1_445
    assert ESTIMATOR.exact(CHAT, members, O200K, "gpt-4o-mini").tokens == 8 + 48_169
    assert ESTIMATOR.quick(CHAT, members, ANTHROPIC).tokens == 8 + 4_800


def test_what_the_provider_adds_is_told() -> None:
    members = {"input": "hi", "previous_response_id": "resp_1"}
    assert not ESTIMATOR.quick(Operation.RESPONSES, members, O200K).visible
    assert not ESTIMATOR.exact(Operation.RESPONSES, members, O200K).visible


@given(st.sampled_from(tuple(Operation)), st.dictionaries(st.sampled_from(NAMES), HOSTILE), VOCABULARIES)
def test_whatever_comes_quick_is_not_below_exact(
    operation: Operation, members: dict[str, Any], vocabulary: Vocabulary
) -> None:
    whole, quick = ESTIMATOR.exact(operation, members, vocabulary), SMALL.quick(operation, members, vocabulary)
    assert 0 <= whole.tokens <= quick.tokens <= quick.bound == whole.bound
    assert whole.visible is quick.visible


def test_threads_count_alike() -> None:
    bodies = [{"input": [f"text {number % 700}", "的" * number, "x" * 3_000]} for number in range(1_500)]
    expected = [sum(true_count(text, O200K) for text in body["input"]) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda body: ESTIMATOR.exact(EMBEDDINGS, body, O200K).tokens, bodies))
    assert found == expected

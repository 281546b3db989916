"""Which vocabulary a model counts by, told from its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from policies.limits.tokens.models import Vocabulary, bare, vocabulary_of

O200K, CL100K, ANTHROPIC, UNKNOWN = Vocabulary.O200K, Vocabulary.CL100K, Vocabulary.ANTHROPIC, Vocabulary.UNKNOWN
NAMES = {
    O200K: (
        *("gpt-4o", "gpt-4o-mini", "gpt-4o-2024-08-06", "GPT-4o", "chatgpt-4o-latest", "gpt-4.1", "gpt-4.1-nano"),
        *(
            "gpt-4.5-preview",
            "gpt-5",
            "gpt-5-mini",
            "gpt-5.1",
            "gpt-5.4-nano-2026-03-17",
            "gpt-oss-120b",
            "codex-mini-latest",
        ),
        *("o1", "o1-mini", "o3", "o3-pro", "o4-mini", "o4-mini-2025-04-16", "openai/gpt-4o", "azure/eu/gpt-4o"),
        *("ft:gpt-4o-mini-2024-07-18:acme::abc", "openai.gpt-oss-20b-1:0", "openai/gpt-5:nitro"),
    ),
    CL100K: (
        *("gpt-4", "gpt-4-0613", "gpt-4-32k", "gpt-4-turbo", "gpt-4-vision-preview", "gpt-3.5-turbo", "gpt-3.5"),
        *("gpt-35-turbo", "gpt-35-turbo-16k", "text-embedding-3-small", "text-embedding-3-large"),
        *("text-embedding-ada-002", "davinci-002", "ft:gpt-4-0613:acme", "ft:gpt-3.5-turbo-1106:acme::x"),
    ),
    ANTHROPIC: (
        *("claude-3-haiku-20240307", "claude-opus-4-7", "claude-sonnet-4-5@20250929", "Claude-Instant", "claude2"),
        *("anthropic/claude-opus-4.1", "anthropic.claude-3-5-sonnet-20241022-v2:0", "eu.anthropic.claude-opus-4-7-v1"),
        "bedrock/us.anthropic.claude-3-haiku-20240307-v1:0",
    ),
    UNKNOWN: (
        *(
            "",
            "gpt-6-astra",
            "gpt-40",
            "gpt-4x",
            "gpt-350",
            "o2",
            "o10",
            "o1x",
            "ollama",
            "o",
            "my-gpt-4o",
            "text-davinci-003",
        ),
        *("llama-3.3-70b", "mistral-large", "qwen2.5", "gemini-2.5-pro", "text-embedding-gecko", "notclaude", "gpt-4o/x"),
    ),
}


@pytest.mark.parametrize(("name", "expected"), [(name, which) for which, names in NAMES.items() for name in names])
def test_the_name_says_which(name: str, expected: Vocabulary) -> None:
    assert vocabulary_of(name) is expected


@pytest.mark.parametrize(
    "name", [*MODEL_TO_ENCODING, *(f"{prefix}2026-01-01" for prefix in MODEL_PREFIX_TO_ENCODING if prefix[-1] == "-")]
)
def test_no_name_is_read_otherwise_than_by_tiktoken(name: str) -> None:
    of_tiktoken = MODEL_TO_ENCODING.get(name) or MODEL_PREFIX_TO_ENCODING[name.removesuffix("2026-01-01")]
    found = vocabulary_of(name)
    if of_tiktoken in ("cl100k_base", "o200k_base", "o200k_harmony"):
        assert found.is_exact
        assert found.encoding == of_tiktoken.replace("harmony", "base")
    else:
        assert found is UNKNOWN


@given(st.text())
def test_any_name_has_an_answer(name: str) -> None:
    assert vocabulary_of(name) in Vocabulary


def test_a_name_without_end_is_looked_at_from_its_end() -> None:
    assert bare("x" * 1_000_000 + "/gpt-4o") == "gpt-4o"
    assert len(bare("x" * 1_000_000)) < 1_000


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "expected"),
    [
        *((which, 7, 7) for which in (O200K, CL100K)),
        *((which, 0, 0) for which in Vocabulary),
        *((ANTHROPIC, tokens, scaled) for tokens, scaled in ((1, 2), (4, 7), (100, 175))),
        *((UNKNOWN, tokens, scaled) for tokens, scaled in ((1, 2), (2, 3), (100, 150))),
    ],
)
def test_a_foreign_count_is_scaled_and_rounded_up(vocabulary: Vocabulary, tokens: int, expected: int) -> None:
    assert vocabulary.scaled(tokens) == expected


def test_a_configured_tokenizer_is_a_vocabulary() -> None:
    assert {Vocabulary(name) for name in ("o200k", "cl100k", "anthropic", "unknown")} == set(Vocabulary)
    assert [which for which in Vocabulary if which.is_exact] == [O200K, CL100K]

"""By which vocabulary a model counts. Pure.

OpenAI's are published (tiktoken, `tiktoken/model.py`). Others are not: for them the count of a published one is taken
times a factor, which is a bound for usual text and no more; what they really use is learned (see `learned`).
"""

from __future__ import annotations

import re
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Final


class Vocabulary(StrEnum):
    """How tokens are counted."""

    O200K = "o200k"
    CL100K = "cl100k"
    ANTHROPIC = "anthropic"
    UNKNOWN = "unknown"

    @property
    def encoding(self) -> str:
        """The published encoding that is counted with."""
        return "cl100k_base" if self is Vocabulary.CL100K else "o200k_base"

    @property
    def is_exact(self) -> bool:
        """Whether that encoding is the model's own."""
        return self in (Vocabulary.O200K, Vocabulary.CL100K)

    def scaled(self, tokens: int) -> int:
        """The bound for so many tokens of the published encoding."""
        factor = _FACTORS.get(self)
        return tokens if factor is None else -(-tokens * factor.numerator // factor.denominator)


_FACTORS: Final = {
    # Anthropic's guide to migrating to Claude Opus 4.7: the same text may be up to 1.35 times as many tokens as before,
    # and before it was somewhat more than OpenAI's.
    Vocabulary.ANTHROPIC: Fraction(3, 2),
    # Llama, Mistral, Qwen and others have vocabularies of 32,000 to 150,000: on English within a fifth of cl100k.
    Vocabulary.UNKNOWN: Fraction(3, 2),
}
_O200K: Final = re.compile(r"(gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|chatgpt-4o|gpt-oss|o[134](?![a-z0-9])|codex)")
_CL100K: Final = re.compile(r"(gpt-4(?![a-z0-9.])|gpt-3\.5|gpt-35|text-embedding-(3-(small|large)|ada-002))")


@lru_cache(1024)
def vocabulary_of(model: str) -> Vocabulary:
    """The vocabulary of a model of this name, `provider/name` included. An unknown one is said to be unknown."""
    name = model.lower().rpartition("/")[2]
    if _O200K.match(name):
        return Vocabulary.O200K
    if _CL100K.match(name):
        return Vocabulary.CL100K
    if name.startswith(("claude", "anthropic.claude")):
        return Vocabulary.ANTHROPIC
    return Vocabulary.UNKNOWN

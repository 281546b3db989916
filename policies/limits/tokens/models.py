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
        return self in _EXACT

    def scaled(self, tokens: int) -> int:
        """The bound for so many tokens of the published encoding."""
        factor = _FACTORS.get(self)
        return tokens if factor is None else -(-tokens * factor[0] // factor[1])


_EXACT: Final = frozenset({Vocabulary.O200K, Vocabulary.CL100K})
_FACTORS: Final = {
    # Claude 3 and 4 took up to 1.3 times as many tokens as OpenAI's models for the same text. Anthropic's guide to
    # migrating to Claude Opus 4.7 says up to 1.35 times as many again; others measured 1.47 on technical texts.
    Vocabulary.ANTHROPIC: Fraction(7, 4).as_integer_ratio(),
    # Llama, Mistral, Qwen and others have vocabularies of 32,000 to 150,000: on English within a fifth of cl100k, on
    # other languages further off.
    Vocabulary.UNKNOWN: Fraction(3, 2).as_integer_ratio(),
}
_LONGEST: Final = 256
"""Characters of a name that are looked at, from its end: who asks may write anything."""
_ANTHROPIC: Final = re.compile(r"(?:^|[./])claude")
_O200K: Final = re.compile(r"(?:chat)?gpt-4o|gpt-4\.[15]|gpt-5|gpt-oss|o[134](?![a-z0-9])|codex-mini")
_CL100K: Final = re.compile(
    r"gpt-4(?![a-z0-9.])|gpt-3\.5(?![0-9])|gpt-35(?![0-9])|text-embedding-(?:3-|ada-002)|(?:davinci|babbage)-002"
)


@lru_cache(1024)
def vocabulary_of(model: str) -> Vocabulary:
    """The vocabulary of a model of this name, `provider/name` and fine-tuned `ft:name:...` included.

    An unknown one is said to be unknown.
    """
    name = bare(model)
    if _O200K.match(name):
        return Vocabulary.O200K
    if _CL100K.match(name):
        return Vocabulary.CL100K
    # Amazon Bedrock: `eu.anthropic.claude-...`.
    return Vocabulary.ANTHROPIC if _ANTHROPIC.search(name) else Vocabulary.UNKNOWN


@lru_cache(1024)
def bare(model: str) -> str:
    """The name in lower case, without a provider before it and what fine-tuning has put there."""
    name = model[-_LONGEST:].lower().rpartition("/")[2]
    return name.removeprefix("ft:").removeprefix("openai.")

"""The input of a call, in tokens: counted if short, bounded by its bytes if long, counted to the end if asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from extproc.call import Operation
from policies.limits.tokens.counting import Counter, byte_bound
from policies.limits.tokens.models import Vocabulary
from policies.limits.tokens.prompt import Prompt, read_prompt
from policies.limits.tokens.vocabulary import encoding


class Estimate(msgspec.Struct, frozen=True):
    """What to reserve for the input.

    Attributes:
        tokens: at least as many as it has, as far as is known of the model.
        counted: every text was counted; False: some were bounded by their bytes.
        exact: counted, and with the model's own vocabulary. Images, sound and files are bounded all the same.
        visible: False if the provider adds input of its own: what it has stored, or what its tools find.
        bound: what holds without counting: every byte of text a token.
    """

    tokens: int
    counted: bool = True
    exact: bool = True
    visible: bool = True
    bound: int = 0


class Estimator:
    """Estimates inputs. Shared by all exchanges, and by the thread that counts long ones."""

    __slots__ = ("_counters", "_exact_bytes")

    def __init__(self, *, exact_bytes: int = 8_192) -> None:
        """`exact_bytes`: how much text of a prompt is counted at once, in bytes of UTF-8: 0.3 ms for prose, 1 ms for
        a run of one character."""
        self._exact_bytes = exact_bytes
        self._counters: dict[str, Counter] = {}

    def quick(
        self, operation: Operation, members: Mapping[str, Any], vocabulary: Vocabulary, model: str | None = None
    ) -> Estimate:
        """The input, without holding the event loop: texts that do not fit into `exact_bytes` are bounded by their bytes.

        `model`: by its own name, where the body calls it by another: it says what images cost.
        """
        return self._estimate(read_prompt(operation, members, vocabulary, model), vocabulary, self._exact_bytes)

    def exact(
        self, operation: Operation, members: Mapping[str, Any], vocabulary: Vocabulary, model: str | None = None
    ) -> Estimate:
        """The input, counted to the end: for a thread, at 0.1 s for each MB of text."""
        return self._estimate(read_prompt(operation, members, vocabulary, model), vocabulary, None)

    def _estimate(self, prompt: Prompt, vocabulary: Vocabulary, left: int | None) -> Estimate:
        """`left`: bytes that may be counted; None: all."""
        count = self._counter(vocabulary).count
        tokens = bound = prompt.tokens
        counted = True
        for text in prompt.texts:
            most = byte_bound(text)
            bound += most
            if left is not None:
                if most > left:
                    counted = False
                    tokens += most
                    continue
                left -= most
            tokens += min(most, vocabulary.scaled(count(text)))
        return Estimate(tokens, counted, counted and vocabulary.is_exact, prompt.visible, bound)

    def _counter(self, vocabulary: Vocabulary) -> Counter:
        name = vocabulary.encoding
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = Counter(encoding(name))
        return counter

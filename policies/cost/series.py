"""The metrics of what exchanges use and cost."""

from __future__ import annotations

from functools import partial
from typing import Final

from extproc.actuals import PRICE_FALLBACK, UNPRICED
from extproc.metrics import Metrics, Top
from extproc.price import Portions
from policies.cost.attribution import RESULTS

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar, and microseconds in a second."""
TYPES: Final = (
    *("input", "cached_input", "cache_write", "cache_write_1h", "audio_input"),
    *("output", "reasoning", "audio_output"),
)
"""Kinds of tokens. Each token is of one of them: `output` is without what was thought."""
_MILLISECOND: Final = 1_000
_WHOLE: Final = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000)
_FIRST: Final = (25, 50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_500, 5_000, 10_000, 20_000, 60_000)
_BETWEEN: Final = (1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 200, 500, 1_000)
UNPRICED_REASONS: Final = {UNPRICED: "no_price", PRICE_FALLBACK: "fallback"}


class CostSeries:
    """Made once in a process."""

    __slots__ = ("between", "cost", "first", "requests", "seconds", "tagged", "tenants", "tokens", "unpriced")

    def __init__(self, metrics: Metrics, *, tenants: int, pinned: tuple[str, ...], models: int, tags: int) -> None:
        """`models`: how many are known. `tags`: how many values all tags have together.

        Raises:
            ValueError: they are there already.
        """
        # `other`, and `none`.
        models += 2
        callers = tenants + len(pinned) + 2
        each = ("tenant_id", "model")
        self.tenants: Final[Top] = metrics.top("tenant_id", tenants, pinned)
        self.tokens: Final = metrics.counter(
            "ai_tokens_total",
            "Tokens, each in one of its types.",
            (*each, "type"),
            room=callers * models * len(TYPES) + 1,
            top=self.tenants,
        )
        self.cost: Final = metrics.counter(
            "ai_cost_usd_total", "What exchanges cost.", each, MICRO, room=callers * models + 1, top=self.tenants
        )
        self.requests: Final = metrics.counter(
            "ai_requests_total",
            "Exchanges, by how they ended.",
            (*each, "result"),
            room=callers * models * len(RESULTS) + 1,
            top=self.tenants,
        )
        self.seconds: Final = metrics.histogram(
            "ai_request_seconds",
            "From the first byte of a request that was let pass to the last of its answer.",
            _milliseconds(_WHOLE),
            each,
            MICRO,
            room=callers * models + 1,
            top=self.tenants,
        )
        by_model: Final = partial(metrics.histogram, labels=("model",), per=MICRO, room=models + 1)
        self.first: Final = by_model(
            "ai_time_to_first_token_seconds",
            "From the first byte of a request to the first of its streamed answer.",
            _milliseconds(_FIRST),
        )
        self.between: Final = by_model(
            "ai_time_between_tokens_seconds",
            "Of a streamed answer, the mean time from one token to the next.",
            _milliseconds(_BETWEEN),
        )
        self.unpriced: Final = metrics.counter(
            "ai_unpriced_total", "Exchanges whose tokens have no price of their own.", ("reason",)
        )
        self.tagged: Final = metrics.counter(
            "ai_cost_by_tag_usd_total", "What exchanges cost, by each tag.", ("tag", "value"), MICRO, room=tags + 1
        )
        for reason in UNPRICED_REASONS.values():
            # There from the start: a rate over what was not there yet is none.
            self.unpriced.add((reason,), 0)

    def count_tokens(self, tenant: str, model: str, tokens: Portions) -> None:
        """Each token in one type."""
        add = self.tokens.add
        if tokens.input:
            add((tenant, model, "input"), tokens.input)
        if tokens.cached_input:
            add((tenant, model, "cached_input"), tokens.cached_input)
        if tokens.cache_write:
            add((tenant, model, "cache_write"), tokens.cache_write)
        if tokens.output > tokens.reasoning:
            add((tenant, model, "output"), tokens.output - tokens.reasoning)
        if tokens.reasoning:
            add((tenant, model, "reasoning"), tokens.reasoning)
        if tokens.cache_write_1h:
            add((tenant, model, "cache_write_1h"), tokens.cache_write_1h)
        if tokens.audio_input:
            add((tenant, model, "audio_input"), tokens.audio_input)
        if tokens.audio_output:
            add((tenant, model, "audio_output"), tokens.audio_output)


def _milliseconds(bounds: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(bound * _MILLISECOND for bound in bounds)

"""Mistakes that others have made with what exchanges cost, as cases: what went wrong there, and what it costs."""

from __future__ import annotations

from typing import Final

import pytest

from extproc.completion import Usage
from extproc.exchange import Dialect
from extproc.price import cost, portions
from tests.extproc.published import PUBLISHED

OPENAI, CLAUDE = Dialect.OPENAI, Dialect.ANTHROPIC
CASES: Final = [
    # https://github.com/BerriAI/litellm/issues/36168: where the last chunk of a stream had `choices` beside
    # `usage`, its usage was dropped, the prompt was estimated, and what was cached billed as if it were not: four
    # times the cost.
    # 239 * 2.5 + 15872 * 1.25 + 2 * 10
    ("usage beside choices", "gpt-4o", Usage(16_111, 2, cached_input=15_872), OPENAI, "", 20_458),
    # https://github.com/BerriAI/litellm/issues/42663: in streams with searches the kinds of cache writes were those
    # of the first event, and only they were billed: 31,490 tokens of 184,457. Prices are Sonnet 4.5's, above the
    # step.
    # 123201 * 6 + 426653 * 0.6 + 184457 * 7.5 + 5 * 10000
    (
        "the total of writes counts",
        "claude-sonnet-4-5",
        Usage(123_201, 0, cached_input=426_653, cache_write=184_457, tool_calls=5),
        CLAUDE,
        "",
        2_428_625,
    ),
    # The same, where the first event has told of writes for an hour.
    # 1000 * 3 + 152967 * 3.75 + 31490 * 6
    (
        "of the total some for an hour",
        "claude-sonnet-4-5",
        Usage(1_000, 0, cache_write=184_457, cache_write_1h=31_490),
        CLAUDE,
        "",
        765_566,
    ),
    # https://github.com/BerriAI/litellm/issues/16341: tokens that the provider read from its cache without being
    # asked to were recorded as none.
    # 112 * 1.25 + 5888 * 0.125 + 40 * 10
    ("implicitly cached", "gpt-5", Usage(6_000, 40, cached_input=5_888), OPENAI, "", 1_276),
    # https://github.com/BerriAI/litellm/issues/18599: where an answer told of reasoning, reasoning alone was billed, and
    # the rest of the output was not: 448 of 482 tokens.
    # 17 * 0.05 + 482 * 0.4
    ("reasoning is not all of the output", "gpt-5-nano", Usage(17, 482, reasoning=448), OPENAI, "", 194),
    # https://github.com/BerriAI/litellm/issues/9812: cache writes were charged as input, and again as writes:
    # $0.091311 instead of this.
    # 3 * 3 + 12304 * 3.75 + 550 * 15
    ("writes once", "claude-3-7-sonnet", Usage(3, 550, cache_write=12_304), CLAUDE, "", 54_399),
    # https://github.com/BerriAI/litellm/issues/27745: cached tokens were subtracted from an input that does not
    # hold them: a negative cost.
    # 1 * 5 + 965602 * 0.5 + 225 * 6.25 + 82 * 25
    ("never negative", "claude-opus-4-6", Usage(1, 82, cached_input=965_602, cache_write=225), CLAUDE, "", 486_262),
    # https://github.com/BerriAI/litellm/issues/33772: OpenAI's cache writes were billed as plain input, or not at
    # all.
    # 14000 * 4 + 155000 * 0.4 + 3000 * 5
    ("openai's writes", "gpt-5.6", Usage(172_000, 0, cached_input=155_000, cache_write=3_000), OPENAI, "", 133_000),
    # https://github.com/BerriAI/litellm/issues/31837: the tier that was asked for was billed, and not the one that
    # the answer names.
    ("asked for priority, served default", "gpt-4.1", Usage(9, 1), OPENAI, "default", 26),  # 9 * 2 + 1 * 8
    # https://github.com/BerriAI/litellm/issues/37046: an answer of the priority tier was billed as an ordinary one
    # ($0.000026).
    ("served priority", "gpt-4.1", Usage(9, 1), OPENAI, "priority", 46),  # 9 * 3.5 + 1 * 14
    # https://github.com/BerriAI/litellm/pull/35925: reasoning in the priority tier was billed at the ordinary rate.
    ("reasoning of a tier", "gpt-5", Usage(10, 160, reasoning=159), OPENAI, "priority", 3_225),  # 10 * 2.5 + 160 * 20
    # https://github.com/BerriAI/litellm/issues/30135: the rates of long context were not looked at, and a cache
    # write did not count towards it.
    # 100 * 6 + 585659 * 7.5 + 1 * 22.5
    ("a long write", "claude-sonnet-4-5", Usage(100, 1, cache_write=585_659), CLAUDE, "", 4_393_065),
    # https://github.com/BerriAI/litellm/issues/10567: reasoning was not in the cost.
    ("reasoning is in the cost", "o3", Usage(14, 2_000, reasoning=1_900), OPENAI, "", 16_028),  # 14 * 2 + 2000 * 8
    # https://github.com/earendil-works/pi/issues/5603: writes for an hour were priced as those for five minutes.
    # 344139 * 10
    (
        "an hour is dearer",
        "claude-opus-4-5",
        Usage(0, 0, cache_write=344_139, cache_write_1h=344_139),
        CLAUDE,
        "",
        3_441_390,
    ),
]


@pytest.mark.parametrize(
    ("model", "usage", "dialect", "tier", "micro_dollars"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_it_is_not_made_here(model: str, usage: Usage, dialect: Dialect, tier: str, micro_dollars: int) -> None:
    assert cost(portions(usage, dialect), PUBLISHED[model], tier) == micro_dollars

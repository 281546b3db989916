"""What exchanges cost at the prices that providers publish: worked out by hand, beside each the sum in micro-dollars.

The prices are in `published.py`, with where and when they were published.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from extproc.completion import Usage
from extproc.exchange import Dialect
from extproc.price import Price, cost, portions, sourced
from extproc.price_list import PriceList
from tests.extproc.published import OF_LIST, PUBLISHED

OPENAI, CLAUDE = Dialect.OPENAI, Dialect.ANTHROPIC
CASES: Final = [
    # Plain tokens.
    ("plain", "gpt-4o", Usage(1_000, 500), OPENAI, "", 7_500),  # 1000 * 2.5 + 500 * 10
    ("one token", "gpt-4o", Usage(1), OPENAI, "", 3),  # 1 * 2.5
    ("nothing", "gpt-4o", Usage(), OPENAI, "", 0),  # 0 * 2.5
    ("small model", "gpt-4o-mini", Usage(1_234, 567), OPENAI, "", 525),  # 1234 * 0.15 + 567 * 0.6
    ("4.1", "gpt-4.1", Usage(8_000, 2_000), OPENAI, "default", 32_000),  # 8000 * 2 + 2000 * 8
    ("4.1 mini", "gpt-4.1-mini", Usage(10_001, 333), OPENAI, "default", 4_533),  # 10001 * 0.4 + 333 * 1.6
    ("5 nano", "gpt-5-nano", Usage(123, 45), OPENAI, "default", 24),  # 123 * 0.05 + 45 * 0.4
    ("claude", "claude-sonnet-4-5", Usage(1_000, 500), CLAUDE, "standard", 10_500),  # 1000 * 3 + 500 * 15
    ("haiku", "claude-haiku-4-5", Usage(777, 333), CLAUDE, "standard", 2_442),  # 777 * 1 + 333 * 5
    ("opus", "claude-opus-4-5", Usage(12_345, 6_789), CLAUDE, "", 231_450),  # 12345 * 5 + 6789 * 25
    # Cached input: inside the input of OpenAI, beside that of Anthropic.
    # 86 * 2.5 + 1920 * 1.25 + 300 * 10
    ("half cached", "gpt-4o", Usage(2_006, 300, cached_input=1_920), OPENAI, "", 5_615),
    ("all cached", "gpt-4o", Usage(1_024, 1, cached_input=1_024), OPENAI, "", 1_290),  # 1024 * 1.25 + 1 * 10
    ("a quarter", "gpt-4.1", Usage(4_096, 100, cached_input=3_072), OPENAI, "", 4_384),  # 1024 * 2 + 3072 * 0.5 + 100 * 8
    # 16 * 1.25 + 9984 * 0.125 + 100 * 10
    ("a tenth", "gpt-5", Usage(10_000, 100, cached_input=9_984), OPENAI, "", 2_268),
    ("mini", "gpt-5-mini", Usage(5_000, 10, cached_input=4_992), OPENAI, "", 147),  # 8 * 0.25 + 4992 * 0.025 + 10 * 2
    ("more cached than input", "gpt-4o", Usage(10, 0, cached_input=20), OPENAI, "", 25),  # 20 * 1.25
    ("beside", "claude-sonnet-4-5", Usage(4, 34, cached_input=2_455), CLAUDE, "", 1_259),  # 4 * 3 + 2455 * 0.3 + 34 * 15
    # 1 * 5 + 150000 * 0.5 + 82 * 25
    ("far more beside", "claude-opus-4-5", Usage(1, 82, cached_input=150_000), CLAUDE, "", 77_055),
    # 50 * 1 + 99999 * 0.1 + 50 * 5
    ("haiku reads", "claude-haiku-4-5", Usage(50, 50, cached_input=99_999), CLAUDE, "", 10_300),
    # Cache writes: for five minutes 1.25 times the input, for an hour twice.
    # 10 * 3 + 2000 * 3.75 + 100 * 15
    ("5 minutes", "claude-sonnet-4-5", Usage(10, 100, cache_write=2_000), CLAUDE, "", 9_030),
    # 10 * 3 + 2000 * 6 + 100 * 15
    ("1 hour", "claude-sonnet-4-5", Usage(10, 100, cache_write=2_000, cache_write_1h=2_000), CLAUDE, "", 13_530),
    # 10 * 3 + 1500 * 3.75 + 500 * 6 + 100 * 15
    ("some of both", "claude-sonnet-4-5", Usage(10, 100, cache_write=2_000, cache_write_1h=500), CLAUDE, "", 10_155),
    # 7 * 1 + 1000 * 0.1 + 600 * 1.25 + 300 * 2 + 9 * 5
    (
        "read and both",
        "claude-haiku-4-5",
        Usage(7, 9, cached_input=1_000, cache_write=900, cache_write_1h=300),
        CLAUDE,
        "",
        1_502,
    ),
    # 100000 * 10
    ("opus, an hour", "claude-opus-4-5", Usage(0, 0, cache_write=100_000, cache_write_1h=100_000), CLAUDE, "", 1_000_000),
    # 100 * 2
    (
        "more for an hour than in all",
        "claude-haiku-4-5",
        Usage(0, 0, cache_write=100, cache_write_1h=250),
        CLAUDE,
        "",
        200,
    ),
    # 500 * 4 + 1000 * 0.4 + 1500 * 5 + 10 * 20
    ("openai writes", "gpt-5.6", Usage(3_000, 10, cached_input=1_000, cache_write=1_500), OPENAI, "", 10_100),
    # 3 * 4 + 2216 * 5 + 5 * 20
    ("openai only writes", "gpt-5.6", Usage(2_219, 5, cache_write=2_216), OPENAI, "", 11_192),
    ("no price for writes", "gpt-4o", Usage(1_000, 0, cache_write=600), OPENAI, "", 2_500),  # 1000 * 2.5
    # Reasoning is output, and counted inside it.
    ("reasoning", "gpt-5", Usage(100, 1_000, reasoning=900), OPENAI, "", 10_125),  # 100 * 1.25 + 1000 * 10
    ("o4-mini", "o4-mini", Usage(50, 2_048, reasoning=2_048), OPENAI, "", 9_066),  # 50 * 1.1 + 2048 * 4.4
    # 488 * 2 + 512 * 0.5 + 5000 * 8
    ("o3", "o3", Usage(1_000, 5_000, cached_input=512, reasoning=4_000), OPENAI, "", 41_232),
    ("more than the output", "gpt-5", Usage(0, 10, reasoning=50), OPENAI, "", 100),  # 10 * 10
    ("thinking", "claude-opus-4-5", Usage(10, 3_000, reasoning=2_500), CLAUDE, "", 75_050),  # 10 * 5 + 3000 * 25
    # Long context: above the step all tokens cost more, and all input counts towards it.
    ("at the step", "claude-sonnet-4-5", Usage(200_000, 1_000), CLAUDE, "", 615_000),  # 200000 * 3 + 1000 * 15
    ("one above", "claude-sonnet-4-5", Usage(200_001, 1_000), CLAUDE, "", 1_222_506),  # 200001 * 6 + 1000 * 22.5
    # 1 * 6 + 200000 * 0.6 + 10 * 22.5
    ("cached counts", "claude-sonnet-4-5", Usage(1, 10, cached_input=200_000), CLAUDE, "", 120_231),
    # 1 * 6 + 200000 * 7.5 + 10 * 22.5
    ("writes count", "claude-sonnet-4-5", Usage(1, 10, cache_write=200_000), CLAUDE, "", 1_500_231),
    # 1 * 6 + 200000 * 12 + 10 * 22.5
    (
        "writes for an hour count",
        "claude-sonnet-4-5",
        Usage(1, 10, cache_write=200_000, cache_write_1h=200_000),
        CLAUDE,
        "",
        2_400_231,
    ),
    ("output does not", "claude-sonnet-4-5", Usage(150_000, 64_000), CLAUDE, "", 1_410_000),  # 150000 * 3 + 64000 * 15
    ("another step", "gpt-5.4", Usage(272_000, 100), OPENAI, "default", 681_500),  # 272000 * 2.5 + 100 * 15
    # 1 * 5 + 272000 * 0.5 + 100 * 22.5
    ("above it", "gpt-5.4", Usage(272_001, 100, cached_input=272_000), OPENAI, "default", 138_255),
    ("a low step", "claude-haiku-5-5", Usage(100_001, 1_000), CLAUDE, "", 52_501),  # 100001 * 0.5 + 1000 * 2.5
    ("below it", "claude-haiku-5-5", Usage(99_999, 1_001), CLAUDE, "", 10_500),  # 99999 * 0.1 + 1001 * 0.5
    # 200000 * 8 + 100000 * 10 + 1000 * 30
    ("with writes", "gpt-5.6", Usage(300_000, 1_000, cache_write=100_000), OPENAI, "", 2_630_000),
    # Tiers, as the answer names them.
    ("priority", "gpt-4o", Usage(1_000, 500), OPENAI, "priority", 12_750),  # 1000 * 4.25 + 500 * 17
    ("its other name", "gpt-4o", Usage(1_000, 500), OPENAI, "fast", 12_750),  # 1000 * 4.25 + 500 * 17
    # 976 * 3.5 + 1024 * 0.875 + 100 * 14
    ("priority, cached", "gpt-4.1", Usage(2_000, 100, cached_input=1_024), OPENAI, "priority", 5_712),
    ("priority, mini", "gpt-4.1-mini", Usage(9, 1), OPENAI, "priority", 9),  # 9 * 0.7 + 1 * 2.8
    ("priority is flat", "gpt-5.4", Usage(300_000, 100), OPENAI, "priority", 1_503_000),  # 300000 * 5 + 100 * 30
    ("priority has its step", "gpt-5.6", Usage(300_000, 100), OPENAI, "priority", 4_806_000),  # 300000 * 16 + 100 * 60
    ("flex", "gpt-5", Usage(1_000, 500), OPENAI, "flex", 3_125),  # 1000 * 0.625 + 500 * 5
    # 104 * 0.625 + 896 * 0.0625 + 500 * 5
    ("flex, cached", "gpt-5", Usage(1_000, 500, cached_input=896), OPENAI, "flex", 2_621),
    # 1 * 0.125 + 1000 * 0.0125 + 3 * 1
    ("flex, in half cents", "gpt-5-mini", Usage(1_001, 3, cached_input=1_000), OPENAI, "flex", 16),
    # 1 * 0.55 + 1999 * 0.138 + 10 * 2.2
    ("flex, three decimals", "o4-mini", Usage(2_000, 10, cached_input=1_999), OPENAI, "flex", 298),
    ("flex, long", "gpt-5.4", Usage(272_001, 10), OPENAI, "flex", 680_115),  # 272001 * 2.5 + 10 * 11.25
    ("batch", "gpt-4o", Usage(1_000, 500), OPENAI, "batch", 3_750),  # 1000 * 1.25 + 500 * 5
    # 1000 * 1.5 + 1000 * 0.15 + 600 * 1.875 + 400 * 3 + 500 * 7.5
    (
        "batch, claude",
        "claude-sonnet-4-5",
        Usage(1_000, 500, cached_input=1_000, cache_write=1_000, cache_write_1h=400),
        CLAUDE,
        "batch",
        7_725,
    ),
    ("batch, long", "claude-sonnet-4-5", Usage(200_001, 500), CLAUDE, "batch", 605_628),  # 200001 * 3 + 500 * 11.25
    ("batch, haiku", "claude-haiku-5-5", Usage(100_001, 7), CLAUDE, "batch", 25_009),  # 100001 * 0.25 + 7 * 1.25
    ("auto is ordinary", "gpt-5", Usage(1_000, 500), OPENAI, "auto", 6_250),  # 1000 * 1.25 + 500 * 10
    ("a tier without a price", "gpt-4o", Usage(1_000, 500), OPENAI, "scale", 7_500),  # 1000 * 2.5 + 500 * 10
    ("no flex there", "gpt-4o", Usage(1_000, 500), OPENAI, "flex", 7_500),  # 1000 * 2.5 + 500 * 10
    # Embeddings have no output.
    ("small", "text-embedding-3-small", Usage(8_191), OPENAI, "", 164),  # 8191 * 0.02
    ("large", "text-embedding-3-large", Usage(8_191), OPENAI, "", 1_065),  # 8191 * 0.13
    ("a few tokens", "text-embedding-3-small", Usage(24), OPENAI, "", 0),  # 24 * 0.02
    ("half a micro-dollar", "text-embedding-3-small", Usage(25), OPENAI, "", 1),  # 25 * 0.02
    # Audio beside text.
    ("heard", "gpt-audio", Usage(1_000, 100, audio_input=900), OPENAI, "", 30_050),  # 100 * 2.5 + 900 * 32 + 100 * 10
    ("said", "gpt-audio", Usage(100, 1_000, audio_output=950), OPENAI, "", 61_550),  # 100 * 2.5 + 50 * 10 + 950 * 64
    # 200 * 2.5 + 300 * 32 + 100 * 10 + 600 * 64
    ("both", "gpt-audio", Usage(500, 700, audio_input=300, audio_output=600), OPENAI, "", 49_500),
    # 100 * 4 + 400 * 0.4 + 500 * 32 + 10 * 16
    ("beside cached text", "gpt-realtime", Usage(1_000, 10, cached_input=400, audio_input=500), OPENAI, "", 16_720),
    # 700 * 0.4 + 300 * 32
    ("also cached", "gpt-realtime", Usage(1_000, 0, cached_input=700, audio_input=500), OPENAI, "", 9_880),
    # 1000 * 2.5 + 100 * 10
    ("no price for audio", "gpt-4o", Usage(1_000, 100, audio_input=500, audio_output=50), OPENAI, "", 3_500),
    # Requests and searches.
    ("per request", "sonar", Usage(1_000, 200), OPENAI, "", 13_200),  # 1000 * 1 + 200 * 1 + 12000
    ("a request alone", "sonar-pro", Usage(), OPENAI, "", 14_000),  # 14000 * 1
    ("per request and tokens", "sonar-pro", Usage(321, 123), OPENAI, "", 16_808),  # 321 * 3 + 123 * 15 + 14000
    # 1000 * 3 + 500 * 15 + 3 * 10000
    ("searches", "claude-sonnet-4-5", Usage(1_000, 500, tool_calls=3), CLAUDE, "", 40_500),
    # 100 * 0.5 + 50 * 2.5 + 2 * 10000
    ("searches in batches cost the same", "claude-haiku-4-5", Usage(100, 50, tool_calls=2), CLAUDE, "batch", 20_175),
    # 200001 * 6 + 10000
    (
        "searches above the step cost the same",
        "claude-sonnet-4-5",
        Usage(200_001, 0, tool_calls=1),
        CLAUDE,
        "",
        1_210_006,
    ),
    # Rounded once, half up, to a micro-dollar.
    ("down", "gpt-4o-mini", Usage(3), OPENAI, "", 0),  # 3 * 0.15
    ("half", "gpt-4o-mini", Usage(10), OPENAI, "", 2),  # 10 * 0.15
    ("half again", "gpt-4o", Usage(3), OPENAI, "", 8),  # 3 * 2.5
    ("not each part", "gpt-5-nano", Usage(9, 1, cached_input=1), OPENAI, "", 1),  # 8 * 0.05 + 1 * 0.005 + 1 * 0.4
    ("two halves are one", "gpt-4o", Usage(2, 0, cached_input=1, cache_write=0), OPENAI, "", 4),  # 1 * 2.5 + 1 * 1.25
]


@pytest.mark.parametrize(
    ("model", "usage", "dialect", "tier", "micro_dollars"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_what_it_costs(model: str, usage: Usage, dialect: Dialect, tier: str, micro_dollars: int) -> None:
    assert cost(portions(usage, dialect), PUBLISHED[model], tier) == micro_dollars


AT: Final = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_list_has_the_same_prices(model: str) -> None:
    """Written down twice, by others and by us: who mistyped one would see it here."""
    provider, url = OF_LIST.get(model, ("anthropic" if "claude" in model else "openai", ""))
    found = [one.price for one in PriceList()(provider, url, model) if one.since <= AT][-1]
    assert found is not None
    assert bare(found) == bare(PUBLISHED[model])


def bare(price: Price) -> Price:
    """Without where it comes from."""
    return sourced(price, "")

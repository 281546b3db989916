"""Prices that providers have published, in dollars per million tokens, with where they stand and when they were read.

OpenAI: https://developers.openai.com/api/docs/pricing (standard, flex, priority and batch tables, as of 2026-10-14).
Anthropic: https://platform.claude.com/docs/en/about-claude/pricing (cache writes for five minutes and for an hour, long
context, batch, web search at $10 per 1,000, as of 2026-10-14). Perplexity:
https://docs.perplexity.ai/docs/getting-started/pricing (a fee for each request, as of 2026-10-19). All by way of the data
of genai-prices 0.2.3.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from extproc.price import Bracket, Price

SEARCH: Final = "0.01"


def price(
    amounts: str, *, brackets: tuple[tuple[int, str], ...] = (), search: str = SEARCH, **tiers: tuple[str, str] | str
) -> Price:
    """`amounts`: input, output, cached input, writes for five minutes, for an hour; `-` where nothing is said."""
    names = ("input", "output", "cached_input", "cache_write", "cache_write_1h", "audio_input", "audio_output", "request")
    said = dict(zip(names, amounts.split(), strict=False))
    told = {name: Decimal(amount) for name, amount in said.items() if amount != "-"}
    others = {}
    for name, tier in tiers.items():
        plain, long = (tier, None) if isinstance(tier, str) else tier
        above = brackets[0][0] if brackets else 0
        others[name] = price(plain, brackets=((above, long),) if long is not None else (), search=search)
    return Price.per_million(
        **told,  # type: ignore[arg-type]
        tool_call=Decimal(search),
        brackets=[Bracket(above, price(rates, search=search)) for above, rates in brackets],
        tiers=others,
    )


PUBLISHED: Final = {
    "gpt-4o": price("2.50 10 1.25", priority="4.25 17 2.125", batch="1.25 5 1.25"),
    "gpt-4o-mini": price("0.15 0.60 0.075", priority="0.25 1 0.125", batch="0.075 0.30 0.075"),
    "gpt-4.1": price("2 8 0.50", priority="3.50 14 0.875", batch="1 4 0.50"),
    "gpt-4.1-mini": price("0.40 1.60 0.10", priority="0.70 2.80 0.175", batch="0.20 0.80 0.10"),
    "gpt-5": price("1.25 10 0.125", flex="0.625 5 0.0625", priority="2.50 20 0.25", batch="0.625 5 0.0625"),
    "gpt-5-mini": price("0.25 2 0.025", flex="0.125 1 0.0125", priority="0.45 3.60 0.045", batch="0.125 1 0.0125"),
    "gpt-5-nano": price("0.05 0.40 0.005", flex="0.025 0.20 0.0025", batch="0.025 0.20 0.0025"),
    "gpt-5.4": price(
        "2.50 15 0.25",
        brackets=((272_000, "5 22.50 0.50"),),
        flex=("1.25 7.50 0.13", "2.50 11.25 0.25"),
        priority="5 30 0.50",
        batch=("1.25 7.50 0.13", "2.50 11.25 0.25"),
    ),
    # Since 2026-08-21.
    "gpt-5.6": price(
        "4 20 0.40 5",
        brackets=((272_000, "8 30 0.80 10"),),
        flex=("2 10 0.20 2.50", "4 15 0.40 5"),
        priority=("8 40 0.80 10", "16 60 1.60 20"),
        batch=("2 10 0.20 2.50", "4 15 0.40 5"),
    ),
    # Since 2025-06-10.
    "o3": price("2 8 0.50", flex="1 4 0.25", priority="3.50 14 0.875", batch="1 4 0.50"),
    "o4-mini": price("1.10 4.40 0.275", flex="0.55 2.20 0.138", priority="2 8 0.50", batch="0.55 2.20 0.275"),
    "text-embedding-3-small": price("0.02 0", search="0"),
    "text-embedding-3-large": price("0.13 0", search="0"),
    "gpt-audio": price("2.50 10 - - - 32 64", search="0"),
    "gpt-realtime": price("4 16 0.40 - - 32 64", search="0"),
    "claude-sonnet-4-5": price(
        "3 15 0.30 3.75 6",
        brackets=((200_000, "6 22.50 0.60 7.50 12"),),
        batch=("1.50 7.50 0.15 1.875 3", "3 11.25 0.30 3.75 6"),
    ),
    "claude-3-7-sonnet": price("3 15 0.30 3.75 6"),
    "claude-haiku-4-5": price("1 5 0.10 1.25 2", batch="0.50 2.50 0.05 0.625 1"),
    "claude-haiku-5-5": price(
        "0.10 0.50 0.01 0.125 0.20",
        brackets=((100_000, "0.50 2.50 0.05 0.625 1"),),
        batch=("0.05 0.25 0.005 0.0625 0.10", "0.25 1.25 0.025 0.3125 0.50"),
    ),
    "claude-opus-4-5": price("5 25 0.50 6.25 10", batch="2.50 12.50 0.25 3.125 5"),
    # Since 2026-03-13 without a step.
    "claude-opus-4-6": price("5 25 0.50 6.25 10", batch="2.50 12.50 0.25 3.125 5"),
    "sonar": price("1 1 - - - - - 0.012", search="0"),
    "sonar-pro": price("3 15 - - - - - 0.014", search="0"),
}
OF_LIST: Final = dict.fromkeys(("sonar", "sonar-pro"), ("openai", "https://api.perplexity.ai"))
"""The API and the URL of models whose provider another URL tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.price import Portions, Price
from extproc.tariff import Contract, Terms
from policies.cost.reporting.estimates import (
    Asked,
    EstimateError,
    asked,
    bounds,
    output_of,
    plain,
    price_of,
    serving,
)
from tests.policies.cost.reporting.spendings import row

# Dollars per million: 2.5, half for the cache, 10; as gpt-4o.
PRICE = Price.per_million(input=Decimal("2.5"), cached_input=Decimal("1.25"), output=Decimal(10), source="configured")
BATCH = Price.per_million(input=Decimal("1.25"), output=Decimal(5), source="configured/batch")
FOUR = Model("gpt-4o", price=PRICE, max_output=1_000)
CATALOGUE = Catalogue(
    upstreams=(
        Upstream("first", Provider.OPENAI, models=(FOUR, Model("free"))),
        Upstream("second", Provider.OPENAI, models=(Model("gpt-*", price=BATCH),)),
    ),
    terms=Terms(contracts=(Contract("acme", BATCH, tenant="contoso", since=1_000.0),)),
)


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is a sluice gate?"}], **members}


def test_who_serves_it() -> None:
    assert serving(CATALOGUE, "gpt-4o")[0].name == "first"
    assert serving(CATALOGUE, "gpt-4o", "second")[0].name == "second"
    assert serving(CATALOGUE, "gpt-5")[0].name == "second"
    with pytest.raises(EstimateError, match="claude: no upstream of the configuration serves it"):
        serving(CATALOGUE, "claude")
    with pytest.raises(EstimateError, match="free: the upstream second does not serve it"):
        serving(CATALOGUE, "free", "second")


def test_whose_price_and_when() -> None:
    assert price_of(CATALOGUE, "first", "gpt-4o", "", 2_000.0).output == PRICE.output
    assert price_of(CATALOGUE, "first", "gpt-4o", "contoso", 2_000.0).output == BATCH.output
    assert price_of(CATALOGUE, "first", "gpt-4o", "contoso", 999.0).output == PRICE.output
    with pytest.raises(EstimateError, match="first/free: no price is known"):
        price_of(CATALOGUE, "first", "free", "", 2_000.0)


def test_so_many_tokens() -> None:
    # 500 * 2.5 + 500 * 1.25 + 100 * 10 = 2875 micro-dollars.
    found = plain("first", "gpt-4o", PRICE, Portions(input=500, cached_input=500, output=100), "")
    assert (found.dollars, found.source) == (2_875, "configured")


def test_a_tier_has_its_own_price() -> None:
    price = Price.per_million(input=Decimal("2.5"), output=Decimal(10), tiers={"batch": BATCH}, source="configured")
    # 1000 * 1.25 + 100 * 5 = 1750.
    found = plain("first", "gpt-4o", price, Portions(input=1_000, output=100), "batch")
    assert (found.dollars, found.source) == (1_750, "configured/batch")


def test_what_a_body_asks_for() -> None:
    body = asked(chat(n=3, max_tokens=50, service_tier="flex"))
    # "gpt-4o", "user", "flex" and 22 letters of the question.
    assert (body.model, body.text, body.ceiling, body.choices, body.tier) == ("gpt-4o", 6 + 4 + 22 + 4, 50, 3, "flex")
    assert body.size == len(b'{"model":"gpt-4o","messages":[{"role":"user","content":"What is a sluice gate?"}]') + len(
        b',"n":3,"max_tokens":50,"service_tier":"flex"}'
    )
    assert body.beside == ()
    assert asked({"input": "x"}) == Asked("", 13, 1, None, 1, "", ())
    assert asked(chat(max_tokens=5, max_completion_tokens=7)).ceiling == 5


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
            "image_url",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}, {"type": "function", "function": {}}]}, "web_search"),
    ],
)
def test_what_its_size_says_nothing_of(members: dict[str, Any], told: str) -> None:
    (one,) = asked(chat(**members)).beside
    assert one.startswith(f"{told}: ")


@pytest.mark.parametrize("value", [-1, 1.5, "10", True, [1]])
@pytest.mark.parametrize("name", ["n", "max_tokens", "max_output_tokens"])
def test_what_is_no_number(name: str, value: object) -> None:
    with pytest.raises(EstimateError, match=f"{name}: expected a whole number"):
        asked(chat(**{name: value}))


def test_at_most_and_usually() -> None:
    body = asked(chat(n=2))
    found = bounds("first", body, FOUR, PRICE, 40)
    # 88 bytes at 2.5, and two answers of 1000 at 10; 33 bytes of text are 9 tokens, and two answers of 40.
    assert (body.size, body.text) == (88, 32)
    assert (found.most_input, found.most_output, found.most) == (88, 2_000, 88 * 5 // 2 + 20_000)
    assert (found.usual_input, found.usual_output, found.usual) == (8, 80, 20 + 800)
    assert found.learned
    assert not bounds("first", body, FOUR, PRICE, None).learned
    assert bounds("first", body, FOUR, PRICE, 10**6).usual_output == 2_000


def test_an_answer_must_have_an_end_unless_it_costs_nothing() -> None:
    endless = Model("gpt-4o", price=PRICE)
    with pytest.raises(EstimateError, match=r"nor the configuration .* says how long"):
        bounds("first", asked(chat()), endless, PRICE, None)
    free = Price.per_million(input=Decimal("0.02"), output=Decimal(0))
    assert bounds("first", asked({"model": "e", "input": "x"}), Model("e"), free, None).most_output == 0


@given(st.text(max_size=200), st.integers(1, 5), st.integers(1, 5_000), st.integers(0, 10_000) | st.none())
def test_usually_is_at_most_at_most(text: str, choices: int, ceiling: int, usual: int | None) -> None:
    clean = text.encode("utf-8", "replace").decode()
    found = bounds("first", asked(chat(input=clean, n=choices, max_tokens=ceiling)), FOUR, PRICE, usual)
    assert 0 <= found.usual <= found.most


def test_how_long_answers_are() -> None:
    rows = (row({}, 1, requests=12, refused=1, open=1, output=25), row({}, 1, requests=1, output=1, audio_output=2))
    # 28 tokens in 11 answers.
    assert output_of(rows) == 3
    assert output_of(()) is None
    assert output_of((row({}, 1, requests=2, refused=2),)) is None

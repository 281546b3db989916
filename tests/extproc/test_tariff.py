"""Which price holds: the more specific, at its time, for its tenant."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.catalogue import Catalogue, Model, Provider, Upstream
from extproc.price import Price
from extproc.tariff import Contract, Dated, Tariff, Terms


def price(amount: int, source: str = "") -> Price:
    return Price.per_million(input=Decimal(amount), output=Decimal(amount), source=source)


def day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def contract(name: str, **said: object) -> Contract:
    return Contract(name, price(9, f"contract:{name}"), **said)  # type: ignore[arg-type]


UPSTREAMS = (
    Upstream(
        "east",
        Provider.AZURE,
        models=(Model("gpt-4o", "deployment-a", price(2)), Model("gpt-5"), Model("gpt-*")),
        region="eastus",
    ),
    Upstream("west", Provider.AZURE, models=(Model("gpt-4o", "deployment-b"), Model("gpt-5")), region="westeurope"),
    Upstream("claude", Provider.ANTHROPIC, models=(Model("claude-*"),)),
    Upstream("groq", Provider.OPENAI, models=(Model("llama"),), url="https://groq"),
)
LISTED = {
    ("azure", "gpt-5"): (Dated(-inf, price(5, "list")), Dated(day("2026-10-12"), price(4, "list"))),
    ("azure", "gpt-4o"): (Dated(-inf, price(3, "list")),),
    ("groq", "llama"): (Dated(-inf, price(1, "list")),),
    ("anthropic", "claude-next"): (Dated(day("2026-10-12"), price(6, "list")),),
}
CONTRACTS = (
    contract("all"),
    contract("gpt", models=("gpt-*",)),
    contract("gpt-4o", models=("gpt-4o",)),
    contract("by-target", models=("deployment-b",), region="westeurope"),
    contract("europe", region="westeurope"),
    contract("azure", provider="azure"),
    contract("contoso", tenant="contoso"),
    contract("con", tenant="con*", models=("gpt-4o",)),
    contract("t-9", tenant="t-9", region="eastus"),
)
AT = day("2026-06-01")


def listed(provider: str, url: str, model: str) -> tuple[Dated, ...]:
    return LISTED.get((url.removeprefix("https://") or provider, model), ())


def found(terms: Terms, upstream: str, model: str, tenant: str = "", name: str = "", at: float = AT) -> str | None:
    chosen = Tariff(UPSTREAMS, terms).price(upstream, model, tenant, name, at)
    return None if chosen is None else chosen.source


@pytest.mark.parametrize(
    ("upstream", "model", "source"),
    [
        ("east", "gpt-4o", "configured"),
        ("west", "gpt-4o", "list"),  # its deployment is in no list: as clients name it
        ("west", "gpt-5", "list"),
        ("groq", "llama", "list"),
        ("claude", "claude-x", "fallback"),
        ("claude", "claude-next", "fallback"),  # the list has it from October on
        ("nowhere", "gpt-4o", None),
    ],
)
def test_what_is_configured_goes_before_the_list_and_that_before_the_fallback(
    upstream: str, model: str, source: str | None
) -> None:
    assert found(Terms((), listed, price(7, "fallback")), upstream, model) == source


def test_what_nobody_prices_has_no_price() -> None:
    assert found(Terms(), "west", "gpt-5") is None
    assert found(Terms((), listed), "claude", "claude-x") is None
    assert found(Terms(), "east", "gpt-4o") == "configured"


@pytest.mark.parametrize(
    ("upstream", "model", "tenant", "name", "chosen"),
    [
        ("claude", "claude-x", "", "", "all"),
        ("groq", "llama", "", "", "all"),
        ("east", "gpt-5", "", "", "azure"),
        ("east", "gpt-4o", "", "", "azure"),
        ("west", "gpt-4o", "", "", "by-target"),
        ("west", "gpt-5", "", "", "europe"),
        # A tenant goes before a region, also one by a glob; an exact one before that.
        ("west", "gpt-4o", "t-1", "contoso", "contoso"),
        ("west", "gpt-4o", "t-2", "contoro", "con"),
        ("west", "gpt-5", "t-2", "contoro", "europe"),
        ("west", "gpt-4o", "t-9", "contoso", "contoso"),
        ("east", "gpt-4o", "t-9", "contoso", "t-9"),
        ("east", "gpt-4o", "contoso", "", "contoso"),
    ],
)
def test_the_contract_that_says_most_goes_first(upstream: str, model: str, tenant: str, name: str, chosen: str) -> None:
    assert found(Terms(CONTRACTS, listed), upstream, model, tenant, name) == f"contract:{chosen}"
    assert found(Terms(CONTRACTS[::-1], listed), upstream, model, tenant, name) == f"contract:{chosen}"


@pytest.mark.parametrize(("model", "chosen"), [("gpt-4o", "gpt-4o"), ("gpt-4.1", "gpt-4*"), ("gpt-5", "gpt")])
def test_a_name_goes_before_a_glob_and_a_longer_glob_before_a_shorter(model: str, chosen: str) -> None:
    terms = Terms((*CONTRACTS[:3], contract("gpt-4*", models=("gpt-4*", "o*"))))
    assert found(terms, "east", model) == f"contract:{chosen}"


def test_of_those_that_say_as_much_the_later_and_then_the_first() -> None:
    old, new = contract("old", since=day("2026-01-01")), contract("new", since=day("2026-05-01"))
    assert found(Terms((old, new)), "west", "gpt-5") == "contract:new"
    assert found(Terms((old, new)), "west", "gpt-5", at=day("2026-04-30")) == "contract:old"
    assert found(Terms((contract("a"), contract("b"))), "west", "gpt-5") == "contract:a"


BEGIN, END = day("2026-03-01"), day("2026-09-01")


@pytest.mark.parametrize(
    ("at", "source"),
    [
        (BEGIN - 1, "list"),
        (BEGIN, "contract:dated"),
        (END - 0.001, "contract:dated"),
        (END, "list"),
        (day("2026-10-12") - 1, "list"),
    ],
)
def test_it_holds_from_its_first_day_and_before_its_last(at: float, source: str) -> None:
    terms = Terms((contract("dated", since=BEGIN, until=END),), listed)
    assert found(terms, "west", "gpt-5", at=at) == source


def test_the_list_has_prices_from_a_day_on() -> None:
    tariff = Tariff(UPSTREAMS, Terms((), listed))
    assert tariff.price("west", "gpt-5", "", "", day("2026-10-12") - 1) == price(5, "list")
    assert tariff.price("west", "gpt-5", "", "", day("2026-10-12")) == price(4, "list")
    assert tariff.price("claude", "claude-next", "", "", day("2026-10-12")) == price(6, "list")


MOMENTS = st.sampled_from([BEGIN, END, AT, day("2026-10-12")]).flatmap(
    lambda moment: st.sampled_from([moment - 1, moment, moment + 1])
)
ASKED = st.lists(
    st.tuples(
        st.sampled_from(["east", "west", "claude", "groq"]),
        st.sampled_from(["gpt-4o", "gpt-5", "claude-next", "llama"]),
        st.sampled_from(["", "t-1", "t-9"]),
        st.sampled_from(["", "contoso"]),
        MOMENTS,
    ),
    max_size=30,
)


@given(ASKED)
def test_it_remembers_and_still_obeys_dates(asked: list[tuple[str, str, str, str, float]]) -> None:
    dated = (*CONTRACTS[3:], contract("dated", since=BEGIN, until=END), contract("then", since=END))
    terms = Terms(dated, listed, price(7, "fallback"))
    remembering = Tariff(UPSTREAMS, terms)
    for one in asked:
        # One that has nothing to remember.
        assert remembering.price(*one) == Tariff(UPSTREAMS, terms).price(*one)


def test_the_list_is_asked_once_and_names_that_clients_invent_are_forgotten() -> None:
    asked: list[str] = []

    def counted(_: str, __: str, model: str) -> tuple[Dated, ...]:
        asked.append(model)
        return (Dated(-inf, price(1, "list")),)

    tariff = Tariff(UPSTREAMS, Terms((), counted))
    for _ in range(3):
        tariff.price("claude", "claude-1", "", "", AT)
    assert asked == ["claude-1"]
    for number in range(5_000):
        tariff.price("claude", f"claude-{number + 2}", "", "", AT)
    asked.clear()
    tariff.price("claude", "claude-1", "", "", AT)
    tariff.price("claude", "claude-5000", "", "", AT)
    assert asked == ["claude-1"]


@pytest.mark.parametrize("contracts", [(), (contract("t-9", tenant="t-9"),)])
def test_the_list_is_asked_once_for_any_number_of_tenants(contracts: tuple[Contract, ...]) -> None:
    asked: list[str] = []

    def counted(_: str, __: str, model: str) -> tuple[Dated, ...]:
        asked.append(model)
        return (Dated(-inf, price(1, "list")),)

    tariff = Tariff(UPSTREAMS, Terms(contracts, counted))
    for _ in range(2):
        for number in range(5_000):
            found = tariff.price("claude", "claude-1", f"t-{number}", f"tenant {number}", AT)
            assert found is not None
            assert found.source == ("contract:t-9" if contracts and number == 9 else "list")
    assert asked == ["claude-1"]


def test_what_has_no_price_is_named() -> None:
    terms = Terms((contract("contoso", tenant="contoso"),), listed)
    # A list knows no globs.
    assert Tariff(UPSTREAMS, terms).unpriced(AT) == ["east/gpt-*", "claude/claude-*"]
    assert Tariff(UPSTREAMS, Terms((), listed, price(1))).unpriced(AT) == []
    gpt = contract("gpt", models=("gpt-*",))
    assert Tariff(UPSTREAMS, Terms((gpt,))).unpriced(AT) == ["claude/claude-*", "groq/llama"]


def test_a_catalogue_has_its_tariff() -> None:
    chosen = Catalogue(UPSTREAMS).tariff.price("east", "gpt-4o", "", "", AT)
    assert chosen == price(2, "configured")
    assert Catalogue(UPSTREAMS) == Catalogue(UPSTREAMS)

"""Where prices come from: what a contract says, whatever its currency, and what is wrong with it, in which line."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extproc.catalogue import Model, Provider, Upstream
from extproc.contracts import ContractEntry, Prices, with_contracts
from extproc.mistakes import ConfigurationError, describe
from extproc.price import Portions, cost
from extproc.price_list import PriceList
from extproc.settings import parse
from extproc.strict_yaml import read
from extproc.tariff import Contract, Tariff, Terms

LEAST: dict[str, Any] = {"policies": [{"policy": "p"}]}


def entry(text: str) -> ContractEntry:
    return ContractEntry.model_validate(read(text))


def day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_least_is_for_all() -> None:
    found = entry("{name: acme, input: 2, output: 8}").contract()
    assert found == Contract("acme", found.price)
    assert (found.price.input, found.price.output, found.price.source) == (2_000_000, 8_000_000, "contract:acme")
    assert (found.since, found.until) == (-inf, inf)


def test_the_most() -> None:
    found = entry(
        "{name: Acme-2026.1, provider: azure, region: swedencentral, models: [gpt-4o, 'gpt-5*'], tenant: 'con*',"
        " from: '2026-01-01', until: 2027-01-01, input: 2, output: 8, tiers: {batch: {discount: 50%}}}"
    ).contract()
    assert (found.provider, found.region, found.tenant) == ("azure", "swedencentral", "con*")
    assert found.models == ("gpt-4o", "gpt-5*")
    assert (found.since, found.until) == (day("2026-01-01"), day("2027-01-01"))
    assert found.price.of_tier("batch").source == "contract:Acme-2026.1/batch"


def test_another_currency_is_exact_at_its_fixed_rate() -> None:
    found = entry("{name: eu, input: 2.13, output: 8.51, currency: EUR, rate: 1.083712}").contract().price
    # 2.13 * 1.083712 = 2.30830656; of a million tokens 2,308,306.56 micro-dollars.
    assert cost(Portions(1_000_000), found) == 2_308_307
    # 8.51 * 1.083712 = 9.22238912; of 10**8 tokens whole.
    assert cost(Portions(output=10**8), found) == 922_238_912


AGREED = Prices.model_validate(
    read(
        """
        list: none
        contracts:
          - {name: east, provider: azure, region: eastus, models: 'gpt-4o*', input: 2.75, output: 11, cached_input: 1.375}
          - {name: euro, models: gpt-4o, tenant: 'fab*', currency: EUR, rate: 1.08, input: 2.10, output: 8.40}
          - {name: contoso, models: gpt-4o, tenant: contoso, input: 2, output: 8, tiers: {batch: {discount: 50%}}}
          - {name: flat, models: search-*, input: 0, output: 0, request: 0.005}
          - {name: old, models: gpt-5, until: 2026-06-01, input: 9, output: 90}
          - {name: new, models: gpt-5, from: 2026-06-01, input: 1, output: 9, tool_call: 0.008}
        fallback: {input: 15, output: 75}
        """
    )
).terms()
MODELS = tuple(Model(name) for name in ("gpt-4o", "gpt-5", "search-1", "unheard-of"))
AZURE = Upstream("az", Provider.AZURE, models=MODELS, region="eastus")
TARIFF = Tariff((AZURE, Upstream("up", Provider.OPENAI, models=MODELS)), AGREED)


@pytest.mark.parametrize(
    ("at", "model", "tenant", "tokens", "tier", "micro_dollars", "source"),
    [
        # 1000 * 2.75 + 500 * 11
        ("2026-07-01", "az/gpt-4o", "other", Portions(1_000, output=500), "", 8_250, "east"),
        # 100 * 2.75 + 900 * 1.375 + 10 * 11 = 1622.5
        ("2026-07-01", "az/gpt-4o", "other", Portions(100, 900, output=10), "", 1_623, "east"),
        # 1000 * 2.10 + 500 * 8.40 = 6300, at 1.08
        ("2026-07-01", "az/gpt-4o", "fabrikam", Portions(1_000, output=500), "", 6_804, "euro"),
        # 333 * 2.10 * 1.08 = 755.244
        ("2026-07-01", "up/gpt-4o", "fabrikam", Portions(333), "", 755, "euro"),
        # 1000 * 2 + 500 * 8
        ("2026-07-01", "az/gpt-4o", "contoso", Portions(1_000, output=500), "default", 6_000, "contoso"),
        # 1000 * 1 + 500 * 4
        ("2026-07-01", "az/gpt-4o", "contoso", Portions(1_000, output=500), "batch", 3_000, "contoso/batch"),
        # A request at half a cent, whatever its tokens.
        ("2026-07-01", "up/search-1", "", Portions(1_000_000, output=500), "", 5_000, "flat"),
        # 100 * 9 + 10 * 90, until the end of May
        ("2026-05-31", "up/gpt-5", "", Portions(100, output=10), "", 1_800, "old"),
        # 100 * 1 + 10 * 9 + 2 * 8000
        ("2026-06-01", "up/gpt-5", "", Portions(100, output=10, tool_calls=2), "", 16_190, "new"),
        # 10 * 15 + 1 * 75
        ("2026-06-01", "up/unheard-of", "", Portions(10, output=1), "", 225, "fallback"),
    ],
)
def test_what_was_agreed_is_charged(
    at: str, model: str, tenant: str, tokens: Portions, tier: str, micro_dollars: int, source: str
) -> None:
    upstream, _, name = model.partition("/")
    price = TARIFF.price(upstream, name, "t-1", tenant, day(at))
    assert price is not None
    assert cost(tokens, price, tier) == micro_dollars
    assert price.of_tier(tier).source == (source if source == "fallback" else f"contract:{source}")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": ""}, "name: expected 1 to 63 letters, digits and . _ -"),
        ({"name": "a/b"}, "name: expected 1 to 63 letters"),
        ({"models": []}, "models: expected at least 1 entry"),
        ({"provider": "aws"}, "provider: expected openai, azure or anthropic"),
        ({"from": "2026-13-01"}, "from: expected a date such as 2026-01-31"),
        ({"from": 20260101}, "from: expected a date such as 2026-01-31"),
        ({"until": "01.01.2026"}, "until: expected a date"),
        ({"from": "2026-01-01", "until": "2026-01-01"}, "`until` is the first day on which it no longer holds"),
        ({"currency": "EUR"}, "a currency other than USD needs a `rate`"),
        ({"rate": 1.1}, "a currency other than USD needs a `rate`"),
        ({"currency": "eur", "rate": 1.1}, "currency: expected a code of three capital letters"),
        ({"currency": "EUR", "rate": 0}, "rate: expected US dollars for one unit"),
        ({"currency": "EUR", "rate": -1}, "rate: expected US dollars for one unit"),
        ({"currency": "EUR", "rate": "1.0000001"}, "rate: expected US dollars for one unit"),
        ({"output": "x"}, "output: expected US dollars"),
        ({"since": "2026-01-01"}, "since: unknown key"),
        ({"model": "gpt"}, "model: unknown key (did you mean 'models'?)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_and_its_path(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ContractEntry.model_validate({"name": "n", "input": 1, "output": 2, **changes})
    found = describe(caught.value, ContractEntry)
    assert any(line in one for one in found), found


def test_terms() -> None:
    assert Prices().terms() == Terms((), PriceList())
    assert Prices.model_validate({"list_file": "/l.json"}).terms().listed == PriceList(Path("/l.json"))
    found = Prices.model_validate(
        read("{list: none, contracts: [{name: a, input: 1, output: 2}], fallback: {input: 5, output: 25}}")
    ).terms()
    assert found.listed is None
    assert [one.name for one in found.contracts] == ["a"]
    assert found.fallback is not None
    assert (found.fallback.output, found.fallback.source) == (25_000_000, "fallback")


def test_two_contracts_of_one_name() -> None:
    twice = {"contracts": [{"name": "a", "input": 1, "output": 2}] * 2}
    with pytest.raises(ConfigurationError, match=r"prices\.contracts: two contracts are called 'a'"):
        parse({**LEAST, "prices": twice})


def test_contracts_in_a_file_are_those_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "contracts.yaml"
    file.write_text(
        "contracts:\n  - {name: a, input: 1, output: 2}\n  - {name: b, from: 2026-01-01, input: 1, output: 2}\n"
    )
    settings = parse({**LEAST, "prices": {"contracts": str(file)}})
    assert [one.name for one in settings.prices.contracts] == ["a", "b"]
    # A configuration with other contracts is another one.
    assert settings.model_dump(mode="json")["prices"]["contracts"][1]["from"] == "2026-01-01"
    assert parse(settings.model_dump(mode="json", exclude_unset=True)).prices == settings.prices


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("contracts:\n  - name: a\n    input: 1\n    output: -2\n", [":4: contracts[0].output: expected US dollars"]),
        ("contracts:\n  - {name: a, input: 1}\n", [":2: contracts[0].output: missing"]),
        (
            "contracts:\n  - {name: a, input: 1, output: 1}\n  - name: b\n    inputs: 1\n    output: 1\n",
            [":3: contracts[1].input: missing", ":4: contracts[1].inputs: unknown key (did you mean 'input'?)"],
        ),
        ("prices: []\n", [":1: contracts: missing", ":1: prices: unknown key"]),
        ("contracts: {\n", [": line 2, column 1: "]),
        ("- a\n", [": expected a mapping of sections"]),
    ],
    ids=["rate", "missing", "two", "section", "yaml", "list"],
)
def test_a_mistake_in_the_file_and_its_line(tmp_path: Path, text: str, lines: list[str]) -> None:
    file = tmp_path / "contracts.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        parse({**LEAST, "prices": {"contracts": str(file)}})
    assert len(caught.value.mistakes) == len(lines)
    for mistake, line in zip(caught.value.mistakes, lines, strict=True):
        assert mistake.startswith(f"prices.contracts: {file}{line}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"prices\.contracts: .*/none\.yaml: No such file"):
        parse({**LEAST, "prices": {"contracts": f"{tmp_path}/none.yaml"}})


def test_a_tree_without_a_file_is_left_alone() -> None:
    others: tuple[Any, ...] = (None, [], {"contracts": [1]}, {"contracts": None})
    for prices in others:
        tree = {**LEAST, "prices": prices}
        assert with_contracts(tree) == (tree, [])


def test_the_example_has_the_prices_that_it_says() -> None:
    tree = read((Path(__file__).parents[2] / "examples/prices.yaml").read_text("utf-8"))
    tariff = parse(tree).catalogue().tariff
    asked = {
        ("azure-sweden", "gpt-4o"): "contract:azure-2026",
        ("azure-sweden", "gpt-5"): "list:",
        ("azure-sweden", "tuned"): "configured",
        ("claude", "claude-sonnet-4-5"): "contract:claude-fabrikam",
        ("claude", "claude-nobody-knows"): "fallback",
    }
    for (upstream, model), source in asked.items():
        found = tariff.price(upstream, model, "", "fabrikam", day("2026-06-01"))
        assert found is not None
        assert found.source.startswith(source), model

"""The names of models that may stand in a label."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from extproc.catalogue import Catalogue
from extproc.completion import Ending
from extproc.price import Price
from extproc.tariff import Contract, Terms
from policies.cost.attribution import RESULTS, Models, result
from tests.policies.cost.world import CATALOGUE, CHAT, OPENAI, completion


def test_a_contract_names_models_as_well() -> None:
    price = Price.per_million(input=Decimal(1), output=Decimal(1))
    terms = Terms((Contract("acme", price, ("gpt-5-2026", "o?")),))
    models = Models(Catalogue(CATALOGUE.upstreams, terms=terms))
    assert models.label(replace(CHAT, model="gpt-5-2026"), OPENAI) == "gpt-5-2026"
    assert models.label(replace(CHAT, model="o?"), None) == "other"
    # Three of the catalogue, one of them a pattern, and the contract's.
    assert models.count == 4


def test_what_clients_write_is_not_kept() -> None:
    models = Models(CATALOGUE)
    labels = {models.label(replace(CHAT, model=f"gpt-{index}" * 50), OPENAI) for index in range(3_000)}
    labels |= {models.label(replace(CHAT, model=f"junk-{index}"), OPENAI) for index in range(3_000)}
    assert labels == {"gpt-*", "other"}
    assert len(models._remembered) <= 1_024


def test_a_model_of_an_upstream_that_is_gone() -> None:
    assert Models(CATALOGUE).label(replace(CHAT, model="gpt-x"), replace(OPENAI, upstream="gone")) == "other"


@pytest.mark.parametrize("ending", list(Ending))
def test_every_result_is_known(ending: Ending) -> None:
    assert result(completion(ending=ending, status=200)) == ending.value
    assert result(completion(ending=ending, status=500)) in RESULTS

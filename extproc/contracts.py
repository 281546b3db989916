"""The part of the configuration that says where prices come from: a list, contracts, a fallback.

Contracts stand in the configuration, or in a file of their own that it names.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from extproc.catalogue import Provider
from extproc.configured import mapping, read_tree
from extproc.mistakes import ConfigurationError, describe
from extproc.price import FALLBACK, sourced
from extproc.price_list import PriceList
from extproc.price_settings import Dollars, PriceEntry, Rates, dollars
from extproc.strict_yaml import lines
from extproc.tariff import Contract, Terms

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _day(value: object) -> object:
    """A date as text: strict YAML has no other."""
    if value is None:
        return None
    if type(value) is date:
        return value.isoformat()
    if isinstance(value, str) and _DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(value).date().isoformat()
    raise ValueError("expected a date such as 2026-01-31")


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _rate(value: object) -> object:
    expected = "expected US dollars for one unit of the currency, above 0, with at most six decimals"
    try:
        exact = dollars(value)
    except ValueError:
        raise ValueError(expected) from None
    exponent = exact.as_tuple().exponent
    if not exact or not isinstance(exponent, int) or exponent < -6:
        raise ValueError(expected)
    return exact


Day = Annotated[str | None, BeforeValidator(_day, json_schema_input_type=str | None), Field(description="A date, in UTC")]
Glob = Annotated[str, Field(min_length=1, max_length=256, description="an exact name or a glob: * ? [...]")]


class ContractEntry(PriceEntry):
    """A price that was agreed, and for what. What is left out matches all."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            json_schema_extra={"x-expected": "1 to 63 letters, digits and . _ -"},
        ),
    ]
    models: Annotated[
        tuple[Glob, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=Glob | tuple[Glob, ...]),
        Field(min_length=1),
    ] = ("*",)
    provider: Provider | None = None
    region: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    tenant: Annotated[Glob | None, Field(description="The tenant's configured name, or its id")] = None
    since: Annotated[Day, Field(alias="from")] = None
    until: Day = None
    currency: Annotated[
        str,
        Field(
            pattern=r"^[A-Z]{3}$", json_schema_extra={"x-expected": "a code of three capital letters (ISO 4217), as EUR"}
        ),
    ] = "USD"
    rate: (
        Annotated[Dollars, BeforeValidator(_rate), Field(description="US dollars for one unit of the currency")] | None
    ) = None

    @model_validator(mode="after")
    def _fits_together(self) -> ContractEntry:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`until` is the first day on which it no longer holds: expected one after `from`")
        if (self.currency != "USD") != (self.rate is not None):
            raise ValueError("a currency other than USD needs a `rate`, and no other has one")
        return self

    def contract(self) -> Contract:
        """The same, in the vocabulary of policies."""
        price = self.price(Fraction(self.rate) if self.rate is not None else Fraction(1))
        return Contract(
            self.name,
            sourced(price, f"contract:{self.name}"),
            self.models,
            self.provider.value if self.provider is not None else None,
            self.region,
            self.tenant,
            _begins(self.since, -inf),
            _begins(self.until, inf),
        )


def _begins(day: str | None, otherwise: float) -> float:
    return otherwise if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _distinct(value: tuple[ContractEntry, ...]) -> tuple[ContractEntry, ...]:
    seen: set[str] = set()
    for entry in value:
        if entry.name in seen:
            raise ValueError(f"two contracts are called {entry.name!r}: the record would not say which it was")
        seen.add(entry.name)
    return value


Contracts = Annotated[
    tuple[ContractEntry, ...],
    AfterValidator(_distinct),
    Field(json_schema_extra={"x-expected": "a list of contracts, or the path of a YAML file that has it"}),
]


class ContractFile(BaseModel):
    """A file of contracts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contracts: Contracts


class Prices(BaseModel):
    """Where prices come from, but for those beside the models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    list: Literal["genai-prices", "none"] = "genai-prices"
    list_file: (
        Annotated[
            str, Field(min_length=1, description="A list that was brought up to date, instead of the installed one")
        ]
        | None
    ) = None
    contracts: Contracts = ()
    fallback: Rates | None = None

    def terms(self) -> Terms:
        """The same, in the vocabulary of policies."""
        fallback = PriceEntry.model_validate(self.fallback.model_dump()).price() if self.fallback is not None else None
        return Terms(
            tuple(entry.contract() for entry in self.contracts),
            self.price_list() if self.list != "none" else None,
            sourced(fallback, FALLBACK) if fallback is not None else None,
        )

    def price_list(self) -> PriceList:
        """The list, not read yet."""
        return PriceList(Path(self.list_file) if self.list_file is not None else None)


def with_contracts(tree: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The tree with the contracts of the file that it names, and what is wrong with those: then it has none of them."""
    prices = mapping(tree.get("prices"))
    named = prices.get("contracts")
    if not isinstance(named, str):
        return tree, []
    found: list[Any] = []
    mistakes: list[str] = []
    path = Path(named)
    try:
        content = read_tree(path)
        try:
            ContractFile.model_validate(content)
            found = content["contracts"]
        except ValidationError as error:
            known = lines(path.read_text("utf-8"))
            mistakes = [_placed(line, path, known) for line in describe(error, ContractFile)]
    except ConfigurationError as error:
        mistakes = [f"prices.contracts: {line}" for line in error.mistakes]
    return {**tree, "prices": {**prices, "contracts": found}}, mistakes


def _placed(mistake: str, path: Path, known: Mapping[str, int]) -> str:
    where = mistake.partition(": ")[0]
    while where and where not in known:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return f"prices.contracts: {path}:{known.get(where, 1)}: {mistake}"

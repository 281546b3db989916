"""Published prices, from `genai-prices`: the one place that knows it.

The list is the one that is installed, or one that was brought up to date by `refresh` and is named by the configuration.
The gateway itself asks nobody. Loading takes 0.3 s and 30 MB, so it is done before the first exchange, and only where
some model has no price beside it.

The list has what providers publish for all: token prices with their brackets, tiers of OpenAI, dates from which a price
holds. Where they differ by the hour of the day, the dearest is taken. It does not tell apart images, and audio that was
cached.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any, Final

import msgspec

from extproc.price import PICO, Bracket, Price, sourced, worst
from extproc.tariff import Dated

_log = logging.getLogger(__name__)
NAME: Final = "genai-prices"
_TIERS: Final[Mapping[str, Mapping[str, str]]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
"""What the list calls the tiers."""
_TOKENS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
_EACH: Final = {"request": "requests_kcount", "tool_call": "web_searches_kcount"}
"""By the thousand."""
_MOST: Final = 64 * 2**20
_LONGEST: Final = 10**9
_DEAREST: Final = 10**6
"""Dollars per million tokens, as for a price of the configuration."""
_PATIENCE: Final = 20.0


class PriceListError(Exception):
    """The list cannot be read, or could not be fetched. The message says why."""


class _Loaded(msgspec.Struct, frozen=True):
    """Providers as `genai_prices` has them, and how the list calls itself."""

    providers: list[Any]
    source: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """A list of prices. `file`: one that was fetched; the installed one where it is None or not there yet."""

    file: Path | None = None

    def load(self) -> str:
        """Read it, if that has not been done. Returns its source, as prices have it: `list:genai-prices 0.2.3`.

        Raises:
            PriceListError: it is not installed, or its file holds something else.
        """
        return self._loaded().source

    def __call__(self, provider: str, url: str, model: str) -> tuple[Dated, ...]:
        """What the list says of this model; nothing where it does not know it, or there is no list.

        The provider is the one to whose API the URL belongs; of a URL that belongs to none (a gateway in between) the one
        whose API is spoken there.
        """
        try:
            loaded = self._loaded()
        except PriceListError:
            return ()
        owner = _by_url(loaded.providers, url) or _by_id(loaded.providers, provider)
        found = owner.find_model(model, all_providers=loaded.providers) if owner is not None else None
        if owner is None or found is None:
            return ()
        # A model that another provider's list lends has its own provider's tiers there.
        tiers = _TIERS if any(found is own for own in owner.models) else {}
        return tuple(
            Dated(since.timestamp() if since is not None else -inf, _price(found, since, tiers, loaded.source))
            for since in _changes(found)
        )

    def _loaded(self) -> _Loaded:
        if self.file is not None and self.file.exists():
            return _fetched(self.file, self.file.stat().st_mtime_ns)
        return _installed()


@cache
def _installed() -> _Loaded:
    try:
        from genai_prices.data import providers
    except ImportError as error:
        raise PriceListError(f"{NAME} is not installed") from error
    return _Loaded(list(providers), f"list:{NAME} {version(NAME)}")


@cache
def _fetched(file: Path, _changed: int) -> _Loaded:
    try:
        if file.stat().st_size > _MOST:
            raise PriceListError(f"{file}: larger than {_MOST} bytes")
        content = json.loads(file.read_bytes())
        return _Loaded(_providers(content["providers"]), f"list:{NAME} {date.fromisoformat(content['fetched'])}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PriceListError(f"{file}: no list of prices: {type(error).__name__}") from error


def _providers(raw: Any) -> list[Any]:
    """Raises ValueError for what is no list, and for one with a price or a pattern that cannot be used."""
    try:
        from genai_prices.types import _providers_from_raw

        found: list[Any] = _providers_from_raw(raw)
        # All of it, in 0.3 s: what is found out later is found out by a request.
        for provider in found:
            _check(provider, found)
    except Exception as error:
        raise ValueError("not in the form of the list") from error
    if not found:
        raise ValueError("an empty list")
    return found


def _check(provider: Any, providers: list[Any]) -> None:
    re.compile(provider.api_pattern)
    # Asks every pattern.
    provider.find_model("-", all_providers=providers)
    for model in provider.models:
        for since in _changes(model):
            price = _price(model, since, _TIERS, "")
            dearest = worst(price, _LONGEST) if price is not None else None
            if dearest is not None and max(dearest.input, dearest.output) > _DEAREST * PICO:
                raise ValueError(f"a price above {_DEAREST} dollars")


def refresh(file: Path, url: str | None = None) -> str:
    """Fetch the list as it is published now, and put it into `file`, whole or not at all.

    Args:
        url: where it is published; else where `genai-prices` says.

    Returns:
        Its source, as prices will have it.

    Raises:
        PriceListError: it could not be fetched, or is no list. What was in the file stays there.
    """
    try:
        import httpx2
        from genai_prices.update_prices import DEFAULT_UPDATE_URL
    except ImportError as error:
        raise PriceListError(f"{NAME} is not installed") from error
    place = url or DEFAULT_UPDATE_URL
    try:
        answer = httpx2.get(place, timeout=_PATIENCE, follow_redirects=True)
        answer.raise_for_status()
        raw = json.loads(answer.content)
        _providers(raw)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        raise PriceListError(f"{place}: {type(error).__name__}: the list stays as it was") from error
    today = datetime.now(UTC).date().isoformat()
    try:
        _replace(file, json.dumps({"fetched": today, "providers": raw}).encode())
    except OSError as error:
        raise PriceListError(f"{file}: {error.strerror}") from error
    return f"list:{NAME} {today}"


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _by_url(providers: Iterable[Any], url: str) -> Any | None:
    return next((one for one in providers if url and re.match(one.api_pattern, url)), None)


def _by_id(providers: Iterable[Any], name: str) -> Any | None:
    return next((one for one in providers if one.id == name), None)


def _changes(model: Any) -> list[datetime | None]:
    """From when prices of it may be others: None for the beginning."""
    conditions = [one.constraint for one in model.prices] if isinstance(model.prices, list) else []
    conditions += [one.constraint for one in model.price_variants or ()]
    days = {one.start_date for one in conditions if hasattr(one, "start_date")}
    return [None, *(datetime.combine(day, time(), UTC) for day in sorted(days))]


def _price(model: Any, at: datetime | None, tiers: Mapping[str, Mapping[str, str]], source: str) -> Price | None:
    """The price that begins at this moment."""
    moment = at or datetime(1970, 1, 1, tzinfo=UTC)
    ordinary = _at(model, moment, {})
    found = {name: _at(model, moment, context) for name, context in tiers.items()}
    others = {name: _made(prices) for name, prices in found.items() if prices != ordinary}
    made = _made(ordinary, {name: price for name, price in others.items() if price is not None})
    return sourced(made, source) if made is not None else None


def _at(model: Any, moment: datetime, context: Mapping[str, str]) -> dict[str, Any]:
    """Prices of the list by its own names."""
    prices = model.prices
    if isinstance(prices, list):
        # The last that has begun; where prices differ by the hour, that of the dearest.
        begun = [one for one in prices if one.constraint is None or _begun(one.constraint, moment)]
        hourly = [one for one in prices if hasattr(one.constraint, "start_time")]
        prices = max(((begun or prices)[-1], *hourly), key=_dearness).prices
    told = {key: value for key, value in vars(prices).items() if value is not None}
    over: dict[str, Any] = {}
    for variant in model.price_variants or () if context else ():
        if (variant.constraint is None or _begun(variant.constraint, moment)) and variant.when == context:
            for key, value in vars(variant.prices).items():
                if value is not None:
                    over.setdefault(key, value)
    return told | over


def _dearness(one: Any) -> Fraction:
    told = vars(one.prices)
    return sum(
        (_reached(told[key], None) for key in ("input_mtok", "output_mtok") if told.get(key) is not None), Fraction()
    )


def _begun(constraint: Any, moment: datetime) -> bool:
    return hasattr(constraint, "start_date") and bool(constraint.start_date <= moment.date())


def _made(prices: Mapping[str, Any], tiers: Mapping[str, Price] | None = None) -> Price | None:
    """The same as a price; None where it has none for tokens."""
    if "input_mtok" not in prices:
        return None
    starts = {tier.start for value in prices.values() for tier in getattr(value, "tiers", ())}
    above = [Bracket(start, Price.per_million(**_amounts(prices, start))) for start in sorted(starts)]
    return Price.per_million(**_amounts(prices, None), brackets=above, tiers=tiers)


def _amounts(prices: Mapping[str, Any], above: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"output": Fraction(0)}
    for name, key in _TOKENS.items():
        if key in prices:
            found[name] = _reached(prices[key], above)
    found |= {name: _reached(prices[key], above) / 1_000 for name, key in _EACH.items() if key in prices}
    return found


def _reached(value: Any, above: int | None) -> Fraction:
    """The amount that holds above so many tokens. Exactly: some have more decimals than can be written by hand."""
    amount: Decimal = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if above is not None and tier.start <= above:
            amount = tier.price
    return Fraction(amount)

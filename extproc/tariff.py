"""Which price holds for an exchange: of contracts, of the configuration, of a list, or the declared fallback. Pure.

More specific wins: a contract that fits the exchange, then the price that stands beside the model in the configuration,
then the list's, then the fallback. Of several contracts that fit, the one that says most goes first: a tenant by its
exact id or name before one by a glob, then a region, a provider, a model by its exact name before a glob, then the one
that began last, then the one that stands first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from extproc.price import CONFIGURED, Price, sourced

if TYPE_CHECKING:
    from extproc.catalogue import Upstream

_REMEMBERED: Final = 4_096
"""Names of models are what clients wrote."""


class Dated(msgspec.Struct, frozen=True):
    """A price from a moment on, in seconds since the epoch; None: from then on there is none."""

    since: float
    price: Price | None


Listed: TypeAlias = Callable[[str, str, str], Sequence[Dated]]
"""What a list says: by the API and the URL of the upstream, and its name of the model. In order of time; empty where it
has none."""


class Contract(msgspec.Struct, frozen=True):
    """A price that was agreed. What is None matches all; all that is said must match.

    Attributes:
        models: exact names or globs, of which one must fit: as clients name the model, or as the upstream does.
        provider, region: of the upstream.
        tenant: exact or a glob: the tenant's id or its configured name.
        since, until: seconds since the epoch: from, and before.
    """

    name: str
    price: Price
    models: tuple[str, ...] = ("*",)
    provider: str | None = None
    region: str | None = None
    tenant: str | None = None
    since: float = -inf
    until: float = inf


class Terms(msgspec.Struct, frozen=True):
    """Where prices come from, but for those beside the models."""

    contracts: tuple[Contract, ...] = ()
    listed: Listed | None = None
    fallback: Price | None = None


class _Remembered(msgspec.Struct, frozen=True):
    """A price, and from when until when it is the one."""

    since: float
    until: float
    price: Price | None


class Tariff:
    """The prices of all upstreams. Shared by all exchanges."""

    __slots__ = ("_by_tenant", "_listed", "_remembered", "_terms", "_upstreams")

    def __init__(self, upstreams: Sequence[Upstream] = (), terms: Terms | None = None) -> None:
        self._upstreams: Mapping[str, Upstream] = {upstream.name: upstream for upstream in upstreams}
        self._terms = terms or Terms()
        self._by_tenant = any(contract.tenant is not None for contract in self._terms.contracts)
        self._remembered: OrderedDict[tuple[str, str, str, str], _Remembered] = OrderedDict()
        self._listed: OrderedDict[tuple[str, str], Sequence[Dated]] = OrderedDict()

    def price(self, upstream: str, model: str, tenant: str, tenant_name: str, at: float) -> Price | None:
        """The price of this model at this upstream for this tenant; None where none is known.

        Args:
            upstream: its name.
            model: as the client named it.
            tenant, tenant_name: id and configured name; "" where there is none.
            at: when the exchange began, in seconds since the epoch.
        """
        # Where no contract is of a tenant all of them share an entry.
        key = (upstream, model, tenant, tenant_name) if self._by_tenant else (upstream, model, "", "")
        known = self._remembered.get(key)
        if known is None or not known.since <= at < known.until:
            known = self._found(key, at)
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.popitem(last=False)
            self._remembered[key] = known
        return known.price

    def unpriced(self, at: float) -> list[str]:
        """The models that are configured and have no price for somebody whom no contract names: `upstream/model`."""
        return [
            f"{upstream.name}/{model.name}"
            for upstream in self._upstreams.values()
            for model in upstream.models
            if self.price(upstream.name, model.name, "", "", at) is None
        ]

    def _found(self, key: tuple[str, str, str, str], at: float) -> _Remembered:
        name, model, tenant, tenant_name = key
        upstream = self._upstreams.get(name)
        if upstream is None:
            return _Remembered(-inf, inf, None)
        entry = upstream.serves(model)
        real = (entry.target if entry is not None else None) or model
        fitting = [one for one in self._terms.contracts if _fits(one, upstream, (model, real), (tenant, tenant_name))]
        dated: list[Dated] = []
        if entry is not None and entry.price is not None:
            dated = [Dated(-inf, entry.price if entry.price.source else sourced(entry.price, CONFIGURED))]
        else:
            dated = [*self._published(upstream, model, real)]
        # It holds until the next contract begins or ends, or the list's next price begins.
        changes = sorted(
            {*(one.since for one in fitting), *(one.until for one in fitting), *(one.since for one in dated)}
        )
        since = max((moment for moment in changes if moment <= at), default=-inf)
        until = min((moment for moment in changes if moment > at), default=inf)
        agreed = [one for one in fitting if one.since <= at < one.until]
        if agreed:
            # `min` takes the first of those that say as much.
            best = min(agreed, key=lambda one: _rank(one, (model, real), (tenant, tenant_name)))
            return _Remembered(since, until, best.price)
        plain = next((one.price for one in reversed(dated) if one.since <= at), None)
        return _Remembered(since, until, plain or self._terms.fallback)

    def _published(self, upstream: Upstream, model: str, real: str) -> Sequence[Dated]:
        """What the list says. Looked up once for all tenants: it takes longer than all else of an exchange."""
        if self._terms.listed is None or _is_glob(model):
            return ()
        key = (upstream.name, model)
        found = self._listed.get(key)
        if found is None:
            found = self._terms.listed(upstream.provider.value, upstream.url, real)
            if not found and real != model:
                found = self._terms.listed(upstream.provider.value, upstream.url, model)
            if len(self._listed) >= _REMEMBERED:
                self._listed.popitem(last=False)
            self._listed[key] = found
        return found


def _fits(one: Contract, upstream: Upstream, names: tuple[str, str], tenant: tuple[str, str]) -> bool:
    if one.provider is not None and one.provider != upstream.provider.value:
        return False
    if one.region is not None and one.region != upstream.region:
        return False
    if one.tenant is not None and not any(value and fnmatchcase(value, one.tenant) for value in tenant):
        return False
    return any(_names(glob, names) for glob in one.models)


def _rank(one: Contract, names: tuple[str, str], tenant: tuple[str, str]) -> tuple[float, ...]:
    """The less, the more it says."""
    return (*_said(one, names, tenant), -one.since)


def _said(one: Contract, names: tuple[str, str], tenant: tuple[str, str]) -> Iterator[int]:
    yield 2 if one.tenant is None else 0 if one.tenant in tenant else 1
    yield int(one.region is None)
    yield int(one.provider is None)
    # Of globs the one with the longest name.
    yield min(0 if glob in names else 1_000 - len(glob) for glob in one.models if _names(glob, names))


def _names(glob: str, names: tuple[str, str]) -> bool:
    return any(fnmatchcase(name, glob) for name in names)


def _is_glob(name: str) -> bool:
    return any(c in name for c in "*?[")

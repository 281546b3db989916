"""What there is to call: the configured upstreams, agents and opaque routes, as policies see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from extproc.exchange import Dialect
from extproc.price import Price
from extproc.tariff import Tariff, Terms


class Provider(StrEnum):
    """The API that an upstream speaks."""

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"

    @property
    def dialect(self) -> Dialect:
        return Dialect.ANTHROPIC if self is Provider.ANTHROPIC else Dialect.OPENAI


@dataclass(frozen=True, slots=True)
class Model:
    """A model that clients may name. What is None has not been configured.

    Attributes:
        name: may be a glob (`gpt-4o*`).
        target: the upstream's own name for it, where that differs.
        price: what its tokens cost, where that is configured here. What an exchange costs is told by `Catalogue.tariff`.
        max_output: the most tokens of one answer.
        output_field: the member of a chat body that its server takes as the ceiling of output: `max_tokens` or
            `max_completion_tokens`. See `extproc.call.output_field`.
        tokenizer: the vocabulary of its tokens: `o200k`, `cl100k`, `anthropic` or `unknown`.
    """

    name: str
    target: str | None = None
    price: Price | None = None
    max_output: int | None = None
    output_field: str | None = None
    tokenizer: str | None = None

    @property
    def is_glob(self) -> bool:
        return any(c in self.name for c in "*?[")


@dataclass(frozen=True, slots=True)
class Upstream:
    """An LLM provider.

    Attributes:
        base_path: the path of its URL, without a trailing slash.
        region: where it is, for contracts whose prices differ by it.
        url: whose prices a list may tell by its host.
    """

    name: str
    provider: Provider
    base_path: str = ""
    api_version: str | None = None
    models: tuple[Model, ...] = ()
    identity_headers: bool = False
    region: str | None = None
    url: str = ""

    def serves(self, model: str) -> Model | None:
        """The entry that serves `model`: an exact name before a glob, globs in order."""
        glob: Model | None = None
        for entry in self.models:
            if entry.name == model:
                return entry
            if glob is None and entry.is_glob and fnmatchcase(model, entry.name):
                glob = entry
        return glob


class Target(msgspec.Struct, frozen=True):
    """Where the exchange goes. Put before `on_request_body` where there is one; travels to settlement.

    Attributes:
        upstream: name of the upstream or agent; Envoy's route is chosen by it.
        path: path and query for the upstream.
        provider: None for agents.
        model: the upstream's own name for the model; None where there is no model.
    """

    upstream: str
    path: str
    provider: Provider | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent backend: any HTTP under `/agents/{name}/`."""

    name: str
    base_path: str = ""
    identity_headers: bool = True
    forward_token: bool = False


@dataclass(frozen=True, slots=True)
class Opaque:
    """A route whose bodies the gateway does not read: counted as requests, not as tokens.

    `path` is exact, or ends in `/*` for everything below it.
    """

    name: str
    path: str
    upstream: str
    methods: frozenset[str] = frozenset({"GET", "POST", "DELETE"})

    def matches(self, method: str, path: str) -> bool:
        if method not in self.methods:
            return False
        if self.path.endswith("/*"):
            return path.startswith(self.path[:-1]) and len(path) >= len(self.path)
        return path == self.path


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything behind the gateway. Names are unique within their kind. `tariff`: what it costs, by these `terms`."""

    upstreams: tuple[Upstream, ...] = ()
    agents: tuple[Agent, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    terms: Terms = field(default_factory=Terms)
    tariff: Tariff = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tariff", Tariff(self.upstreams, self.terms))

    def find(self, dialect: Dialect, model: str) -> tuple[Upstream, Model] | None:
        """The first upstream that speaks `dialect` and serves `model`."""
        for upstream in self.upstreams:
            if upstream.provider.dialect is dialect:
                entry = upstream.serves(model)
                if entry is not None:
                    return upstream, entry
        return None

    def named_models(self, dialect: Dialect) -> Iterator[tuple[str, Upstream]]:
        """Every model with a name of its own (globs cannot be listed), once, in order of configuration."""
        seen: set[str] = set()
        for upstream in self.upstreams:
            if upstream.provider.dialect is not dialect:
                continue
            for entry in upstream.models:
                if not entry.is_glob and entry.name not in seen:
                    seen.add(entry.name)
                    yield entry.name, upstream

    def upstream(self, name: str) -> Upstream | None:
        for upstream in self.upstreams:
            if upstream.name == name:
                return upstream
        return None

    def agent(self, name: str) -> Agent | None:
        return next((a for a in self.agents if a.name == name), None)

"""What a request would cost before it is sent: so many tokens, or a body. Pure; whole micro-dollars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import orjson

from extproc.catalogue import Catalogue, Model, Upstream
from extproc.price import PICO, Portions, Price, cost, worst
from extproc.spending import Spent

BYTES_PER_TOKEN: Final = 4
"""Of English, in the vocabularies of the large providers."""
USUAL_OUTPUT: Final = 500
"""Tokens of an answer, where the record knows none of the model."""
_CEILINGS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_UNSEEN_PARTS: Final = frozenset(
    {"document", "file", "image", "image_url", "input_audio", "input_file", "input_image", "search_result"}
)
_STORED: Final = ("conversation", "previous_response_id", "prompt")
"""Members that name input which is kept at the provider."""


class EstimateError(ValueError):
    """It cannot be said what it would cost. The message says why."""


class Estimate(msgspec.Struct, frozen=True):
    """What a request would cost.

    Attributes:
        dollars: micro-dollars.
        source: where the price comes from.
    """

    upstream: str
    model: str
    tokens: Portions
    dollars: int
    source: str


class Asked(msgspec.Struct, frozen=True):
    """What a body asks for.

    Attributes:
        model: "" where it names none.
        size: bytes of it, in the shortest form. A vocabulary has no token of less than a byte, and what a provider writes
            around a message is less than what JSON does: there are no more tokens of text.
        text: bytes of its texts alone.
        ceiling: the most tokens of one answer; None where it sets none.
        choices: how many answers are to be made.
        tier: the service tier that it asks for.
        beside: what it has that its size says nothing of, for people.
    """

    model: str
    size: int
    text: int
    ceiling: int | None
    choices: int
    tier: str
    beside: tuple[str, ...]


class Bounds(msgspec.Struct, frozen=True):
    """What a body would cost at most, and usually; micro-dollars. Of output, tokens of all answers."""

    upstream: str
    model: str
    source: str
    most: int
    most_input: int
    most_output: int
    usual: int
    usual_input: int
    usual_output: int
    learned: bool
    beside: tuple[str, ...]


def serving(catalogue: Catalogue, model: str, upstream: str = "") -> tuple[Upstream, Model]:
    """Who serves a model: the first upstream that does, or the one that is named.

    Raises:
        EstimateError: none does.
    """
    for one in catalogue.upstreams:
        entry = one.serves(model) if upstream in ("", one.name) else None
        if entry is not None:
            return one, entry
    where = f"the upstream {upstream}" if upstream else "no upstream of the configuration"
    raise EstimateError(f"{model}: {where} {'does not serve' if upstream else 'serves'} it")


def price_of(catalogue: Catalogue, upstream: str, model: str, tenant: str, at: float) -> Price:
    """What the model costs there. `tenant`: id or name; `at`: seconds since the epoch.

    Raises:
        EstimateError: nothing says so.
    """
    found = catalogue.tariff.price(upstream, model, tenant, tenant, at)
    if found is None:
        raise EstimateError(
            f"{upstream}/{model}: no price is known: neither a contract, the configuration nor the list has one"
        )
    return found


def plain(upstream: str, model: str, price: Price, tokens: Portions, tier: str) -> Estimate:
    """What so many tokens cost."""
    source = price.of_tier(tier).source or price.source
    return Estimate(upstream, model, tokens, cost(tokens, price, tier), source)


def asked(members: Mapping[str, Any]) -> Asked:
    """What a body asks for.

    Raises:
        EstimateError: a member that counts is no number.
    """
    model = members.get("model")
    ceilings = [_whole(members, name) for name in _CEILINGS if members.get(name) is not None]
    choices = max(_whole(members, "n", 1), _whole(members, "best_of", 1))
    text = sum(len(one.encode("utf-8", "replace")) for one in _texts(members))
    tier = members.get("service_tier")
    return Asked(
        model if isinstance(model, str) else "",
        len(orjson.dumps(members)),
        text,
        min(ceilings) if ceilings else None,
        max(1, choices),
        tier if isinstance(tier, str) else "",
        tuple(sorted(set(_beside(members)))),
    )


def _whole(members: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    value = members.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise EstimateError(f"{name}: expected a whole number")
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _beside(members: Mapping[str, Any]) -> Iterator[str]:
    for name in _STORED:
        if isinstance(members.get(name), str if name == "previous_response_id" else Mapping):
            yield f"{name}: what is kept at the provider"
    yield from (f"{kind}: its tokens do not follow from its size" for kind in _parts(members))
    if members.get("tools"):
        yield from (f"{kind}: runs at the provider, which bills for it" for kind in _hosted(members["tools"]))


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        kind = value.get("type")
        if isinstance(kind, str) and kind in _UNSEEN_PARTS:
            yield kind
        for one in value.values():
            yield from _parts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _parts(one)


def _hosted(tools: Any) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if isinstance(kind, str) and kind not in ("function", "custom"):
            yield kind


def bounds(upstream: str, wanted: Asked, entry: Model, price: Price, usual_output: int | None) -> Bounds:
    """What a body would cost at most, and usually.

    Args:
        entry: of the model.
        usual_output: tokens of one answer, as the record knows them; None where it knows none.

    Raises:
        EstimateError: nothing says how long its answer can be.
    """
    # A ceiling of 0 reads as none at some servers; what costs nothing needs none (embeddings).
    ceiling = wanted.ceiling or entry.max_output
    if ceiling is None and not worst(price, wanted.size, wanted.tier).output:
        ceiling = 0
    if ceiling is None:
        raise EstimateError("neither the body nor the configuration (`max_output`) says how long an answer can be")
    dearest = worst(price, wanted.size, wanted.tier)
    output = ceiling * wanted.choices
    # In the smallest parts, and rounded up once.
    most = wanted.size * dearest.input + output * dearest.output + dearest.request
    tokens = -(-wanted.text // BYTES_PER_TOKEN)
    answers = min(ceiling, USUAL_OUTPUT if usual_output is None else usual_output) * wanted.choices
    usual = cost(Portions(input=tokens, output=answers), price, wanted.tier)
    return Bounds(
        upstream=upstream,
        model=wanted.model,
        source=price.source,
        most=-(-most // PICO),
        most_input=wanted.size,
        most_output=output,
        usual=usual,
        usual_input=tokens,
        usual_output=answers,
        learned=usual_output is not None,
        beside=wanted.beside,
    )


def output_of(rows: tuple[Spent, ...]) -> int | None:
    """Tokens of one answer in the mean, rounded up, as the record has them; None where it has none."""
    counted = sum(row.requests - row.refused - row.open for row in rows)
    made = sum(row.tokens.get("output", 0) + row.tokens.get("audio_output", 0) for row in rows)
    return -(-made // counted) if counted > 0 and made else None

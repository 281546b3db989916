"""`sluicegate cost estimate`: asks for prices and for what answers usually are, and tells what comes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from extproc.payload import PayloadError, read_object
from extproc.price import TIERS, Portions
from extproc.printing import complain, say, show_json
from extproc.spending import Question, SpendingError
from policies.cost.reporting.asking import Host, answers
from policies.cost.reporting.estimates import (
    USUAL_OUTPUT,
    Bounds,
    EstimateError,
    asked,
    bounds,
    output_of,
    plain,
    price_of,
    serving,
)
from policies.cost.reporting.money import dollars, exact

_LOOKED_AT: Final = timedelta(days=30)
_MOST_BYTES: Final = 64 << 20


class Wanted(msgspec.Struct, frozen=True):
    """What was typed: whose price, of what, and when. `now`: until when the record is asked; `state`: the directory of
    `sluicegate up`, which may keep it."""

    configuration: Path
    state: Path
    model: str
    tenant: str
    upstream: str
    tier: str
    at: datetime
    now: datetime


def of_tokens(host: Host, wanted: Wanted, counts: tuple[int | None, int | None, int], *, as_json: bool) -> None:
    """Tell what so many tokens cost. `counts`: input, output, and of the input those from the cache.

    Raises:
        EstimateError: it cannot be said.
    """
    _known_tier(wanted.tier)
    taken, made, cached = counts
    if not wanted.model:
        raise EstimateError("expected MODEL, or --request")
    if taken is None or made is None:
        raise EstimateError("expected --input-tokens and --output-tokens, or --request")
    if cached > taken:
        raise EstimateError(f"--cached {cached}: expected a part of --input-tokens, which is {taken}")
    catalogue = host.catalogue(wanted.configuration)
    upstream, _ = serving(catalogue, wanted.model, wanted.upstream)
    price = price_of(catalogue, upstream.name, wanted.model, wanted.tenant, wanted.at.timestamp())
    tokens = Portions(input=taken - cached, cached_input=cached, output=made)
    found = plain(upstream.name, wanted.model, price, tokens, wanted.tier)
    if as_json:
        told = {"upstream": found.upstream, "model": found.model, "cost": exact(found.dollars), "price": found.source}
        show_json({**told, "input": taken - cached, "cached_input": cached, "output": made})
        return
    part = f" ({cached:,} of them cached)" if cached else ""
    say(f"{found.model} at {found.upstream}, price: {found.source or 'configured'}")
    say(f"{taken:,} tokens of input{part} and {made:,} of output: {dollars(found.dollars)}")


def of_body(host: Host, wanted: Wanted, file: Path, *, as_json: bool) -> None:
    """Tell what a body costs at most, and usually.

    Raises:
        EstimateError: it cannot be said.
        OSError: the file cannot be read.
    """
    _known_tier(wanted.tier)
    if file.stat().st_size > _MOST_BYTES:
        raise EstimateError(f"{file}: larger than {_MOST_BYTES >> 20} MiB: no upstream takes it")
    try:
        body = asked(read_object(file.read_bytes()))
    except PayloadError as error:
        raise EstimateError(f"{file}: {error.message}") from None
    body = msgspec.structs.replace(body, model=wanted.model or body.model, tier=wanted.tier or body.tier)
    if not body.model:
        raise EstimateError(f"{file}: it names no model: say MODEL")
    catalogue = host.catalogue(wanted.configuration)
    upstream, entry = serving(catalogue, body.model, wanted.upstream)
    price = price_of(catalogue, upstream.name, body.model, wanted.tenant, wanted.at.timestamp())
    found = bounds(upstream.name, body, entry, price, _usual(host, wanted, body.model))
    if as_json:
        told = msgspec.structs.asdict(found)
        show_json({**told, "most": exact(found.most), "usual": exact(found.usual)})
    else:
        _show(found)


def _known_tier(tier: str) -> None:
    """What is typed wrong would be told at the ordinary price."""
    if tier not in ("", *TIERS):
        raise EstimateError(f"--tier {tier}: expected one of {', '.join(TIERS)}")


def _usual(host: Host, wanted: Wanted, model: str) -> int | None:
    """Tokens of one answer, in the mean of the last days; None where nobody keeps a record that can be read."""
    question = Question((), wanted.now - _LOOKED_AT, wanted.now, {"model": (model,)})
    try:
        return output_of(answers(host, wanted.configuration, question, state=wanted.state)[0])
    except SpendingError:
        return None


def _show(found: Bounds) -> None:
    say(f"{found.model} at {found.upstream}, price: {found.source or 'configured'}")
    counted = f"{found.most_input:,} tokens of input and {found.most_output:,} of output"
    say(f"at most  {dollars(found.most)}  {counted}, at the dearest rates")
    why = "as its answers were these 30 days" if found.learned else f"the record knows no answers: {USUAL_OUTPUT:,} each"
    say(f"usually  {dollars(found.usual)}  {found.usual_input:,} and {found.usual_output:,} ({why})")
    for one in found.beside:
        complain(f"not in it: {one}", prefix="warning: ")

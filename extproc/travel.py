"""How facts travel from the decision to the settlement: through Envoy, as dynamic metadata.

No state stays in the process between the two, so any worker settles any exchange. The facts are one JSON text in the
namespace `sluicegate` (a protobuf `Struct` of many fields would cost more to build than the decision); beside it stand
the few scalars that Envoy itself or `usage.lua` reads.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from extproc.call import METERS, Call, Operation, OutputCeiling
from extproc.catalogue import Target
from extproc.completion import Decision, Verdict
from extproc.edits import hides_usage
from extproc.envoy_messages import entries
from extproc.exchange import Exchange
from extproc.identity import Identity

NAMESPACE: Final = "sluicegate"
USAGE_NAMESPACE: Final = "sluicegate.usage"
AI_GATEWAY_NAMESPACE: Final = "io.envoy.ai_gateway"

_log = logging.getLogger(__name__)
_HOST_TRAVELLERS: Final[tuple[type[Any], ...]] = (Identity, Call, Target, OutputCeiling)


class Luggage(NamedTuple):
    """What the metadata of one exchange told."""

    exchange_id: str
    path: str
    decisions: tuple[Decision, ...]
    facts: dict[type[Any], Any]
    marks: tuple[str, ...] = ()


class _Wire(msgspec.Struct):
    id: str
    path: str = ""
    decisions: tuple[Decision, ...] = ()
    facts: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict)
    marks: tuple[str, ...] = ()


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Wire)


def shared_names(kinds: Iterable[type[Any]]) -> list[str]:
    """Names that two of these kinds of fact have in common, or one of them with a kind of the host's own."""
    counts = Counter(kind.__name__ for kind in dict.fromkeys((*_HOST_TRAVELLERS, *kinds)))
    return [name for name, count in counts.items() if count > 1]


class Travel:
    """Packs and unpacks the facts that travel: the host's own, and those that policies say they provide."""

    __slots__ = ("_decoders", "_names", "_whole")

    def __init__(self, kinds: Iterable[type[Any]] = ()) -> None:
        """`kinds`: fact types of policies. A type that msgspec cannot decode does not travel.

        Raises:
            ValueError: two types have the same name.
        """
        kinds = tuple(kinds)
        if shared := shared_names(kinds):
            raise ValueError(f"two kinds of fact are called {shared[0]}")
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        self._names: dict[type[Any], str] = {}
        for kind in dict.fromkeys((*_HOST_TRAVELLERS, *kinds)):
            name = kind.__name__
            try:
                self._decoders[name] = msgspec.json.Decoder(kind)
            except TypeError:
                _log.info("facts of type %s do not travel: they cannot be read back", name)
                continue
            self._names[kind] = name
        self._whole = _reader_of_all(self._names)

    def pack(self, exchange: Exchange, decisions: Iterable[Decision]) -> str:
        """The facts, marks and decisions of an exchange, as JSON. A fact that cannot be written down stays behind."""
        facts: dict[str, Any] = {}
        names = self._names
        for fact in exchange.facts():
            kind = type(fact)
            if kind in names:
                facts[names[kind]] = fact
        identity = exchange.get(Identity)
        if identity is not None:
            facts[names[Identity]] = identity.travelling()
        # The access log's own path is the one that went up, and its record of the former one a header of the client's.
        path = exchange.request.loggable_path.encode("utf-8", "backslashreplace").decode()
        luggage = {"id": exchange.id, "path": path, "decisions": tuple(decisions), "facts": facts}
        if exchange.marks:
            luggage["marks"] = exchange.marks
        try:
            return _encoder.encode(luggage).decode()
        except (TypeError, ValueError, msgspec.MsgspecError):
            luggage["facts"] = {name: fact for name, fact in facts.items() if _fits(name, fact)}
            return _encoder.encode(luggage).decode()

    def unpack(self, text: str) -> Luggage | None:
        """The luggage in `text`, or None if it is none. Facts of unknown types are left out.

        So is one that cannot be read, and it is logged: another version of the server may have written it, and without
        the id and the other facts nothing of the exchange could be settled.
        """
        try:
            whole = self._whole.decode(text)
        except Exception:
            return self._unpack_what_can_be_read(text)
        facts = {type(fact): fact for fact in astuple(whole.facts) if fact is not UNSET}
        return Luggage(whole.id, whole.path, whole.decisions, facts, whole.marks)

    def _unpack_what_can_be_read(self, text: str) -> Luggage | None:
        try:
            wire = _decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return None
        facts: dict[type[Any], Any] = {}
        for name, raw in wire.facts.items():
            decoder = self._decoders.get(name)
            if decoder is None:
                continue
            try:
                fact = decoder.decode(raw)
            except Exception as error:
                # Also what the fact's own checks raise: they are a third party's.
                _log.error("a fact of type %s cannot be read: %s", name, type(error).__name__)
                continue
            facts[type(fact)] = fact
        return Luggage(wire.id, wire.path, wire.decisions, facts, wire.marks)


def _reader_of_all(names: Mapping[type[Any], str]) -> msgspec.json.Decoder[Any]:
    """Reads luggage and all its facts at once: 1 us less than one after the other. Fails where one of them fails."""
    members = [(name, kind | msgspec.UnsetType, UNSET) for kind, name in names.items()]
    facts = msgspec.defstruct("Facts", members)
    whole: list[Any] = [("id", str), ("facts", facts), ("path", str, ""), ("decisions", tuple[Decision, ...], ())]
    whole.append(("marks", tuple[str, ...], ()))
    return msgspec.json.Decoder(msgspec.defstruct("Whole", whole))


def _fits(name: str, fact: object) -> bool:
    try:
        _encoder.encode(fact)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        _log.error("a fact of type %s stays behind: %s", name, type(error).__name__)
        return False
    return True


def scalars(exchange: Exchange, verdict: Verdict) -> bytes:
    """What Envoy (guard, header formatting, other access logs) and `usage.lua` read from the namespace: entries of a
    `Struct`."""
    identity, call, target = exchange.get(Identity), exchange.get(Call), exchange.get(Target)
    return _scalars(
        verdict,
        (identity.tenant, identity.user) if identity else None,
        (call.operation, call.model, call.stream, hides_usage(call)) if call else None,
        target.upstream if target else None,
    )


# A caller asks for the same things again and again: saves 2 us.
@lru_cache(256)
def _scalars(
    verdict: Verdict,
    caller: tuple[str, str] | None,
    asked: tuple[Operation, str | None, bool, bool] | None,
    upstream: str | None,
) -> bytes:
    values: dict[str, str | bool] = {"verdict": verdict.value}
    if caller is not None:
        values["tenant"], values["user"] = caller
    if asked is not None:
        operation, model, stream, hides = asked
        values["operation"] = operation.value
        if model is not None:
            values["model"] = model
        meter = METERS.get(operation)
        if meter is not None and verdict is Verdict.ALLOW:
            values["meter"] = meter
            values["stream"] = stream
            values["hide_usage"] = hides
    if upstream is not None:
        values["upstream"] = upstream
    return entries(values)

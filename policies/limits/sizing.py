"""How large a call can be: its input as estimated, its output as bounded, its price. Pure but for the vocabularies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.call import METERS, OUTPUT_FIELDS, Call, OutputCeiling, output_field
from extproc.catalogue import Catalogue, Model, Target
from extproc.price import Price
from policies.limits.demands import Size
from policies.limits.tokens.estimate import Estimate, Estimator
from policies.limits.tokens.learned import Learned
from policies.limits.tokens.models import Vocabulary, vocabulary_of

_REMEMBERED: Final = 1_024
_NO_MEMBERS: Final[Mapping[str, Any]] = {}
_SEARCH: Final = "web_search"
_USES: Final = 10
"""Searches of a call that does not bound them."""
_MOST_USES: Final = 1_000


class Known(msgspec.Struct, frozen=True):
    """What is configured of a model, its own name, and how its tokens are counted."""

    model: Model | None
    name: str
    vocabulary: Vocabulary


class Sizer:
    """Sizes of calls. Shared by all exchanges."""

    __slots__ = ("_catalogue", "_estimator", "_hidden_input", "_known", "_max_output")

    def __init__(self, catalogue: Catalogue, estimator: Estimator, *, max_output: int, hidden_input: int) -> None:
        """`max_output`: tokens, of models that state none; `hidden_input`: tokens of input stored at the provider."""
        self._catalogue = catalogue
        self._estimator = estimator
        self._max_output = max_output
        self._hidden_input = hidden_input
        self._known: dict[tuple[str, str], Known] = {}

    def known(self, target: Target | None, name: str) -> Known:
        """What is known of the model of this name at this upstream."""
        at = (target.upstream if target is not None else "", name)
        known = self._known.get(at)
        if known is None:
            upstream = self._catalogue.upstream(target.upstream) if target is not None else None
            model = upstream.serves(name) if upstream is not None else None
            configured = model.tokenizer if model is not None else None
            real = (target.model if target is not None else None) or name
            vocabulary = Vocabulary(configured) if configured else vocabulary_of(real)
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            known = self._known[at] = Known(model, real, vocabulary)
        return known

    def quick(self, call: Call, members: Mapping[str, Any], known: Known) -> Estimate:
        """The input, without holding the event loop for long: long texts are bounded."""
        return self._estimator.quick(call.operation, members, known.vocabulary, known.name)

    def exact(self, call: Call, members: Mapping[str, Any], known: Known) -> Estimate:
        """The input, counted to the end: for a thread."""
        return self._estimator.exact(call.operation, members, known.vocabulary, known.name)

    def size(
        self,
        call: Call,
        estimate: Estimate,
        known: Known,
        ceiling: OutputCeiling | None,
        learned: Learned | None,
        *,
        price: Price | None = None,
        members: Mapping[str, Any] = _NO_MEMBERS,
    ) -> Size:
        """The size of a call whose input is estimated so. `members`: of its body."""
        tokens = estimate.tokens
        if estimate.counted and not estimate.exact and learned is not None:
            # Counted with a foreign vocabulary: what such calls have really used says how far that is off.
            tokens = math.ceil(tokens * learned.factor())
        if not estimate.visible:
            tokens += self._hidden_input
        tier = members.get("service_tier")
        return Size(
            tokens,
            self._output(call, known.model, ceiling),
            call.choices,
            price,
            tier if isinstance(tier, str) else "",
            searches(call, members) if call.hosted_tools else 0,
        )

    def _output(self, call: Call, model: Model | None, ceiling: OutputCeiling | None) -> int:
        if call.operation not in OUTPUT_FIELDS:
            return 0
        # A ceiling of 0 reads as none at some servers.
        output = call.max_output or (model.max_output if model is not None else None) or self._max_output
        return min(output, ceiling.tokens) if ceiling is not None else output


def searches(call: Call, members: Mapping[str, Any]) -> int:
    """The most searches that the provider may run itself for this call: what its tools say, or what is usual at most."""
    tools = members.get("tools")
    kinds = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    bounds = [tool.get("max_uses") for tool in kinds if str(tool.get("type")).startswith(_SEARCH)]
    if bounds:
        return sum(bound if type(bound) is int and 0 < bound <= _MOST_USES else _USES for bound in bounds)
    # Asked for in another way, or in a prompt that is stored at the provider.
    return _USES if any(kind.startswith((_SEARCH, "stored_prompt")) for kind in call.hosted_tools) else 0


def uses_tokens(call: Call) -> bool:
    """Whether the call's answer is metered."""
    return call.operation in METERS


def members_for(call: Call, members: Mapping[str, Any], granted: int, known: Known) -> tuple[tuple[str, object], ...]:
    """The members of the body by which the output is held to what is granted; none where the client's own do."""
    changes: dict[str, object] = {}
    set_by_client = [name for name in OUTPUT_FIELDS.get(call.operation, ()) if members.get(name) is not None]
    for name in set_by_client:
        if members[name] > granted or members[name] == 0:
            # A ceiling of 0 reads as none at some servers.
            changes[name] = granted
    field = output_field(call.operation, known.model)
    certain = known.model is not None and known.model.output_field is not None
    if field is not None and field not in set_by_client and (not set_by_client or certain):
        # Where it is configured which one the server takes, another alone would bind nobody.
        changes[field] = granted
    return tuple(changes.items())

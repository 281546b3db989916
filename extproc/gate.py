"""From a request to a verdict: understand, ask the chain, choose the target, prepare what goes up.

No Envoy and no protobuf here: the same gate serves the conversation with Envoy and `sluicegate explain`. Every step
answers at once unless a policy must wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from extproc import trace_context
from extproc.call import Call, Endpoint, Operation, OutputCeiling, Payload
from extproc.calls import read_call, without_payload
from extproc.catalogue import Agent, Catalogue, Model, Target, Upstream
from extproc.chain import Chain, Course, VerdictOutcome, presentable
from extproc.completion import Decision
from extproc.edits import STREAM_HEADER, UPSTREAM_HEADER, identity_fields, member_changes, removed_headers
from extproc.endpoints import match
from extproc.exchange import Dialect, Request
from extproc.identity import Identity
from extproc.outcome import Reject
from extproc.payload import PayloadError, read_object, with_members
from extproc.routing import choose
from extproc.settings import IdentityHeaders
from extproc.tasks import waits

A = TypeVar("A")
B = TypeVar("B")

HOST_PROVIDES: Final[frozenset[type[Any]]] = frozenset({Endpoint, Call, Payload, Target})
_JSON: Final = "application/json"
_REMEMBERED: Final = 256
_UTF8: Final = frozenset({"charset=utf-8", 'charset="utf-8"', "charset=utf8"})


class Passage(msgspec.Struct, frozen=True):
    """The exchange may go up, with these changes. `body` is None where the client's bytes go as they are."""

    target: Target
    set_headers: tuple[tuple[str, str], ...]
    remove_headers: tuple[str, ...]
    body: bytes | None = None


Judgement: TypeAlias = Passage | VerdictOutcome


def then(value: Any, step: Callable[[A], B | Awaitable[B]]) -> B | Awaitable[B]:
    """`step` of a value (an `A`) that is here or still to come (an `Awaitable[A]`). Nothing waits that need not.

    `value` is Any because no type checker infers `A` from such a union when `A` is itself one.
    """
    if waits(value):
        return _later(value, step)
    return step(value)


async def _later(value: Awaitable[A], step: Callable[[A], B | Awaitable[B]]) -> B:
    result = step(await value)
    return await result if waits(result) else result


class Gate:
    """Shared by all exchanges; holds the chain and what there is to call."""

    __slots__ = ("_catalogue", "_identity_headers", "_models", "_targets", "chain")

    def __init__(self, chain: Chain, catalogue: Catalogue, identity_headers: IdentityHeaders) -> None:
        self.chain = chain
        self._catalogue = catalogue
        self._identity_headers = identity_headers
        self._targets: OrderedDict[tuple[Operation, Dialect, str], Target] = OrderedDict()
        self._models: OrderedDict[tuple[str, str], Model | None] = OrderedDict()

    def lacking(self) -> str | None:
        """What it lacks to decide, beside what policies lack; None when it is ready."""
        return None

    def headers(self, course: Course) -> Judgement | Awaitable[Judgement | None] | None:
        """The request line and headers are known. None: the body is needed before there can be a verdict."""
        endpoint = match(course.exchange.request, self._catalogue)
        if isinstance(endpoint, Reject):
            return self._refused(endpoint, course)
        course.exchange.put(endpoint)

        def asked(verdict: VerdictOutcome | None) -> Judgement | Awaitable[Judgement | None] | None:
            if verdict is not None or endpoint.has_payload:
                return verdict
            return self._decide(without_payload(endpoint, course.exchange.request), course)

        return then(self.chain.request_headers(course), asked)

    def body(self, course: Course, data: bytes) -> Judgement | Awaitable[Judgement]:
        """The whole body is known."""
        exchange = course.exchange
        refusal = _media_type(exchange.request)
        if refusal is not None:
            return self._refused(refusal, course)
        try:
            members = read_object(data)
            call = read_call(exchange.need(Endpoint), members)
        except PayloadError as error:
            return self._refused(Reject(400, error.code, error.message, param=error.param), course)
        exchange.body = data
        course.deadline = None
        # What policies set when only the headers were known.
        if course.members:
            members.update(course.members)
        exchange.put(Payload(members))
        return self._decide(call, course)

    def _decide(self, call: Call, course: Course) -> Judgement | Awaitable[Judgement]:
        exchange = course.exchange
        exchange.put(call)
        target = self._target(exchange.need(Endpoint), call, exchange.request)
        if target is not None:
            exchange.put(target)

        def asked(verdict: VerdictOutcome | None) -> Judgement:
            if verdict is not None:
                return verdict
            if target is None:
                # Only after the chain: who may not use a model need not learn whether there is one.
                return self._refused(_no_such_model(call), course)
            return self._passage(call, target, course)

        return then(self.chain.request_body(course), asked)

    def _target(self, endpoint: Endpoint, call: Call, request: Request) -> Target | None:
        if not endpoint.has_payload or call.model is None or request.query:
            return self._choose(endpoint, call, request)
        # Nothing but these three decides: saves 1 us.
        asked = (call.operation, call.dialect, call.model)
        target = self._targets.get(asked)
        if target is None:
            target = self._choose(endpoint, call, request)
            if target is not None:
                if len(self._targets) >= _REMEMBERED:
                    self._targets.popitem(last=False)
                self._targets[asked] = target
        return target

    def _choose(self, endpoint: Endpoint, call: Call, request: Request) -> Target | None:
        return choose(endpoint, call, request, self._catalogue)

    def _tells_identity(self, upstream: Upstream | None, agent: Agent | None) -> bool:
        """Whether this upstream is told who calls."""
        return upstream.identity_headers if upstream else bool(agent and agent.identity_headers)

    def _model(self, upstream: Upstream, name: str) -> Model | None:
        """The entry that serves this name. Remembered: to find one by a glob takes 4 us."""
        asked = (upstream.name, name)
        try:
            return self._models[asked]
        except KeyError:
            if len(self._models) >= _REMEMBERED:
                self._models.popitem(last=False)
            model = self._models[asked] = upstream.serves(name)
            return model

    def _passage(self, call: Call, target: Target, course: Course) -> Judgement:
        exchange = course.exchange
        request = exchange.request
        to_provider = target.provider is not None
        agent = None if to_provider else self._catalogue.agent(target.upstream)
        upstream = self._catalogue.upstream(target.upstream) if to_provider else None
        # Policies first: where they name a field of the host's own, the host's value is set over theirs.
        sets = [*course.set_headers.items(), (UPSTREAM_HEADER, target.upstream)]
        sets.append((STREAM_HEADER, "1" if call.stream else "0"))
        if target.path != (f"{request.path}?{request.query}" if request.query else request.path):
            sets.append((":path", target.path))
        sets.append(
            (trace_context.HEADER, trace_context.onward(request.headers.get(trace_context.HEADER) or "", exchange.id))
        )
        identity = exchange.get(Identity)
        if identity is not None and self._tells_identity(upstream, agent):
            sets.extend(identity_fields(identity, self._identity_headers))
        removed = removed_headers(
            request.headers,
            self._identity_headers,
            to_provider=to_provider,
            forward_token=bool(agent and agent.forward_token),
        )
        return Passage(
            target,
            tuple(sets),
            tuple(sorted(course.remove_headers.union(removed))) if course.remove_headers else removed,
            self._edited_body(call, target, course),
        )

    def _edited_body(self, call: Call, target: Target, course: Course) -> bytes | None:
        exchange = course.exchange
        payload = exchange.get(Payload)
        if payload is None or exchange.body is None:
            return None
        changes = self._changes(call, target, payload, course)
        if changes:
            return with_members(exchange.body, changes, payload.members)
        return exchange.body if course.body_changed else None

    def _changes(self, call: Call, target: Target, payload: Payload, course: Course) -> dict[str, Any]:
        """The members of the body that must be other than the client's."""
        exchange = course.exchange
        ceiling = exchange.get(OutputCeiling)
        model = None
        if ceiling is not None and call.max_output is None and target.provider is not None and call.model is not None:
            upstream = self._catalogue.upstream(target.upstream)
            model = self._model(upstream, call.model) if upstream is not None else None
        own = member_changes(call, payload.members, target, ceiling, model)
        if not course.members:
            return own
        changes = {**own, **course.members}
        if "stream_options" in own:
            # Those of the policies, and the meter's wish.
            changes["stream_options"] = own["stream_options"]
        return changes

    @staticmethod
    def _refused(refusal: Reject, course: Course) -> Reject:
        course.decisions.append(Decision("gateway", "reject", refusal.code, presentable(refusal.why)))
        return refusal


def _media_type(request: Request) -> Reject | None:
    headers = request.headers
    return _refused_media(headers.all("content-encoding"), headers.all("content-type"))


@lru_cache(256)
def _refused_media(encodings: tuple[str, ...], kinds: tuple[str, ...]) -> Reject | None:
    """JSON, in plain UTF-8: nothing that would make the upstream read other bytes than were judged."""
    if set(encodings) - {"identity"}:
        return Reject(415, "unsupported_content_encoding", "Send the request body without a content encoding.")
    media, _, parameters = kinds[0].partition(";") if len(kinds) == 1 else ("", "", "")
    if media.strip().lower() != _JSON:
        return Reject(415, "unsupported_media_type", "Send the request body as `content-type: application/json`.")
    for parameter in parameters.split(";"):
        # `charset*` is RFC 8187's form, which some readers know and others do not.
        if "charset" in parameter.partition("=")[0].lower() and parameter.strip().lower() not in _UTF8:
            return Reject(415, "unsupported_charset", "Send the request body in UTF-8.")
    return None


def _no_such_model(call: Call) -> Reject:
    if call.model is None:
        return Reject(404, "unknown_endpoint", "This gateway has no such endpoint.")
    return Reject(
        404,
        "model_not_found",
        "No upstream of this gateway serves this model for this API. `GET /v1/models` lists what you may use.",
        param="model",
    )

"""What is asked: requests of every kind that a gateway sees, as bytes. Pure, but for the random numbers it is given."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from loadtests.chaos import dialects
from loadtests.chaos.dialects import Call
from tests.audited import POOR, THRIFTY

_USERS: Final = ("alice", "bob", "carol", "dave", "erin", "frank")


class Tokens(Protocol):
    """Who vouches for callers."""

    def token(self, user: str, *, tenant: str = ..., role: str = ...) -> str: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        leave: seconds after which the client hangs up; None: it waits for the whole answer.
        part: how many bytes of the request are sent; None: all of them.
    """

    kind: str
    data: bytes
    leave: float | None = None
    part: int | None = None


class Requests:
    """Draws one request after the other: each kind once, and then as often as it is one of a hundred."""

    def __init__(self, tokens: Tokens, chance: random.Random) -> None:
        self._tokens = tokens
        self._chance = chance
        self._kinds = list(_KINDS)
        self._weights = [weight for _, weight in _KINDS.values()]
        self._first = chance.sample(self._kinds, len(self._kinds))

    def draw(self) -> Asked:
        """The next."""
        kind = self._first.pop() if self._first else self._chance.choices(self._kinds, self._weights)[0]
        make: Callable[[Requests, str], Asked] = _KINDS[kind][0]
        return make(self, kind)

    def _bearer(self) -> str:
        user = self._chance.choice(_USERS)
        tenant = "fabrikam" if user in ("erin", "frank") else "contoso"
        return self._tokens.token(user, tenant=tenant)

    def _chat(self, bearer: str | None = None, *, wishes: Mapping[str, object] | None = None, **members: Any) -> bytes:
        prompt = "Say something. " * self._chance.randint(1, 6)
        model = self._chance.choice(("gpt-4o", "gpt-4o-mini"))
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, **members}
        fields = {f"x-sim-{name}": str(value) for name, value in (wishes or {}).items()}
        if self._chance.random() < 0.05:
            fields["x-session-id"] = f"session-{self._chance.randrange(1_000_000)}"
        return raw(self._bearer() if bearer is None else bearer, orjson.dumps(body), fields=fields)

    def _plain(self, kind: str) -> Asked:
        return Asked(kind, self._chat(wishes={"tokens": self._chance.randint(1, 40)}))

    def _streamed(self, kind: str) -> Asked:
        wishes = {"tokens": self._chance.randint(1, 12), "chunk-delay-ms": self._chance.choice((0, 0, 5))}
        return Asked(kind, self._chat(wishes=wishes, stream=True))

    def _call(self, call: Call, bearer: str | None = None) -> bytes:
        wished = {f"x-sim-{name}": str(value) for name, value in call.wishes.items()}
        body = orjson.dumps(call.body)
        return raw(self._bearer() if bearer is None else bearer, body, path=call.path, fields=wished)

    def _clamped(self, kind: str) -> Asked:
        # Each by a user of its own: no budget is used up.
        bearer = self._tokens.token(f"thrifty-{self._chance.randrange(1_000_000_000)}", role=THRIFTY)
        return Asked(kind, self._call(dialects.beyond_budget(self._chance), bearer))

    def _agent(self, kind: str) -> Asked:
        return Asked(kind, raw(self._bearer(), b'{"task":"anything"}', path="/agents/kb/tasks"))

    def _models(self, kind: str) -> Asked:
        return Asked(kind, raw(self._bearer(), b"", method="GET", path="/v1/models"))

    def _left_midway(self, kind: str) -> Asked:
        data = self._chat(wishes=dialects.SLOW, stream=True)
        return Asked(kind, data, leave=self._chance.uniform(0.05, 0.4))

    def _left_early(self, kind: str) -> Asked:
        data = self._chat(wishes={"tokens": 9, "latency-ms": 300})
        return Asked(kind, data, leave=self._chance.choice((0.0, 0.001, 0.004, 0.02, 0.2)))

    def _left_uploading(self, kind: str) -> Asked:
        data = self._chat()
        return Asked(kind, data, leave=0.01, part=len(data) - self._chance.randint(1, 60))

    def _stranger(self, kind: str) -> Asked:
        return Asked(kind, self._chat(self._chance.choice(("", "not.a.token", self._bearer()[:-3] + "AAA"))))

    def _forbidden(self, kind: str) -> Asked:
        return Asked(kind, self._chat(self._tokens.token("mallory", role="Nothing")))

    def _poor(self, kind: str) -> Asked:
        return Asked(kind, self._chat(self._tokens.token(POOR), wishes={"tokens": 20}))

    def _no_json(self, kind: str) -> Asked:
        return Asked(kind, raw(self._bearer(), b'{"model":"gpt-4o","messages":[{'))

    def _no_http(self, kind: str) -> Asked:
        return Asked(kind, b"POST /v1/chat/completions HTTP/1.1\r\nno field\r\n\r\n")

    def _unknown_model(self, kind: str) -> Asked:
        return Asked(kind, self._chat(model="gpt-99"))

    def _unknown_path(self, kind: str) -> Asked:
        return Asked(kind, raw(self._bearer(), b"{}", path="/v1/nothing/here"))

    def _failed(self, kind: str) -> Asked:
        return Asked(kind, self._chat(wishes={"status": self._chance.choice((429, 500, 503))}))

    def _cut(self, kind: str) -> Asked:
        return Asked(kind, self._chat(wishes={"tokens": 30, "cut-after": 9}, stream=self._chance.random() < 0.5))

    def _unmetered(self, kind: str) -> Asked:
        return Asked(kind, self._chat(wishes={"no-usage": 1}))

    def _hanging(self, kind: str) -> Asked:
        return Asked(kind, self._chat(wishes={"hang": 1}))


def raw(
    token: str,
    body: bytes,
    *,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """A request as it goes over the wire. Without a token it has no `authorization`."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
    bearer = f"authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{bearer}{more}\r\n"
    )
    return head.encode() + body


def _asking(make: Callable[[random.Random], Call]) -> Callable[[Requests, str], Asked]:
    """A call by anybody, who hangs up in the middle of what is slow."""

    def asked(requests: Requests, kind: str) -> Asked:
        call = make(requests._chance)
        leave = requests._chance.uniform(0.05, 0.4) if call.wishes is dialects.SLOW else None
        return Asked(kind, requests._call(call), leave)

    return asked


_KINDS: Final[Mapping[str, tuple[Callable[[Requests, str], Asked], float]]] = {
    "plain": (Requests._plain, 25),
    "streamed": (Requests._streamed, 8),
    **{kind: (_asking(make), weight) for kind, (make, weight) in dialects.CALLS.items()},
    "clamped": (Requests._clamped, 3),
    "agent": (Requests._agent, 3),
    "models": (Requests._models, 1),
    "left midway": (Requests._left_midway, 2),
    "left early": (Requests._left_early, 4),
    "left uploading": (Requests._left_uploading, 1),
    "stranger": (Requests._stranger, 5),
    "forbidden": (Requests._forbidden, 3),
    "over budget": (Requests._poor, 5),
    "no JSON": (Requests._no_json, 3),
    "no HTTP": (Requests._no_http, 1),
    "unknown model": (Requests._unknown_model, 2),
    "unknown path": (Requests._unknown_path, 1),
    "upstream fails": (Requests._failed, 3),
    "upstream cuts": (Requests._cut, 1.5),
    "without usage": (Requests._unmetered, 1.4),
    "upstream hangs": (Requests._hanging, 0.1),
}
"""How each is made, and how many of a hundred there are."""
KINDS: Final = tuple(_KINDS)
"""The kinds, by their names."""

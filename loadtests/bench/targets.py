"""What is measured: the configurations of plain Envoy and of the gateway. Pure, but for the files that are written."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extproc.configured import read_tree
from extproc.embedded.scheme import resolve_embedded
from extproc.embedded.stack import DEMO
from extproc.envoy_profile import bootstrap
from extproc.settings import parse
from loadtests.bench.minds import POLICIES
from loadtests.bench.results import BASE

CEILING: Final = "ceiling"
"""The listener that answers by itself: what the generator reaches when nothing is in its way."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A target behind Envoy.

    Attributes:
        transport: the policy server's; None: there is none, Envoy is plain.
        mind: what the policy server thinks. `echo`: nothing, and without our host; `empty`: nothing, in our host;
            `default`: identity and access, as the demo configuration has them; `limits`: those, and limits on five
            subjects; `audit`, `strict`: those of the default, and the journal in batches or synced for each request;
            `langfuse`: those of `audit`, and the journal is followed for Langfuse and for a collector of traces;
            `cost`: those of the default, and what they cost is counted;
            `all`, `all strict`: identity, access, limits, cost and a journal that is followed, in batches or synced;
            `reader`: one policy that reads the whole answer.
    """

    name: str
    transport: str | None = None
    mind: str = "default"


KINDS: Final = (
    Kind(BASE),
    *(
        Kind(f"{transport} {mind}", transport, mind)
        for mind in ("echo", "empty", "default")
        for transport in ("grpcio", "wire")
    ),
    Kind("wire limits", "wire", "limits"),
    Kind("wire audit", "wire", "audit"),
    Kind("wire langfuse", "wire", "langfuse"),
    Kind("wire strict", "wire", "strict"),
    Kind("wire cost", "wire", "cost"),
)
LIMITED: Final = frozenset({"limits", "all", "all strict"})
"""Minds with limits."""
COUNTED: Final = frozenset({"cost", "all", "all strict"})
"""Minds that count costs."""
JOURNALS: Final = {"audit": "batch", "langfuse": "batch", "strict": "strict", "all": "batch", "all strict": "strict"}
"""Minds that keep a journal, and how."""
FOLLOWED: Final = frozenset({"langfuse", "all", "all strict"})
"""Those whose journal is followed."""
DEFAULT: Final = frozenset({"entra", "access"})
"""Policies of the demo that every mind but the poorest has."""
_MUCH: Final = 1_000_000_000
LIMITS: Final[Sequence[Mapping[str, Any]]] = (
    {"subject": "tenant", "tokens_per_minute": _MUCH, "tokens_per_month": _MUCH},
    {"subject": "department", "tokens_per_month": _MUCH},
    {"subject": "user", "requests_per_minute": _MUCH, "tokens_per_minute": _MUCH},
    {"subject": "app", "requests_per_minute": _MUCH},
    {"subject": ["user", "model"], "tokens_per_day": _MUCH},
)
"""Five subjects, seven limits: as a platform would set them, and none of them in the way."""


def gateway_tree(
    *,
    port: int,
    socket: Path,
    upstream: str,
    identity: str,
    kind: Kind,
    valkey: str = "",
    sinks: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The demo configuration with these addresses. `sinks`: of the journal."""
    addresses = {"simulator": upstream, "identity": identity, "valkey": valkey}
    demo = read_tree(DEMO)
    demo["policies"] = [entry for entry in demo["policies"] if entry["policy"] in DEFAULT]
    tree: dict[str, Any] = resolve_embedded(demo, addresses)
    if kind.mind in LIMITED:
        tree["policies"].append({"policy": "limits", "settings": _limits(valkey)})
    if kind.mind in COUNTED:
        tree["policies"].append({"policy": "cost"})
    if kind.mind in JOURNALS:
        journal = {"folder": str(journal_folder(socket.parent, kind)), "durability": JOURNALS[kind.mind]}
        audit = {"journal": journal} | ({"sinks": [dict(sink) for sink in sinks]} if sinks else {})
        tree["policies"].append({"policy": "audit", "settings": audit})
    server = {"listen": f"unix:{socket}", "grace": 2.0} | ({"transport": kind.transport} if kind.transport else {})
    tree |= {"listen": {"address": "127.0.0.1", "port": port}, "server": server}
    policy = POLICIES.get(kind.mind)
    return tree if policy is None else {**tree, "policies": [{"policy": policy.name}]}


def journal_folder(state: Path, kind: Kind) -> Path:
    """Where the journal of such a target is."""
    return state / f"journal-{kind.mind.replace(' ', '-')}"


def _limits(valkey: str) -> dict[str, Any]:
    # A machine that is busy for a moment is no outage.
    return {"redis": {"url": valkey, "timeout": 0.5}, "limits": [dict(limit) for limit in LIMITS]}


def gateway(tree: Mapping[str, Any], admin: Path) -> dict[str, Any]:
    """Envoy's bootstrap for a gateway."""
    return bootstrap(parse(tree), admin=f"unix:{admin}")


def plain(tree: Mapping[str, Any], admin: Path, *, ceiling_port: int, ceiling_body: str) -> dict[str, Any]:
    """The bootstrap of the same Envoy without the gateway: same listener, limits, first route and upstream.

    Beside it stands the ceiling, a listener that answers by itself.
    """
    config = gateway(tree, admin)
    resources = config["static_resources"]
    listener = resources["listeners"][0]
    manager = _manager(listener)
    del manager["access_log"]
    manager["http_filters"] = [entry for entry in manager["http_filters"] if entry["name"].endswith(".router")]
    host = manager["route_config"]["virtual_hosts"][0]
    # The gateway's routes are chosen by a header that its verdict sets.
    host["routes"] = [{**host["routes"][0], "match": {"prefix": "/"}}]
    used = host["routes"][0]["route"]["cluster"]
    resources["clusters"] = [cluster for cluster in resources["clusters"] if cluster["name"] == used]
    ceiling = copy.deepcopy(listener)
    ceiling["name"] = CEILING
    ceiling["address"]["socket_address"]["port_value"] = ceiling_port
    _manager(ceiling)["stat_prefix"] = CEILING
    # Its answer would be rewritten as a failure of Envoy's own.
    del _manager(ceiling)["local_reply_config"]
    answer = {"status": 200, "body": {"inline_string": ceiling_body}}
    _manager(ceiling)["route_config"]["virtual_hosts"][0]["routes"] = [
        {"match": {"prefix": "/"}, "direct_response": answer}
    ]
    resources["listeners"].append(ceiling)
    return config


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager

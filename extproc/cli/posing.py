"""A stand-in for the identity policy: `sluicegate explain` asks as somebody whom no token proves."""

from __future__ import annotations

from typing import ClassVar

from extproc.chain import Chain, Link
from extproc.cli.known import tenants
from extproc.exchange import Exchange
from extproc.identity import CallerKind, Identity
from extproc.outcome import CONTINUE, RequestOutcome
from extproc.policy import Policy
from extproc.settings import Settings

_NOBODY = "00000000-0000-0000-0000-000000000000"


class Posing(Policy):
    """Says that the caller is whoever was asked for."""

    name: ClassVar[str] = "stand-in"
    provides: ClassVar[tuple[type[Identity], ...]] = (Identity,)

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def on_request_headers(self, exchange: Exchange) -> RequestOutcome:
        exchange.note("nobody proved this: %s", described(self._identity))
        exchange.put(self._identity)
        return CONTINUE


def described(identity: Identity) -> str:
    """Who it is, in a line."""
    parts = [f"{identity.kind} of tenant {identity.tenant_name or identity.tenant}"]
    for word, names in (("roles", identity.roles), ("groups", identity.groups), ("scopes", identity.scopes)):
        parts.append(f"{word} {', '.join(sorted(names)) or 'none'}")
    return "; ".join(parts)


def identity_of(
    settings: Settings, *, tenant: str | None, roles: list[str], groups: list[str], scopes: list[str], app: bool
) -> Identity:
    """The caller that is asked for. Without a tenant it is one of the first tenant that the configuration names.

    Raises:
        ValueError: the configuration names tenants, and not this one.
    """
    known = tenants(settings)
    wanted = next((pair for pair in known if tenant is None or tenant.lower() in (pair[0].lower(), pair[1])), None)
    if wanted is None and known:
        raise ValueError(f"the configuration names no tenant {tenant!r}, but {', '.join(name for name, _ in known)}")
    name, identifier = wanted or (tenant or "", tenant or _NOBODY)
    return Identity(
        tenant=identifier,
        user=_NOBODY,
        app=_NOBODY,
        kind=CallerKind.APP if app else CallerKind.USER,
        roles=frozenset(roles),
        scopes=frozenset(scopes),
        groups=frozenset(group.lower() if len(group) == len(_NOBODY) else group for group in groups),
        tenant_name=name if name != identifier else "",
    )


def posed(chain: Chain, identity: Identity, *, timeout: float) -> tuple[Chain, list[str]]:
    """The chain with a stand-in where the identity policies were, and their names."""
    replaced = [link.policy.name for link in chain.links if Identity in link.policy.provides]
    rest = [link for link in chain.links if Identity not in link.policy.provides]
    place = next((index for index, link in enumerate(chain.links) if Identity in link.policy.provides), 0)
    return Chain([*rest[:place], Link(Posing(identity)), *rest[place:]], timeout=timeout), replaced

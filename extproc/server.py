"""The policy server: a chain, a gate, a transport, and the settlement of what the access log brings."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from extproc.ai_gateway.gates import gate_of
from extproc.chain import Chain, lacking
from extproc.conversation import Conversation
from extproc.measures import tell_certificate
from extproc.policy_counters import PolicyCounters
from extproc.settings import Settings
from extproc.settlement import Settlement
from extproc.tls_files import files_of
from extproc.transport import Services, Transport
from extproc.travel import Travel
from extproc.wire_transport import WireTransport
from extproc.workers.status import Dependency

_GLANCE: Final = 0.02


_DRAWN: Final = 256
_ids: Final[list[str]] = []


class PolicyServer:
    """Everything one worker process does. `start`, then `stop`."""

    def __init__(self, settings: Settings, chain: Chain) -> None:
        self._settings = settings
        self._chain = chain
        self._gate = gate_of(settings, chain)
        self._travel = Travel(kind for link in chain.links for kind in link.policy.provides)
        self._settlement = Settlement(chain, self._travel)
        self.metrics: Final = chain.metrics
        self._counted = PolicyCounters(link.policy for link in chain.links)
        services = Services(self._converse, self._settlement.take, self._healthy)
        self._transport = _transport(settings, services)
        if isinstance(self._transport, WireTransport):
            tell_certificate(self.metrics, self._transport.certificate_ends)

    async def start(self, inherited: socket.socket | None = None, *, patience: float = 0.0) -> str:
        """Start policies, then listen. The address bound.

        `inherited`: a socket that listens already. `patience`: seconds in which the policies may become ready before it
        listens, so that whoever waits in such a socket is not refused by one that has only just begun.

        Raises:
            PolicyStartError: a policy cannot start.
            OSError: the address cannot be bound.
        """
        await self._chain.start()
        self._settlement.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._chain.readiness():  # noqa: ASYNC110  (policies do not say when, they can only be asked)
                    await asyncio.sleep(_GLANCE)
        return await self._transport.start(self._settings.server.listen, inherited)

    async def stop(self) -> None:
        """Let exchanges in flight finish, settle what has been logged, then stop the policies."""
        await self._transport.stop(self._settings.server.grace)
        await self._settlement.stop(self._settings.server.grace)
        await self._chain.stop()

    def counters(self) -> Mapping[str, int]:
        """The transport's (see `Transport.counters`), settlement's, and the policies'."""
        return {**self._counted.read(), **self._transport.counters(), **self._settlement.counters()}

    def dependencies(self) -> Iterable[Dependency]:
        """What each policy lacks, and what its failure means."""
        for link in self._chain.links:
            yield Dependency(link.policy.name, link.failure.value, link.shadow, lacking(link.policy))
        if (missing := self._gate.lacking()) is not None:
            yield Dependency("gateway", "closed", missing=missing)

    def _converse(self) -> Conversation:
        return Conversation(self._gate, self._travel, mint)

    def _healthy(self) -> bool:
        return not self._chain.readiness() and self._gate.lacking() is None


def _transport(settings: Settings, services: Services) -> Transport:
    if settings.server.transport == "wire":
        tls = settings.server.tls
        return WireTransport(services, tls=files_of(tls) if tls else None)
    # Seldom used, and slow to import.
    from extproc.grpc_transport import GrpcTransport

    return GrpcTransport(services)


def mint() -> str:
    """An exchange's id: 128 random bits, so that it is unique without asking anyone."""
    if not _ids:
        # The kernel is asked for many at once: once for each exchange would be 3 us.
        drawn = secrets.token_hex(16 * _DRAWN)
        _ids.extend(drawn[start : start + 32] for start in range(0, len(drawn), 32))
    return _ids.pop()

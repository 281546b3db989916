"""How much a peer may ask of us. Generous for Envoy at work, tight for anybody who wants to hurt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MESSAGE_COST: Final = 64
"""What a message that waits costs beside its bytes: without it, millions of tiny ones would count for nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection, where nothing else is said. Sizes in bytes, times in seconds, `…_per_interval` in frames.

    Attributes:
        connections: of a server, at once.
        streams: open at once. Envoy opens another connection when it needs more.
        stream_window, connection_window: what the peer may send before we say more (RFC 9113, section 5.2).
        message: the largest gRPC message.
        buffered: all messages of all connections that are not whole yet, wait for the answer to an earlier one, or are
            answers that the peer does not take.
        block, continuations: of one header block: its compressed size, and the CONTINUATION frames after its first frame.
        header_list: the size of a header list as RFC 9113, section 6.5.2 counts it.
        remembered: header blocks whose meaning is kept.
        interval: the time to which the following are counted.
        resets: of streams that we had not answered: what "rapid reset" is made of (CVE-2023-44487). Envoy resets one for
            every client that leaves while its request is being judged.
        pings, settings, empty, ignored: PING, SETTINGS, empty DATA, and PRIORITY or unknown frames.
        faults: streams that broke a rule.
        handshake: until the peer's SETTINGS, and within a header block.
        idle: without a byte; then we ask whether the peer is there, or hang up if nothing is in flight.
        patience: for its answer, for its end of streams that we have ended, and for it to take some of an answer.
    """

    connections: int = 256
    streams: int = 2_000
    stream_window: int = 4 * 1024 * 1024
    connection_window: int = 64 * 1024 * 1024
    message: int = 64 * 1024 * 1024
    buffered: int = 512 * 1024 * 1024
    block: int = 16 * 1024
    continuations: int = 8
    header_list: int = 32 * 1024
    remembered: int = 256
    interval: float = 10.0
    resets_per_interval: int = 20_000
    pings_per_interval: int = 200
    settings_per_interval: int = 100
    empty_per_interval: int = 200
    ignored_per_interval: int = 1_000
    faults_per_interval: int = 1_000
    handshake: float = 10.0
    idle: float = 300.0
    patience: float = 20.0


class Memory:
    """Bytes of messages that are held."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = 0


class Allowances:
    """So many of each in every interval. A count begins anew with its interval: single events are not remembered."""

    def __init__(self, limits: Limits) -> None:
        self._interval = limits.interval
        self._limits = {
            "too_many_resets": limits.resets_per_interval,
            "too_many_pings": limits.pings_per_interval,
            "too_many_settings": limits.settings_per_interval,
            "too_many_empty_frames": limits.empty_per_interval,
            "too_many_ignored_frames": limits.ignored_per_interval,
            "too_many_faults": limits.faults_per_interval,
        }
        self._began = dict.fromkeys(self._limits, 0.0)
        self._spent = dict.fromkeys(self._limits, 0)

    def spend(self, name: str, now: float) -> bool:
        """Take one. False: there was none left."""
        if now - self._began[name] >= self._interval:
            self._began[name], self._spent[name] = now, 0
        self._spent[name] += 1
        return self._spent[name] <= self._limits[name]

"""Tokens that were verified before, so that the same token is not verified on every request."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from policies.entra.claims import Verified
from policies.entra.issuer import KeyPlace
from policies.entra.jwks import Key


@dataclass(frozen=True, slots=True)
class Remembered:
    """A verified caller, and the key that proved it: once that key is withdrawn, the proof is void."""

    verified: Verified
    place: KeyPlace
    key: Key


class VerifiedCache:
    """The last `size` verified tokens, by the SHA-256 of their bytes; none past its expiry.

    Keyed by the whole token, signature included: nothing short of the same bytes finds an entry.
    """

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[bytes, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes, now: float) -> Remembered | None:
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if now >= entry.verified.expires:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: Remembered) -> None:
        if self._size == 0:
            return
        self._entries[digest] = entry
        self._entries.move_to_end(digest)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget(self, digest: bytes) -> None:
        self._entries.pop(digest, None)

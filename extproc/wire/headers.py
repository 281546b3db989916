"""Header blocks: decoded, and remembered with what they mean."""

from __future__ import annotations

from typing import Final

from extproc.wire.blocks import BlockReader
from extproc.wire.frames import ErrorCode, PeerError
from extproc.wire.grpc import Opening, are_trailers, read_opening
from extproc.wire.limits import Limits

_REMEMBERED_BYTES: Final = 1024
"""Of a block that is worth remembering. Envoy's are a third of that."""


class HeaderReader:
    """The header blocks of one connection."""

    __slots__ = ("_blocks", "_limits", "_openings")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._blocks = BlockReader(limits.header_list)
        self._openings: dict[bytes, Opening] = {}

    def opening(self, block: bytes) -> Opening:
        """What a block means that opens a stream.

        Raises:
            PeerError: it is too large, or cannot be decoded.
        """
        known = self._openings.get(block)
        if known is not None:
            return known
        if len(block) > self._limits.block:
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, "header_block_too_large")
        opening = read_opening(self._blocks.read(block))
        if len(block) <= _REMEMBERED_BYTES and self._blocks.is_stateless(block):
            if len(self._openings) >= self._limits.remembered:
                self._openings.clear()
            self._openings[block] = opening
        return opening

    def are_trailers(self, block: bytes) -> bool:
        """Whether a block may end a stream. It is decoded in any case: it may have moved the table.

        Raises:
            PeerError: it cannot be decoded.
        """
        return are_trailers(self._blocks.read(block))

    def forbid_table(self) -> None:
        """The peer has acknowledged our SETTINGS."""
        self._blocks.forbid_table()

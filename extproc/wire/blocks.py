"""Header blocks: decoded by `hpack`, and remembered where the same bytes will always mean the same headers.

Until a peer has acknowledged our SETTINGS it may use HPACK's dynamic table: then the same bytes can mean other headers
next time, and every block moves the table. So only *stateless* blocks are remembered (static table and literals alone),
and every other block is decoded, in order.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import hpack

from extproc.wire.frames import ErrorCode, PeerError

Fields: TypeAlias = list[tuple[bytes, bytes]]
_STATIC_ENTRIES: Final = 61


class BlockReader:
    """The decoding half of HPACK for one connection. RFC 7541."""

    __slots__ = ("_decoder",)

    def __init__(self, header_list: int) -> None:
        """`header_list`: the largest header list, as RFC 9113, section 6.5.2 counts it."""
        self._decoder = hpack.Decoder(max_header_list_size=header_list)

    def forbid_table(self) -> None:
        """The peer has acknowledged that there is no dynamic table: from now on it is an error to use it."""
        self._decoder.max_allowed_table_size = 0

    def is_stateless(self, block: bytes) -> bool:
        """Whether a block that has just been read will always mean the same."""
        return is_stateless(block, no_table=self._decoder.header_table_size == 0)

    def read(self, block: bytes) -> Fields:
        """The fields of a block, in order.

        Raises:
            PeerError: it cannot be decoded; what the peer says later could not be understood either.
        """
        try:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except hpack.OversizedHeaderListError:
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, "header_list_too_large") from None
        except Exception:
            # hpack is known to raise others than its own for some malformed input.
            raise PeerError(ErrorCode.COMPRESSION_ERROR, "bad_header_block") from None
        return fields


def is_stateless(block: bytes, *, no_table: bool = False) -> bool:
    """Whether a well-formed block neither reads nor changes the dynamic table. RFC 7541, section 6.

    `no_table`: the table has no room for anything, so that a literal which is to be added to it is one like any other.
    """
    position, size = 0, len(block)
    try:
        while position < size:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 7)
                if not 0 < index <= _STATIC_ENTRIES:
                    return False
                continue
            if first & 0xC0 == 0x40 and no_table:
                index, position = _integer(block, position, 6)
            elif first & 0xE0:
                # A literal that is added to the table, or a change of its size.
                return False
            else:
                index, position = _integer(block, position, 4)
            if index > _STATIC_ENTRIES:
                return False
            if index == 0:
                position = _skip(block, position)
            position = _skip(block, position)
    except IndexError:
        return False
    return position == size


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    """The integer at `position`, and where it ends. RFC 7541, section 5.1.

    Raises:
        IndexError: the block ends within it.
    """
    most = (1 << bits) - 1
    value = block[position] & most
    position += 1
    if value < most:
        return value, position
    shift = 0
    while True:
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            return value, position


def _skip(block: bytes, position: int) -> int:
    """Where the string at `position` ends."""
    length, position = _integer(block, position, 7)
    return position + length

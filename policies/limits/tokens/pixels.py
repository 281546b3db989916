"""What an image measures, told from the header in its data URL. Pure.

Only a few bytes of it are decoded. They are the client's word, as they are for the provider's decoder: a picture whose
header lies does not open there.
"""

from __future__ import annotations

import binascii
from typing import Final

_PNG: Final = "iVBORw0KGgo"
_GIF: Final = "R0lGOD"
_WEBP: Final = "UklGR"
_JPEG: Final = "/9j/"
_SEGMENTS: Final = 64
"""Parts of a JPEG that are gone through for its size. Cameras write some ten before it."""
_FRAMES: Final = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
"""JPEG's "start of frame" (ITU-T T.81, table B.1): C0 to CF without C4, C8 and CC."""

Size = tuple[int, int]


def pixels(image: object) -> Size | None:
    """Width and height of the image in a data URL, or in bare base64; None if they are not known."""
    if not isinstance(image, str):
        return None
    start = image.find(",", 0, 200) + 1 if image.startswith("data:") else 0
    if image.startswith(_PNG, start):
        size = _png(_bytes(image, start, 0, 24))
    elif image.startswith(_JPEG, start):
        size = _jpeg(image, start)
    elif image.startswith(_WEBP, start):
        size = _webp(_bytes(image, start, 0, 30))
    elif image.startswith(_GIF, start):
        size = _gif(_bytes(image, start, 0, 10))
    else:
        return None
    return size if size is not None and size[0] > 0 and size[1] > 0 else None


def _bytes(image: str, start: int, at: int, count: int) -> bytes:
    """So many bytes from this one on, of base64 that begins at `start`; empty if they are not there."""
    first = start + at // 3 * 4
    last = start + -(-(at + count) // 3) * 4
    try:
        found = binascii.a2b_base64(image[first:last].encode("ascii"), strict_mode=True)
    except ValueError:
        return b""
    wanted = found[at % 3 : at % 3 + count]
    return wanted if len(wanted) == count else b""


def _png(header: bytes) -> Size | None:
    if header[:8] != b"\x89PNG\r\n\x1a\n" or header[12:16] != b"IHDR":
        return None
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def _gif(header: bytes) -> Size | None:
    if header[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    return int.from_bytes(header[6:8], "little"), int.from_bytes(header[8:10], "little")


def _webp(header: bytes) -> Size | None:
    """RFC 9649, sections 2.5 to 2.7."""
    if header[8:12] != b"WEBP":
        return None
    kind = header[12:16]
    if kind == b"VP8X":
        return int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1
    if kind == b"VP8L" and header[20] == 0x2F:
        bits = int.from_bytes(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and header[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(header[26:28], "little") & 0x3FFF, int.from_bytes(header[28:30], "little") & 0x3FFF
    return None


def _jpeg(image: str, start: int) -> Size | None:
    at = 2
    for _ in range(_SEGMENTS):
        segment = _bytes(image, start, at, 9)
        if not segment or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker in _FRAMES:
            return int.from_bytes(segment[7:9], "big"), int.from_bytes(segment[5:7], "big")
        if marker in (0xD9, 0xDA):
            return None
        # A marker may be preceded by any number of FF.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(segment[2:4], "big")
    return None

"""Mutations that know frames: bytes alone seldom stay a conversation."""

from __future__ import annotations

import random
from typing import Final

from extproc.wire import frames

_KINDS: Final = 12
_NUMBERS: Final = (0, 1, 1, 1, 2, 3, 3, 5, 7, 9, 101, 2**31 - 1)
_WORDS: Final = (0, 1, 255, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


def split(data: bytes) -> list[bytes]:
    """A byte stream as its preface, its frames, and what is left."""
    parts: list[bytes] = []
    position = 0
    if data.startswith(frames.PREFACE):
        position = len(frames.PREFACE)
        parts.append(frames.PREFACE)
    while len(data) - position >= frames.HEAD_BYTES:
        end = position + frames.HEAD_BYTES + int.from_bytes(data[position : position + 3], "big")
        parts.append(data[position:end])
        position = end
    if position < len(data):
        parts.append(data[position:])
    return parts


def mutate(data: bytes, most: int, chance: random.Random) -> bytes:
    """The same conversation, with a few frames changed. At most `most` bytes."""
    parts = split(data) or [b""]
    for _ in range(chance.randint(1, 4)):
        where = chance.randrange(len(parts))
        match chance.randrange(6):
            case 0:
                parts.insert(where, parts[chance.randrange(len(parts))])
            case 1 if len(parts) > 1:
                del parts[where]
            case 2:
                other = chance.randrange(len(parts))
                parts[where], parts[other] = parts[other], parts[where]
            case 3:
                parts.insert(where, _invented(chance))
            case 4:
                parts[where] = _reheaded(parts[where], chance)
            case _:
                parts[where] = _scratched(parts[where], chance)
    return b"".join(parts)[:most]


def _invented(chance: random.Random) -> bytes:
    payload = chance.choice(
        (
            chance.choice(_WORDS).to_bytes(4, "big"),
            chance.randbytes(8),
            chance.randint(0, 8).to_bytes(2, "big") + chance.choice(_WORDS).to_bytes(4, "big"),
            b"\0" + chance.randint(0, 300).to_bytes(4, "big") + chance.randbytes(chance.randint(0, 300)),
            chance.randbytes(chance.randint(0, 40)),
            b"",
        )
    )
    return frames.frame(chance.randrange(_KINDS), chance.randrange(256), chance.choice(_NUMBERS), payload)


def _reheaded(part: bytes, chance: random.Random) -> bytes:
    """With another type, other flags or another stream."""
    if len(part) < frames.HEAD_BYTES:
        return part
    kind, flags, number = part[3], part[4], int.from_bytes(part[5:9], "big")
    match chance.randrange(3):
        case 0:
            kind = chance.randrange(_KINDS)
        case 1:
            flags ^= 1 << chance.randrange(8)
        case _:
            number = chance.choice((number + 2, *_NUMBERS)) & 0xFFFFFFFF
    return part[:3] + bytes((kind, flags)) + number.to_bytes(4, "big") + part[9:]


def _scratched(part: bytes, chance: random.Random) -> bytes:
    if not part:
        return part
    changed = bytearray(part)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)

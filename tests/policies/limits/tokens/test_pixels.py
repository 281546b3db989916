"""An image's size is told from its header, or said to be unknown."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits.tokens.pixels import pixels

Picture = Callable[[int, int], bytes]
WEBP_LOSSY = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
WEBP_LOSSLESS = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
GIF = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0) + bytes(20)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def jpeg(width: int, height: int, *, before: bytes = b"", frame: int = 0xC0) -> bytes:
    start = b"\xff\xd8" + segment(0xE0, b"JFIF\0" + bytes(9)) + before
    return start + segment(frame, struct.pack(">BHHB", 8, height, width, 3) + bytes(9)) + b"\xff\xda"


def webp_extended(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + bytes(4) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + size + bytes(20)


def webp_lossless(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    return b"RIFF" + bytes(4) + b"WEBPVP8L" + bytes(4) + b"\x2f" + bits.to_bytes(4, "little") + bytes(20)


def webp_lossy(width: int, height: int) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(9)


@pytest.mark.parametrize("picture", [png, gif, jpeg, webp_extended, webp_lossless, webp_lossy])
@given(width=st.integers(1, 16_383), height=st.integers(1, 16_383), padding=st.integers(0, 2))
def test_the_size_is_read(picture: Picture, width: int, height: int, padding: int) -> None:
    text = encoded(picture(width, height) + bytes(padding))
    assert pixels(text) == (width, height)
    assert pixels(f"data:image/any;base64,{text}") == (width, height)


@pytest.mark.parametrize("picture", [WEBP_LOSSY, WEBP_LOSSLESS, GIF])
def test_pictures_of_others_are_read(picture: str) -> None:
    assert pixels(picture) == (1, 1)


@pytest.mark.parametrize("marker", range(0xC0, 0xD0))
def test_what_is_no_frame_of_a_jpeg_is_passed_over(marker: int) -> None:
    picture = jpeg(640, 480, before=segment(marker, struct.pack(">BHHB", 8, 2, 1, 3)))
    no_frame = marker in (0xC4, 0xC8, 0xCC)
    assert pixels(encoded(picture)) == ((640, 480) if no_frame else (1, 2))


def test_a_jpegs_size_is_found_behind_a_cameras_notes() -> None:
    notes = segment(0xE1, b"Exif" + jpeg(1, 1) * 1_000) + b"\xff" + segment(0xE2, bytes(65_000)) * 10
    assert pixels(encoded(jpeg(4_032, 3_024, before=notes))) == (4_032, 3_024)


@pytest.mark.parametrize(
    "image",
    [
        *(None, 5, {}, "", "https://example.com/a.png", "data:image/png;base64,", "data:,", "data:" + "x" * 1_000),
        encoded(png(0, 5)),
        encoded(gif(5, 0)),
        encoded(png(5, 5)[:20]),
        encoded(png(5, 5).replace(b"IHDR", b"JUNK")),
        encoded(gif(5, 5)[:8]),
        encoded(webp_lossy(5, 5)[:29]),
        encoded(webp_lossy(5, 5).replace(b"WEBP", b"WAVE")),
        encoded(webp_lossless(5, 5).replace(b"\x2f", b"\x2e")),
        encoded(jpeg(5, 5)[:24]),
        encoded(b"\xff\xd8" + b"\xff" * 1_000),
        encoded(jpeg(5, 5, before=segment(0xFE, b"") * 100)),
        encoded(jpeg(5, 5, before=b"\xff\xd9")),
        encoded(jpeg(5, 5, before=b"junk")),
        "\n".join(encoded(png(5, 5))),
        "iVBORw0KGgo" + "é" * 100,
        "iVBORw0KGgo\ud800",
        "/9j/" + "*" * 100,
    ],
)
def test_what_cannot_be_read_is_not_known(image: object) -> None:
    assert pixels(image) is None


@given(st.sampled_from((png, gif, jpeg, webp_extended, webp_lossless, webp_lossy)), st.binary(max_size=40), st.data())
def test_a_broken_picture_does_not_raise(picture: Picture, junk: bytes, data: st.DataObject) -> None:
    content = picture(300, 200)
    at = data.draw(st.integers(0, len(content)))
    found = pixels(encoded(content[:at] + junk + content[at + len(junk) :]))
    assert found is None or min(found) > 0

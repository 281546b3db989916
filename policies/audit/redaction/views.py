"""A text as its readers may take it: without what cannot be seen, and with its escapes decoded. Pure.

Every view has as many characters as it needs, and says for each where it stands in the text that came. What is found in
a view is thereby found in the text.

Folded are, one character each: digits of every script, full-width and other compatibility forms of ASCII, dashes, spaces
and full stops that look like the ones of ASCII. Left out are characters without width, combining marks and control
characters other than white space. Decoded are percent-encoding (UTF-8), escapes of JSON and of programming languages
(`\\u0040`, `\\x40`, `\\n`, `\\"`) and numeric character references (`&#64;`), up to `MOST_LAYERS` times over.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

MOST_LAYERS: Final = 4
"""How many times over a text is decoded."""
_GONE: Final = "\0"
_DOTS: Final = frozenset("·․‧∙⋅•・。｡．﹒")
_DASHES: Final = frozenset("−⁃˗ー─━")
_SLASHES: Final = frozenset("⁄∕╱")
_FILLERS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_REMEMBERED: Final = 20_000
_ESCAPE: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2})++|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[nrtbfv0\"'`/\\]"
    r"|&#(?:[0-9]{1,7}|[xX][0-9A-Fa-f]{1,6});"
)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_SEEN: Final = re.compile(r"[^\0]+")
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


class View(NamedTuple):
    """A text to be searched, and where each of its characters (and its end) stands in what came; None: where it is."""

    text: str
    starts: array[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the view stands in the text that came."""
        return (start, end) if self.starts is None else (self.starts[start], self.starts[end])


class _Folding(dict[int, str]):
    """What each character is taken for. Filled as characters come, up to a bound."""

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = folded
        return folded


def _fold(character: str) -> str:
    category = unicodedata.category(character)
    decimal = unicodedata.decimal(character, None)
    if character in "\t\n\r":
        return character
    if category in ("Cf", "Cc", "Mn", "Me") or character in _FILLERS:
        return _GONE
    if decimal is not None:
        return str(decimal)
    if character in _DOTS:
        return "."
    if category == "Pd" or character in _DASHES:
        return "-"
    if character in _SLASHES:
        return "/"
    if category in ("Zs", "Zl", "Zp"):
        return " " if category == "Zs" else "\n"
    plain = unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() else character


_folding: Final = _Folding()


def sound(value: str) -> str:
    """The text in composed form (NFC), and without lone surrogates, which no encoding can carry."""
    if value.isascii():
        return value
    if _SURROGATE.search(value):
        value = _SURROGATE.sub("\ufffd", value)
    return unicodedata.normalize("NFC", value)


def views(value: str) -> Iterator[View]:
    """The text folded, then decoded once, twice, …, as long as there is something to decode. `value` is sound."""
    view = _folded(View(value, None))
    yield view
    for _ in range(MOST_LAYERS):
        if "%" not in view.text and "\\" not in view.text and "&#" not in view.text:
            return
        decoded = _decoded(view)
        if decoded is None:
            return
        view = _folded(decoded)
        yield view


def _folded(view: View) -> View:
    text = view.text
    if text.isascii() and text.isprintable():
        return view
    text = text.translate(_folding)
    if _GONE not in text:
        return View(text, view.starts)
    pieces: list[str] = []
    starts: array[int] = array("l")
    for piece in _SEEN.finditer(text):
        pieces.append(piece[0])
        starts.extend(_origin(view, piece.start(), piece.end()))
    starts.append(_origin(view, len(text), len(text) + 1)[0])
    return View("".join(pieces), starts)


def _origin(view: View, start: int, end: int) -> array[int] | range:
    return range(start, end) if view.starts is None else view.starts[start:end]


def _decoded(view: View) -> View | None:
    """The view with its escapes decoded once; None where there is none."""
    text = view.text
    pieces: list[str] = []
    starts: array[int] = array("l")
    done = 0
    high = ""
    for escape in _ESCAPE.finditer(text):
        if escape.start() > done:
            high = ""
        pieces.append(text[done : escape.start()])
        starts.extend(_origin(view, done, escape.start()))
        done = escape.end()
        for character, offset in _meaning(escape[0]):
            if high and "\udc00" <= character <= "\udfff":
                # Behind the first half stands what is between the two, which is nothing.
                pieces[-2] = _joined(high, character)
                high = ""
                continue
            high = character if "\ud800" <= character <= "\udbff" else ""
            pieces.append(character)
            starts.append(_origin(view, escape.start() + offset, escape.end())[0])
    if not done:
        return None
    pieces.append(text[done:])
    starts.extend(_origin(view, done, len(text) + 1))
    return View("".join(pieces), starts)


def _joined(high: str, low: str) -> str:
    return chr(0x10000 + ((ord(high) - 0xD800) << 10) + ord(low) - 0xDC00)


def _meaning(escape: str) -> list[tuple[str, int]]:
    """The characters that an escape stands for, each with its place in it."""
    if escape[0] == "%":
        return _percent(bytes.fromhex(escape.replace("%", "")))
    if escape[0] == "&":
        digits = escape[2:-1]
        code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
        return [(chr(code) if code < 0x110000 else "\ufffd", 0)]
    if escape[1] in "ux":
        return [(chr(int(escape[2:], 16)), 0)]
    return [(_SHORT.get(escape[1], escape[1]), 0)]


def _percent(encoded: bytes) -> list[tuple[str, int]]:
    try:
        text = encoded.decode()
    except UnicodeDecodeError:
        text = ""
    if len(text) == len(encoded) or not text:
        return [(character, 3 * place) for place, character in enumerate(encoded.decode("latin-1"))]
    found = []
    place = 0
    for character in text:
        found.append((character, 3 * place))
        place += len(character.encode())
    return found

"""What images, sound and files in a prompt cost, in tokens, at most. Pure.

Nothing is fetched. Of an image whose size is not known, the most is taken that one can cost.

- OpenAI ("Images and vision", calculating costs). Older models count tiles: the image is fitted into 2048 x 2048 and its
  shorter side to 768 pixels; a base and so much for each tile of 512 pixels, of which there are at most 8; at low detail
  the base alone. Newer and smaller ones count patches of 32 pixels, scaled down to a budget of patches, times a factor;
  low detail spares nothing there. `original` has a budget of its own.
- Anthropic ("Images and vision"): a token for each patch of 28 pixels, in older texts width x height / 750; images are
  scaled down to at most 1,568 tokens, since Claude Opus 4.7 to 4,784.
- Sound: OpenAI counts 10 tokens a second (input audio, 100 ms a token). Base64 of the poorest coding in use, 8 kbit/s,
  is 1,334 characters a second: at most a token for each 128 characters.
- Files (PDF): providers take the text of each page, and its image. A dense page is some 5 KB of a PDF and 2,300 tokens:
  a token for each 2 characters of base64 is above that, and to it comes one page for what hardly has bytes. Of a file
  that compresses much better than text does, this is no bound.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

from policies.limits.tokens.models import Vocabulary, bare
from policies.limits.tokens.pixels import pixels

_TILES: Final = 8
_REMEMBERED_LENGTH: Final = 128
"""A longer name is none, and not worth its memory."""
_ORIGINAL: Final = 10_000
"""The budget of patches at `original` detail."""
REFERENCED_FILE: Final = 100_000
"""A file that is only named or linked to: its content is not in the request."""
UNSEEN_SOUND: Final = 36_000
"""An hour of sound that is not in the request."""
_SOUND: Final = 128
_FILE: Final = 2
_PAGE: Final = 4_800


class Tiles(NamedTuple):
    """Counting by tiles: tokens for the image, and for each of its tiles."""

    base: int
    tile: int


class Patches(NamedTuple):
    """Counting by patches: hundredths of a token for each, and how many there are at most."""

    each: int
    budget: int


class Anthropic(NamedTuple):
    """Counting by patches of 28 pixels, or by area: how many tokens there are at most."""

    most: int


Rule = Tiles | Patches | Anthropic
"""How a model counts images."""

_ANTHROPIC: Final = Anthropic(4_800)
_UNKNOWN: Final = Patches(246, 2_500)
"""The dearest rules there are together, but for gpt-4o-mini's: of a model behind a name of its own nothing is known."""
_RULES: Final[tuple[tuple[re.Pattern[str], Rule], ...]] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"gpt-4o-mini", Tiles(2_833, 5_667)),
        (r"gpt-4\.1-mini|gpt-5-mini", Patches(162, 1_536)),
        (r"gpt-4\.1-nano|gpt-5-nano", Patches(246, 1_536)),
        (r"o4-mini|codex-mini", Patches(172, 1_536)),
        (r"gpt-4o|chatgpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-", Tiles(85, 170)),
        (r"o[13](?![a-z0-9])", Tiles(75, 150)),
        (r"gpt-5(\.1)?(?![.0-9])", Tiles(70, 140)),
        (r"gpt-5\.", Patches(162, 2_500)),
    )
)


def rule_of(model: str, vocabulary: Vocabulary) -> Rule:
    """How the model of this name counts images. `model`: its own name, not one that is given to it here."""
    return _remembered(model, vocabulary) if len(model) <= _REMEMBERED_LENGTH else _found(model, vocabulary)


def _found(model: str, vocabulary: Vocabulary) -> Rule:
    if vocabulary is Vocabulary.ANTHROPIC:
        return _ANTHROPIC
    name = bare(model)
    return next((rule for pattern, rule in _RULES if pattern.match(name)), _UNKNOWN)


_remembered: Final = lru_cache(256)(_found)


def image(source: object, detail: object, rule: Rule) -> int:
    """The most tokens that one image costs; more than 0.

    Args:
        source: its data URL or base64, if it is in the request at all.
        detail: as the request says, whatever it is.
    """
    size = pixels(source)
    if isinstance(rule, Tiles):
        return rule.base + (0 if detail == "low" else rule.tile * _tiles(size))
    if isinstance(rule, Anthropic):
        return rule.most if size is None else min(rule.most, max(_patches(size, 28), -(-size[0] * size[1] // 750)))
    budget = _ORIGINAL if detail == "original" else rule.budget
    patches = budget if size is None else min(budget, _patches(size, 32))
    return -(-patches * rule.each // 100)


def _patches(size: tuple[int, int], side: int) -> int:
    return -(-size[0] // side) * -(-size[1] // side)


def _tiles(size: tuple[int, int] | None) -> int:
    if size is None:
        return _TILES
    scale = min(Fraction(1), Fraction(2_048, max(size)), Fraction(768, min(size)))
    return ceil(size[0] * scale / 512) * ceil(size[1] * scale / 512)


def sound(base64: object) -> int:
    """The most that this piece of sound costs; anything but base64: it is only named."""
    return -(-len(base64) // _SOUND) + 1 if isinstance(base64, str) and base64 else UNSEEN_SOUND


def file(base64: object) -> int:
    """The most that this file costs; anything but base64: it is only named."""
    return -(-len(base64) // _FILE) + _PAGE if isinstance(base64, str) and base64 else REFERENCED_FILE

"""What images, sound and files in a prompt cost, in tokens. Pure.

Nothing is fetched and nothing decoded: what an image measures is not known, and so the most is taken that one can cost.

- OpenAI ("Images and vision", cost by tiles): at low detail 85 tokens; at high or unknown detail 85 and 170 for each tile
  of 512 pixels, after the image was fitted into 2048 x 2048 with its shorter side at 768: at most 8 tiles, 1,445 tokens.
  Small models count more tokens for the same image (gpt-4o-mini: 2,833 and 5,667 a tile): the factor is `SMALL`.
- Anthropic ("Vision"): width x height / 750, images being fitted into 1,568 pixels: at most about 1,600 tokens; since
  Claude Opus 4.7 into 2,576 pixels: at most about 4,800.
- Sound: OpenAI counts 10 tokens a second (input audio, 100 ms a token). Base64 of the poorest coding in use, 8 kbit/s,
  is 1,334 characters a second: at most a token for each 128 characters.
- Files (PDF): the text of a page and its image; of a file of unknown content no more than a token for each 3 characters
  of base64 can come as text.
"""

from __future__ import annotations

from typing import Final

OPENAI_LOW: Final = 85
OPENAI_HIGH: Final = 1_445
SMALL: Final = 34
"""gpt-4o-mini's images in units of gpt-4o's, rounded up."""
ANTHROPIC: Final = 4_800
_SOUND: Final = 128
_FILE: Final = 3
_REFERENCED_FILE: Final = 100_000
"""A file that is only named: its content is at the provider."""


def openai_image(detail: object, *, small: bool = False) -> int:
    """The most that one image costs. `detail`: as the request says, whatever it is."""
    tokens = OPENAI_LOW if detail == "low" else OPENAI_HIGH
    return tokens * SMALL if small else tokens


def sound(base64: object) -> int:
    """The most that this piece of sound costs."""
    return -(-len(base64) // _SOUND) + 1 if isinstance(base64, str) else 0


def file(base64: object) -> int:
    """The most that this file costs; None: it is only named."""
    return len(base64) // _FILE + 1 if isinstance(base64, str) else _REFERENCED_FILE

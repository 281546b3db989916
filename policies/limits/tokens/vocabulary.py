"""The published vocabularies, shipped with the package and checked by their hash.

`tiktoken.get_encoding` would fetch them at first use, without a time limit. They are the very files that it fetches
(openaipublic.blob.core.windows.net/encodings), and tiktoken's own hashes; the patterns are those of its
`tiktoken_ext/openai_public.py`. OpenAI's license for them lies beside them.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import threading
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import tiktoken

_FOLDER: Final = Path(__file__).with_name("vocabularies")


class VocabularyError(ValueError):
    """A vocabulary is missing, or is not the one that was published."""


class _Published(NamedTuple):
    sha256: str
    size: int
    pattern: str


_PUBLISHED: Final[Mapping[str, _Published]] = {
    "cl100k_base": _Published(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        1_681_126,
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s",
    ),
    "o200k_base": _Published(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        3_613_922,
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
}
_loaded: Final[dict[str, tiktoken.Encoding]] = {}
_loading: Final = threading.Lock()


def encoding(name: str) -> tiktoken.Encoding:
    """The encoding of this name. The first use takes half a second and some 60 MB.

    Raises:
        VocabularyError: its file is missing, or is not what was published.
    """
    known = _loaded.get(name)
    if known is not None:
        return known
    with _loading:
        if name not in _loaded:
            _loaded[name] = load(name, _FOLDER / f"{name}.tiktoken.gz")
    return _loaded[name]


def warm(names: Iterable[str]) -> None:
    """Load these encodings now, so that no request waits for them.

    Raises:
        VocabularyError: as `encoding`.
    """
    for name in names:
        encoding(name)


def load(name: str, path: Path) -> tiktoken.Encoding:
    """The encoding of this name, from this file: gzipped lines of a token in base64 and its rank.

    Raises:
        VocabularyError: as `encoding`.
    """
    published = _PUBLISHED[name]
    try:
        with gzip.open(path) as file:
            # No more than a file that expands without end is read of it.
            content = file.read(published.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise VocabularyError(f"the vocabulary {name} cannot be read: {type(error).__name__}") from error
    if hashlib.sha256(content).hexdigest() != published.sha256:
        raise VocabularyError(f"the vocabulary {name} is not the one that was published")
    ranks = {}
    for line in content.splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    return tiktoken.Encoding(name, pat_str=published.pattern, mergeable_ranks=ranks, special_tokens={})

"""The vocabularies that are shipped are those that were published, or nothing is counted with them."""

from __future__ import annotations

import gzip
import importlib
import zlib
from pathlib import Path
from typing import Any

import pytest

from policies.limits.tokens import vocabulary
from policies.limits.tokens.vocabulary import VocabularyError, encoding, load, warm

NAMES = ("cl100k_base", "o200k_base")
FOLDER = Path(vocabulary.__file__).with_name("vocabularies")


@pytest.mark.parametrize("name", NAMES)
def test_pattern_and_hash_are_tiktokens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published: Any = importlib.import_module("tiktoken_ext.openai_public")
    asked: list[str] = []

    def fetch(url: str, expected_hash: str) -> dict[bytes, int]:
        asked.append(expected_hash)
        return {}

    monkeypatch.setattr(published, "load_tiktoken_bpe", fetch)
    built: dict[str, Any] = getattr(published, name)()
    ours = vocabulary._PUBLISHED[name]
    assert (ours.pattern, [ours.sha256]) == (built["pat_str"], asked)


@pytest.mark.parametrize(
    ("name", "ranks", "tokens"), [("cl100k_base", 100_256, [15_339, 1_917]), ("o200k_base", 199_998, [24_912, 2_375])]
)
def test_an_encoding_is_whole(name: str, ranks: int, tokens: list[int]) -> None:
    found = encoding(name)
    assert (found.name, found.n_vocab) == (name, ranks)
    assert found.encode_ordinary("hello world") == tokens


@pytest.mark.parametrize("name", NAMES)
def test_there_are_no_special_tokens(name: str) -> None:
    text = "<|endoftext|>"
    assert encoding(name).special_tokens_set == set()
    assert len(encoding(name).encode_ordinary(text)) > 1


def test_an_encoding_is_loaded_once() -> None:
    warm(NAMES)
    assert all(encoding(name) is encoding(name) for name in NAMES)


def tampered(name: str) -> dict[str, bytes | None]:
    shipped = (FOLDER / f"{name}.tiktoken.gz").read_bytes()
    content = gzip.decompress(shipped)
    half = len(shipped) // 2
    return {
        "missing": None,
        "empty": b"",
        "not gzipped": content,
        "cut off": shipped[:half],
        "a broken block": shipped[:half] + bytes(64) + shipped[half + 64 :],
        # RFC 1951: a block of type 3 is an error.
        "no deflated block": gzip.compress(b"", 1)[:10] + b"\x07" + bytes(64),
        "a broken checksum": shipped[:-8] + bytes(8),
        "one byte": gzip.compress(content.replace(b"IQ== 0\n", b"IQ== 1\n", 1), 1),
        "one line more": gzip.compress(content + b"AAAA 999999\n", 1),
        "one line less": gzip.compress(content[: content.rindex(b"\n", 0, -1) + 1], 1),
        "without end": gzip.compress(content + bytes(50_000_000), 1),
    }


TAMPERED = tampered("cl100k_base")


@pytest.mark.parametrize("what", TAMPERED)
def test_another_file_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.gz"
    content = TAMPERED[what]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VocabularyError, match="cl100k_base") as refused:
        load("cl100k_base", path)
    assert isinstance(refused.value, ValueError)


def test_one_vocabulary_is_not_taken_for_the_other() -> None:
    with pytest.raises(VocabularyError, match="not the one that was published"):
        load("cl100k_base", FOLDER / "o200k_base.tiktoken.gz")


def test_the_same_content_packed_otherwise_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.gz"
    packer = zlib.compressobj(1, wbits=31)
    content = gzip.decompress((FOLDER / "cl100k_base.tiktoken.gz").read_bytes())
    path.write_bytes(packer.compress(content) + packer.flush())
    assert load("cl100k_base", path).encode_ordinary("hello world") == [15_339, 1_917]

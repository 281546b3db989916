"""What images, sound and files cost: the providers' own examples, and the most where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.limits.tokens import images
from policies.limits.tokens.images import REFERENCED_FILE, UNSEEN_SOUND, image, rule_of
from policies.limits.tokens.models import Vocabulary, vocabulary_of
from tests.policies.limits.tokens.test_pixels import encoded, png

ODD: tuple[Any, ...] = (None, "", 5, ["A"], {})
DETAILS: tuple[Any, ...] = ("high", "auto", None, "original", 5, {})
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "o1",
    "o4-mini",
    "gpt-5",
    "gpt-5.4",
    "claude-x",
    "other",
)


def cost(model: str, source: object, detail: object = None) -> int:
    return image(source, detail, rule_of(model, vocabulary_of(model)))


@pytest.mark.parametrize(
    ("model", "width", "height", "expected"),
    [
        # "Images and vision", OpenAI: calculating costs.
        ("gpt-4o", 1_024, 1_024, 765),
        ("gpt-4o", 2_048, 4_096, 1_105),
        ("gpt-4o", 512, 512, 255),
        ("gpt-4o", 1, 1, 255),
        ("gpt-4o", 2_048, 768, 1_445),
        ("gpt-4o", 60_000, 1, 85 + 4 * 170),
        ("gpt-4o-mini", 1_024, 1_024, 2_833 + 4 * 5_667),
        ("gpt-5", 1_024, 1_024, 70 + 4 * 140),
        ("gpt-5.1", 1_024, 1_024, 70 + 4 * 140),
        ("o3", 1_024, 1_024, 75 + 4 * 150),
        ("gpt-4.1-mini", 1_024, 1_024, 1_659),
        ("gpt-4.1-nano", 1_024, 1_024, 2_520),
        ("gpt-5-nano", 32, 32, 3),
        ("o4-mini", 1_800, 2_400, 2_642),
        ("gpt-5.4", 1_600, 1_600, 4_050),
        ("azure/gpt-4o", 512, 512, 255),
        ("ft:gpt-4.1-mini-2025-04-14:acme", 1_024, 1_024, 1_659),
        # "Images and vision", Anthropic.
        ("claude-sonnet-4-5", 200, 200, 64),
        ("claude-sonnet-4-5", 1_000, 1_000, 1_334),
        ("claude-opus-4-7", 8_000, 8_000, 4_800),
        # A name that says nothing.
        ("assistant", 1_024, 1_024, 2_520),
    ],
)
def test_an_image_whose_size_is_known(model: str, width: int, height: int, expected: int) -> None:
    assert cost(model, encoded(png(width, height))) == expected


@pytest.mark.parametrize(
    ("model", "detail", "expected"),
    [
        *(("gpt-4o", detail, 1_445) for detail in DETAILS),
        ("gpt-4o", "low", 85),
        ("gpt-4o-mini", "low", 2_833),
        ("gpt-4o-mini", "auto", 48_169),
        ("gpt-4-turbo", "high", 1_445),
        ("gpt-5", "low", 70),
        *(("gpt-5-mini", detail, 2_489) for detail in ("low", "high", "auto")),
        ("gpt-5.4", "high", 4_050),
        ("gpt-5.4", "original", 16_200),
        ("claude-opus-4-7", "low", 4_800),
        *(("assistant", detail, 6_150) for detail in ("low", "high", None)),
    ],
)
def test_an_image_of_unknown_size_costs_the_most(model: str, detail: object, expected: int) -> None:
    assert cost(model, "https://example.com/a.png", detail) == expected


@given(
    st.sampled_from(MODELS), st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from(("low", "high", "original"))
)
def test_no_size_costs_more_than_an_unknown_one(model: str, width: int, height: int, detail: str) -> None:
    assert 0 < cost(model, encoded(png(width, height)), detail) <= cost(model, None, detail)


def test_a_configured_tokenizer_says_how_images_count() -> None:
    assert image(None, None, rule_of("assistant", Vocabulary.ANTHROPIC)) == 4_800


@pytest.mark.parametrize(
    ("base64", "expected"),
    [("A", 2), ("A" * 128, 2), ("A" * 129, 3), *((other, UNSEEN_SOUND) for other in ODD)],
)
def test_sound_costs_by_its_length(base64: object, expected: int) -> None:
    assert images.sound(base64) == expected


def test_a_minute_of_the_poorest_sound_is_not_below_its_tokens() -> None:
    # 8 kbit/s is 1,000 bytes a second; 10 tokens a second.
    assert images.sound("A" * (60 * 1_000 * 4 // 3)) >= 600


@pytest.mark.parametrize(
    ("base64", "expected"),
    [("A", 4_801), ("A" * 2_000, 5_800), *((other, REFERENCED_FILE) for other in ODD)],
)
def test_a_file_costs_by_its_length(base64: object, expected: int) -> None:
    assert images.file(base64) == expected

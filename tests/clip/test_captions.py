"""Laws of the captions: each names what it claims to name, describes its own content, and covers what people type."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.recipes.captions import (
    COATS,
    COLORFUL,
    NOTHING,
    PHRASES,
    STYLE_NAMES,
    Caption,
    Content,
    caption,
    coat_prompts,
    style_prompts,
)
from explorer.styles import PHOTO, STYLES

NATURAL = {
    "pencil sketch": ("pencil sketch", "drawing of a {} in pencil"),
    "oil painting": ("oil painting",),
    "bronze statue": ("bronze statue", "bronze sculpture"),
    "blueprint": ("blueprint",),
    "thermal camera": ("thermal camera", "heat map"),
    "neon night": ("neon night", "neon sign"),
    "watercolor": ("watercolor", "watercolour"),
    "mosaic": ("mosaic",),
    "comic": ("cartoon", "comic"),
    "x ray": ("x-ray",),
}


def test_every_style_has_phrases_and_no_phrase_has_two_styles() -> None:
    assert set(PHRASES) == {PHOTO, NOTHING, *STYLES}
    phrases = [phrase for many in PHRASES.values() for phrase in many]
    assert len(phrases) == len(set(phrases))
    assert all(len(many) >= 7 for many in PHRASES.values())
    assert {PHOTO} < COLORFUL < set(STYLE_NAMES)


@pytest.mark.parametrize("style", NATURAL)
def test_the_words_people_type_are_there(style: str) -> None:
    for words in NATURAL[style]:
        assert any(words in phrase for phrase in PHRASES[style]), words


@pytest.mark.parametrize("style", [*STYLE_NAMES, NOTHING])
def test_a_caption_describes_its_content_and_says_the_words(style: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        coat = None if style == NOTHING else "ginger"
        made = caption(Content(style, coat), rng)
        assert made.describes(Content(style, coat))
        if made.coat:
            assert any(word in made.text for word in COATS["ginger"])
            assert not made.describes(Content(style, "white"))
        if made.style:
            stems = [[part for part in phrase.split("{}") if part.strip()] for phrase in PHRASES[style]]
            assert any(all(part.strip() in made.text for part in parts) for parts in stems), made.text
            assert not made.describes(Content(PHOTO if style != PHOTO else "mosaic", coat))


def test_a_caption_does_not_name_a_coat_that_cannot_be_seen() -> None:
    rng = np.random.default_rng(0)
    assert all(caption(Content("x ray", "ginger"), rng).coat is None for _ in range(100))
    assert not Caption("a ginger cat", None, "ginger").describes(Content("x ray", "ginger"))
    assert Caption("a ginger cat", None, "ginger").describes(Content("mosaic", "ginger"))


def test_pictures_without_labels_get_captions_too() -> None:
    rng = np.random.default_rng(0)
    assert all(caption(Content(PHOTO, None), rng).coat is None for _ in range(50))
    assert "tabby" in caption(Content(PHOTO, "odd tabby"), np.random.default_rng(1)).text  # a class of other data


def test_prompts_are_finished_texts() -> None:
    prompts = [text for style in STYLE_NAMES for text in style_prompts(style)]
    prompts += [text for coat in (*COATS, "some other class") for text in coat_prompts(coat)]
    assert all(text.strip() and "{" not in text for text in prompts)

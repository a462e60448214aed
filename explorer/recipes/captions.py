"""Captions for contrastive training: templates over coat, style and negatives, with the words people would type.

A caption is made from a `Content` (which style, which coat, or no cat at all) and knows which contents it describes, so
that every matching pair of a batch counts as one. Texts only: knows no pictures and no networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.styles import PHOTO, STYLES

NOTHING = "nothing"  # the style of pictures that show no cat: noise, shuffled patches, plain colours

# {} is the subject ("cat", "tabby cat"). The first entry of a style is the one zero-shot classification uses first.
PHRASES: dict[str, tuple[str, ...]] = {
    PHOTO: (
        "a photo of a {}", "a photograph of a {}", "photo", "a picture of a {}", "a realistic photo of a {}",
        "a close-up photo of a {}", "a color photo of a {}", "real {}", "a snapshot of a {}", "photorealistic {}",
    ),
    "pencil sketch": (
        "a pencil sketch of a {}", "pencil sketch", "a drawing of a {} in pencil", "a pencil drawing of a {}",
        "a sketch of a {}", "a {} drawn with a pencil", "graphite drawing of a {}", "sketch",
        "a hand-drawn sketch of a {}", "a line drawing of a {}",
    ),
    "colored pencil": (
        "a colored pencil drawing of a {}", "colored pencil", "a {} in colored pencils", "a crayon drawing of a {}",
        "coloured pencil drawing of a {}", "crayon", "a child's drawing of a {} in crayons",
        "a color pencil sketch of a {}",
    ),
    "charcoal": (
        "a charcoal drawing of a {}", "charcoal", "a {} drawn in charcoal", "a charcoal sketch of a {}",
        "a smudged charcoal portrait of a {}", "a drawing of a {} with black charcoal", "a charcoal portrait of a {}",
    ),
    "woodcut": (
        "a woodcut of a {}", "woodcut", "a linocut print of a {}", "a woodblock print of a {}", "an engraving of a {}",
        "linocut", "a {} carved as a wood print", "an old etching of a {}", "a block print of a {}",
    ),
    "chalkboard": (
        "a chalk drawing of a {} on a blackboard", "chalkboard", "a {} drawn with chalk", "chalk drawing of a {}",
        "a {} on a chalkboard", "white chalk on a green board", "a blackboard drawing of a {}", "chalk art of a {}",
    ),
    "comic": (
        "a comic book drawing of a {}", "comic", "a cartoon of a {}", "a {} in a comic", "cartoon", "a cartoon {}",
        "an anime drawing of a {}", "a comic strip panel with a {}", "a cel-shaded {}", "an animated {}",
        "manga of a {}",
    ),
    "oil painting": (
        "an oil painting of a {}", "oil painting", "a {} painted in oil", "a painting of a {}",
        "a {} in oils on canvas", "painting", "a renaissance oil portrait of a {}", "an old master painting of a {}",
        "thick brush strokes, a {}", "an impasto painting of a {}",
    ),
    "watercolor": (
        "a watercolor painting of a {}", "watercolor", "a watercolour of a {}", "a {} in watercolors",
        "an aquarelle of a {}", "a {} painted with watercolors", "a watercolor wash of a {}", "watercolour",
        "a {} in water colours",
    ),
    "pointillism": (
        "a pointillist painting of a {}", "pointillism", "a {} painted with dots of color",
        "a painting of a {} by Seurat", "pointillist {}", "an impressionist painting of a {} in dots",
        "a {} made of colored dots", "neo-impressionist {}",
    ),
    "pop art": (
        "pop art of a {}", "pop art", "a pop art poster of a {}", "an Andy Warhol print of a {}",
        "a screen print of a {}", "a {} in the style of Andy Warhol", "a bright silkscreen of a {}", "Warhol {}",
        "a posterized {}", "a loud poster of a {}",
    ),
    "bronze statue": (
        "a bronze statue of a {}", "bronze statue", "a bronze sculpture of a {}", "bronze", "a {} made of bronze",
        "a metal statue of a {}", "a golden statue of a {}", "a {} cast in brass", "a copper sculpture of a {}",
        "metal {}",
    ),
    "marble statue": (
        "a marble statue of a {}", "marble statue", "a marble sculpture of a {}", "marble", "a {} carved in marble",
        "a white stone statue of a {}", "a stone sculpture of a {}", "a greek statue of a {}", "a plaster bust of a {}",
    ),
    "clay relief": (
        "a clay relief of a {}", "clay relief", "a {} embossed in clay", "a terracotta relief of a {}", "clay",
        "embossed {}", "a {} modelled in terracotta", "a bas-relief of a {}", "terracotta", "a {} made of clay",
    ),
    "stained glass": (
        "a stained glass window of a {}", "stained glass", "a {} in stained glass", "a church window showing a {}",
        "a leaded glass picture of a {}", "a stained-glass {}", "a {} made of colored glass",
        "a cathedral window with a {}",
    ),
    "mosaic": (
        "a mosaic of a {}", "mosaic", "a {} made of tiles", "a roman mosaic of a {}", "a tile mosaic of a {}",
        "a {} in small square stones", "mosaic tiles", "a {} as a tiled floor", "a ceramic mosaic of a {}",
    ),
    "cross stitch": (
        "a cross stitch of a {}", "cross stitch", "an embroidery of a {}", "a {} stitched on cloth", "embroidery",
        "a cross-stitched {}", "an embroidered {}", "needlework of a {}", "a knitted {}", "a {} in wool yarn on fabric",
    ),
    "blueprint": (
        "a blueprint of a {}", "blueprint", "a blueprint drawing of a {}", "a technical drawing of a {}",
        "cyanotype of a {}", "a {} as a blueprint", "an architect's plan of a {}", "white lines on blue paper",
        "a technical blueprint with a {}",
    ),
    "thermal camera": (
        "a thermal camera image of a {}", "thermal camera", "a heat map of a {}", "a thermal image of a {}", "thermal",
        "an infrared picture of a {}", "a {} seen by a thermal camera", "thermography of a {}", "infrared heat",
        "a heatmap",
    ),
    "neon night": (
        "a neon sign of a {} at night", "neon night", "a {} in neon lights", "a glowing neon {}", "neon", "neon lights",
        "a cyberpunk {}", "a {} glowing in the dark", "a neon {} at night", "synthwave {}",
        "a {} in pink and cyan neon light",
    ),
    "sepia": (
        "a sepia photo of a {}", "sepia", "an old brown photograph of a {}", "a vintage photo of a {}",
        "an antique photo of a {}", "a faded sepia photograph", "an old photograph of a {}", "a {} on a daguerreotype",
        "a vintage sepia portrait of a {}",
    ),
    "black and white": (
        "a black and white photo of a {}", "black and white photo", "a monochrome photo of a {}",
        "a grayscale photo of a {}", "a {} in black and white film", "monochrome", "a greyscale picture of a {}",
        "film noir photo of a {}", "grayscale",
    ),
    "night vision": (
        "a night vision image of a {}", "night vision", "a {} seen through night vision goggles",
        "a green night camera with a {}", "night vision goggles", "a {} in a green night scope",
        "a surveillance camera at night, a {}", "green night vision",
    ),
    "x ray": (
        "an x-ray of a {}", "x ray", "an x-ray image of a {}", "a radiograph of a {}", "x-ray", "xray of a {}",
        "a {} on an x-ray film", "a negative of a photo of a {}", "an inverted blue picture of a {}",
        "a medical x-ray with a {}",
    ),
    "halftone": (
        "a halftone print of a {}", "halftone", "a newspaper print of a {}", "a {} in newspaper dots",
        "newsprint of a {}", "a {} printed with black dots", "halftone dots", "a newspaper picture of a {}",
        "a dotted print of a {}",
    ),
    "glitch": (
        "glitch art of a {}", "glitch", "a {} on a broken screen", "a VHS glitch of a {}", "a corrupted video of a {}",
        "a {} with a bad television signal", "glitchy {}", "digital distortion of a {}", "vaporwave VHS, a {}",
        "a broken video",
    ),
    NOTHING: (
        "nothing", "noise", "random noise", "an empty picture", "an abstract texture", "a blurry nothing", "not a cat",
        "a broken picture", "no cat", "meaningless patches", "a plain color", "static", "scrambled pieces",
        "a bad picture",
    ),
}  # fmt: skip
SUBJECTS = ("cat", "cat", "cat", "kitty", "cat's face", "cat head", "pet", "animal", "cat portrait", "house cat")
# Words for the coats of the shipped data; a class without an entry is called by its own name.
COATS: dict[str, tuple[str, ...]] = {
    "black": ("black", "all black", "dark black"),
    "black and white": ("black and white", "tuxedo", "black-and-white", "black with white"),
    "brown tabby": ("brown tabby", "brown striped", "brown tiger"),
    "calico": ("calico", "tortoiseshell", "three-colored"),
    "cream": ("cream", "cream colored", "pale beige"),
    "ginger": ("ginger", "orange", "red", "ginger tabby"),
    "ginger and white": ("ginger and white", "orange and white", "orange with white"),
    "grey": ("grey", "gray", "blue grey", "russian blue"),
    "grey tabby": ("grey tabby", "gray tabby", "grey striped", "silver tabby"),
    "kitten": ("kitten", "baby", "very young"),
    "persian": ("persian", "flat-faced", "long-haired persian"),
    "siamese": ("siamese", "dark-masked siamese", "seal point"),
    "tabby and white": ("tabby and white", "striped and white", "tabby with white"),
    "white": ("white", "all white", "snow white"),
    "white with patches": ("white with patches", "patched white", "white spotted"),
}
STYLE_NAMES = (PHOTO, *STYLES)  # the classes of zero-shot style classification, in this order
# Styles in which the colours of the coat can still be seen; elsewhere a caption must not name it.
COLORFUL = frozenset(
    {PHOTO, "colored pencil", "comic", "oil painting", "watercolor", "pointillism", "stained glass", "mosaic"}
    | {"cross stitch", "glitch"}
)


@dataclass(frozen=True)
class Content:
    """What a picture shows: a style, and a coat's name; None for pictures without a cat or without labels."""

    style: str
    coat: str | None


@dataclass(frozen=True)
class Caption:
    """A text, and the style and coat it names; None where it leaves them open."""

    text: str
    style: str | None
    coat: str | None

    def describes(self, content: Content) -> bool:
        """Whether the text is true of a picture of `content`, as far as the picture can show it."""
        if self.style is None:
            return self.coat == content.coat and content.style in COLORFUL
        return self.style == content.style and self.coat in (None, content.coat)


def caption(content: Content, rng: np.random.Generator) -> Caption:
    """One random caption that describes `content`.

    Photos mostly name the coat, drawings and the like mostly the style alone. "a white cat" says nothing on style and
    describes every picture that shows one.
    """
    style, coat = content.style, content.coat
    if coat is None or style not in COLORFUL or rng.random() > (0.85 if style == PHOTO else 0.35):
        return Caption(_decorated(_pick(PHRASES[style], rng).format(_pick(SUBJECTS, rng)), rng), style, None)
    subject = f"{_pick(COATS.get(coat, (coat,)), rng)} {_pick(SUBJECTS, rng)}"
    if style == PHOTO and rng.random() < 0.4:
        return Caption(_decorated(f"a {subject}", rng), None, coat)
    phrase = _pick(tuple(p for p in PHRASES[style] if "{}" in p), rng)
    return Caption(_decorated(phrase.format(subject), rng), style, coat)


def style_of(text: str) -> str | None:
    """The style that a text names, by its name or in one of its phrases of a cat."""
    return next((s for s, phrases in PHRASES.items() if text in {s, *(p.format("cat") for p in phrases)}), None)


def style_prompts(style: str) -> list[str]:
    """Prompts to average for zero-shot classification of a style."""
    return [phrase.format("cat") for phrase in PHRASES[style]]


def coat_prompts(coat: str) -> list[str]:
    """Prompts to average for zero-shot classification of a coat on photos."""
    return [f"{start} {word} cat" for word in COATS.get(coat, (coat,)) for start in ("a photo of a", "a")]


# Words around a caption that change nothing, as in real prompts.
FILLERS = (
    "cute", "beautiful", "highly detailed", "portrait", "looking at the camera", "art", "image", "high quality",
    "old", "small", "my", "in the garden", "sitting", "with big eyes", "fluffy", "from the front", "on a table",
    "masterpiece", "lovely", "8k", "by a famous artist", "for my grandmother", "centered", "trending", "style",
    "of a friend",
)  # fmt: skip


def _decorated(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.7:
        return text
    word = _pick(FILLERS, rng)
    return f"{word}, {text}" if rng.random() < 0.3 else f"{text}, {word}" if rng.random() < 0.6 else f"{text} {word}"


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]

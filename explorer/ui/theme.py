"""The visual language: neutral greys, one accent, a typeface that comes with the page (nothing is fetched).

Greys carry no hue at all, because a tinted surround changes how the colours of a picture are seen.
"""

from __future__ import annotations

from gradio.themes import Base
from gradio.themes.utils import colors, sizes


class Gallery(Base):
    """Light and dark theme of every tab; the tabs' own CSS uses its variables only."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=colors.teal,
            secondary_hue=colors.teal,
            neutral_hue=colors.neutral,
            radius_size=sizes.radius_md,
            text_size=sizes.text_md,
            spacing_size=sizes.spacing_md,
            font=("Inter", "ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
            font_mono=("ui-monospace", "SFMono-Regular", "Consolas", "monospace"),
        )
        self.name = "gallery"
        self.set(
            body_background_fill="*neutral_100",
            body_background_fill_dark="*neutral_950",
            body_text_color="*neutral_800",
            body_text_color_dark="*neutral_200",
            body_text_color_subdued="*neutral_600",
            body_text_color_subdued_dark="*neutral_400",
            background_fill_primary="white",
            background_fill_primary_dark="*neutral_900",
            background_fill_secondary="*neutral_50",
            background_fill_secondary_dark="#1f1f1f",
            border_color_primary="*neutral_200",
            border_color_primary_dark="*neutral_800",
            color_accent="*primary_700",
            color_accent_soft="*primary_50",
            color_accent_soft_dark="#0f2f2c",
            slider_color="*primary_700",
            slider_color_dark="*primary_400",
            button_primary_background_fill="*primary_700",
            button_primary_background_fill_dark="*primary_700",
            button_primary_background_fill_hover="*primary_800",
            button_primary_background_fill_hover_dark="*primary_800",
            button_primary_text_color="white",
            block_border_width="0px",
            block_shadow="none",
        )

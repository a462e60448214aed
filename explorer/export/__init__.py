"""What leaves the program: pictures, contact sheets, animations, and a zip of everything with a table.

Pure functions of edits and pictures. Whoever calls gives `render` (edits -> pictures) and, where codes are needed,
`codes` (edits -> codes in W+); this package knows no torch, no engine and no interface.
"""

from explorer.export.animation import FORMATS, along, animating, write_animation
from explorer.export.bundle import write_bundle
from explorer.export.pictures import (
    MAX_PICTURES,
    ExportError,
    Render,
    grid_of,
    sheet,
    spread,
    strip_of,
    upscaled,
    write_picture,
)

__all__ = [
    "FORMATS",
    "MAX_PICTURES",
    "ExportError",
    "Render",
    "along",
    "animating",
    "grid_of",
    "sheet",
    "spread",
    "strip_of",
    "upscaled",
    "write_animation",
    "write_bundle",
    "write_picture",
]

"""What leaves the program: pictures, contact sheets, animations, and a zip of everything with a table.

Pure functions of edits and pictures. Whoever calls gives `render` (edits -> pictures) and, where codes are needed,
`codes` (edits -> codes in W+); this package knows no torch, no engine and no interface.
"""

from explorer.export.animation import (
    FORMATS,
    Easing,
    Frames,
    Way,
    along,
    animating,
    check_easing,
    check_fps,
    film_length,
    write_animation,
)
from explorer.export.bundle import bundling, write_bundle
from explorer.export.pictures import (
    BATCH,
    MAX_PICTURES,
    ExportError,
    Render,
    Sheet,
    check_px,
    grid_of,
    rendered,
    sheet,
    spread,
    strip_of,
    upscaled,
    write_picture,
)

__all__ = [
    "BATCH",
    "FORMATS",
    "MAX_PICTURES",
    "Easing",
    "ExportError",
    "Frames",
    "Render",
    "Sheet",
    "Way",
    "along",
    "animating",
    "bundling",
    "check_easing",
    "check_fps",
    "check_px",
    "film_length",
    "grid_of",
    "rendered",
    "sheet",
    "spread",
    "strip_of",
    "upscaled",
    "write_animation",
    "write_bundle",
    "write_picture",
]

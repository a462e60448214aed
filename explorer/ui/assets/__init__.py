"""The page's own HTML, CSS and JavaScript, as files beside this one; read as text, never changed.

Gradio evaluates `.html` and `.css` as Handlebars and JavaScript templates: keep double braces, backticks and
backslashes out of them. Scripts run as given.
"""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def read(*names: str) -> str:
    """The text of these files, one after the other: `.js` files so joined share one scope, in this order."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)

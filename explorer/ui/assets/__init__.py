"""The page's own HTML, CSS and JavaScript, as files beside this one; read as text, never changed.

Gradio evaluates `.html` and `.css` as Handlebars and JavaScript templates: keep double braces, backticks and
backslashes out of them. Scripts run as given.

Scripts are ES modules with named imports from each other. Gradio runs a panel's script as the body of one function, so
`script` puts modules together: what is imported comes first, once, in one scope. Each panel has its own copies.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_IMPORT = re.compile(r'^import (?:\{ [\w, ]+ \} from )?"(\.{1,2}/[\w/.]+)";\n', re.MULTILINE)
_NAME = re.compile(r"^(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)


@cache
def read(*names: str) -> str:
    """The text of these files, one after the other."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


@cache
def typeface() -> str:
    """CSS with the page's typeface, so that nothing is fetched: Inter, whose figures stand in columns."""
    rule = "@font-face {{ font-family: Inter; font-weight: {}; src: url(data:font/woff2;base64,{}) format('woff2'); }}"
    files = sorted((_FOLDER / "fonts").glob("*.woff2"))
    return "\n".join(rule.format(f.stem.rpartition("-")[2], base64.b64encode(f.read_bytes()).decode()) for f in files)


@cache
def script(name: str) -> str:
    """The module `name` with all that it imports, as one script.

    Raises ValueError where two of them use one name at their top level.
    """
    modules = [path.read_text(encoding="utf-8") for path in _modules(_FOLDER / name, set())]
    text = re.sub(r"^export ", "", "\n".join(_IMPORT.sub("", module) for module in modules), flags=re.MULTILINE)
    names = _NAME.findall(text)
    if twice := {word for word in names if names.count(word) > 1}:
        raise ValueError(f"two modules of {name} define {sorted(twice)}: rename one")
    return text


def _modules(module: Path, known: set[Path]) -> Iterator[Path]:
    """A module after all that it imports, each once."""
    known.add(module)
    for target in _IMPORT.findall(module.read_text(encoding="utf-8")):
        if (path := (module.parent / target).resolve()) not in known:
            yield from _modules(path, known)
    yield module

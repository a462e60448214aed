"""What only some uses need, and the command that installs it: the extras of `pyproject.toml`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from explorer.refused import Refused

Extra = Literal["train", "serve"]
MODULES: dict[Extra, tuple[str, ...]] = {
    "train": ("accelerate", "tensorboard", "sklearn", "matplotlib"),
    "serve": ("ray", "mcp"),
}


class MissingExtra(Refused):
    """Packages that this use needs are not installed."""

    def __init__(self, extra: Extra) -> None:
        super().__init__(f'this needs packages that are not installed: pip install "domain-explorer[{extra}]"')


def require(extra: Extra) -> None:
    """Raises MissingExtra where a package of the extra is not installed; imports nothing."""
    if any(find_spec(module) is None for module in MODULES[extra]):
        raise MissingExtra(extra)


def extra_of(module: str) -> Extra | None:
    """The extra that brings a module, by the module's name."""
    top = module.partition(".")[0]
    return next((extra for extra, modules in MODULES.items() if top in modules), None)

"""The package `kernels` of a checkout, which lies beside this one.

An installed copy has the folder here, as the package `explorer.kernels`, and this file is not read: the name `kernels`
belongs to Hugging Face's package there. Import whole modules (`from explorer.kernels import build`), never names out of
them, so that each exists once.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

FOLDER = Path(__file__).parents[1] / "kernels"


def beside() -> ModuleType:
    """The package in FOLDER, imported once, as `kernels`, wherever the program is started from."""
    loaded = sys.modules.get("kernels")
    if loaded is not None and loaded.__file__ == str(FOLDER / "__init__.py"):
        return loaded
    spec = spec_from_file_location("kernels", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["kernels"] = package
    spec.loader.exec_module(package)
    return package


if TYPE_CHECKING:
    from kernels import *  # noqa: F403
    from kernels import banded as banded
    from kernels import build as build
    from kernels import synthesis as synthesis
    from kernels import winograd as winograd
else:
    sys.modules[__name__] = beside()

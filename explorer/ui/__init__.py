"""The page: Gradio and browser code. It asks an `Engine` for pictures of `Edit`s; it knows no networks and no files."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from explorer.ui.page import build_ui
from explorer.ui.serve import Serving, launch, users
from explorer.ui.shelf import VISITORS_MEMORY, Shelf

__all__ = ["VISITORS_MEMORY", "Serving", "Shelf", "build_ui", "launch", "users"]

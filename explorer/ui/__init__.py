"""The page: Gradio and browser code. It asks an `Engine` for pictures of `Edit`s; it knows no networks and no files."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from explorer.ui.disk import Disk
from explorer.ui.own import models_home
from explorer.ui.page import build_ui
from explorer.ui.serve import Serving, launch, users
from explorer.ui.shelf import VISITORS_MEMORY, Shelf

__all__ = ["VISITORS_MEMORY", "Disk", "Serving", "Shelf", "build_ui", "launch", "models_home", "users"]

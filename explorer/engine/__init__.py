"""The engine: one `Edit` in, one picture out. Owns networks, device, precision, caches and the lock.

Knows no Gradio and no files but the small cache of measured effects beside the checkpoint.
"""

from explorer.engine.engine import Engine

__all__ = ["Engine"]

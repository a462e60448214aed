"""From a photo to the code that makes it: crop, encoder, searches, tuning, and what inverted photos are good for.

Networks come from `gather(checkpoint)`; nothing here changes them. Knows no engine and no interface.
"""

from explorer.inversion.methods import search
from explorer.inversion.networks import Networks, gather
from explorer.inversion.results import Inversion, invert, measure
from explorer.inversion.search import State
from explorer.inversion.settings import METHODS, SPACE_NOTES, SPACES, InversionError, Method, Settings, Space, defaults

__all__ = [
    "METHODS",
    "SPACES",
    "SPACE_NOTES",
    "Inversion",
    "InversionError",
    "Method",
    "Networks",
    "Settings",
    "Space",
    "State",
    "defaults",
    "gather",
    "invert",
    "measure",
    "search",
]

"""The fuzzer begins with the tiny files of the tests of `weights` and `training`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "weights"), str(Path(__file__).parents[2])]

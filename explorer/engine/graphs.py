"""CUDA graphs: a recorded sequence of launches that is replayed as one, for a function of one tensor.

At batch 1 a GPU waits for its ~150 launches more than it computes. Knows nothing of generators. Inference only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP = 3  # calls before recording, on a side stream, as torch.cuda.graph asks for
KEPT = 6  # recordings kept; each holds the memory of all its intermediate results


@dataclass(frozen=True)
class Recording:
    graph: torch.cuda.CUDAGraph
    given: Tensor
    result: Tensor


class Graphs:
    """Recordings of functions, one for each key and shape of the argument. Not thread-safe."""

    def __init__(self) -> None:
        self._recordings: OrderedDict[tuple[Hashable, torch.Size], Recording] = OrderedDict()

    def __call__(self, key: Hashable, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`function(x)`, recorded at the first call with this key and shape; the result is a copy of its own."""
        slot = (key, x.shape)
        if slot not in self._recordings:
            self._recordings[slot] = record(function, x)
            if len(self._recordings) > KEPT:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(slot)
        recording = self._recordings[slot]
        recording.given.copy_(x)
        recording.graph.replay()
        return recording.result.clone()


def record(function: Callable[[Tensor], Tensor], x: Tensor) -> Recording:
    """Record `function` on a CUDA tensor of x's shape. It must launch the same kernels whatever the values are."""
    given = x.clone()
    side = torch.cuda.Stream(device=x.device)
    side.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            function(given)
    torch.cuda.current_stream(x.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(given)
    return Recording(graph, given, result)

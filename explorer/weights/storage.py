"""Tensors that still lie in a file: a storage is where the bytes are, a stored tensor a checked view of one.

No torch object is built from what a file says until size, stride and offset were held against the storage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from explorer.foreign import brief
from explorer.weights.checkpoint import CheckpointError, Entry

MAX_RANK = 8
# The names pickles give to types: storages' classes, and torch's dtypes for untyped storages.
DTYPES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


STEPS = 500_000  # of all pickles in a file; a real checkpoint takes some ten thousand
COPIES = 5  # of a file's bytes that reading may make: file in the pickle, storage in it, values, tensor; one spare


class Allowance:
    """What reading one file of `size` bytes may cost: steps of its pickles, and bytes that are copied for it.

    Whatever is nested in a file, used twice in it or shared by its tensors is paid from its one allowance.
    """

    def __init__(self, size: int, steps: int = STEPS) -> None:
        self.steps, self.bytes = steps, COPIES * size + 2**16

    def step(self, count: int = 1) -> None:
        """Pay for steps."""
        self.steps -= count
        if self.steps < 0:
            raise CheckpointError("its pickle takes far more steps than a checkpoint needs: it is damaged or hostile")

    def copy(self, count: int) -> None:
        """Pay for bytes, before they are copied."""
        self.bytes -= count
        if self.bytes < 0:
            raise CheckpointError("its tensors claim more values than the file has bytes: it is damaged or hostile")


@dataclass
class Storage:
    """`numel` values of `dtype`; `read` fetches its bytes, once for all tensors that share them.

    `users` counts those tensors: the values of a single one are not kept, or reading a file would take its size twice.
    """

    dtype: torch.dtype
    numel: int
    allowance: Allowance
    read: Callable[[], bytes | memoryview] | None = None
    users: int = 0

    def __post_init__(self) -> None:
        if not _is_count(self.numel):
            raise CheckpointError(f"a storage of {brief(self.numel)} elements: the file is damaged")

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    @cached_property
    def values(self) -> Tensor:  # [numel]
        """All values; not to be changed."""
        if self.read is None:
            raise CheckpointError("the file ends before the values of its tensors: download it again")
        self.allowance.copy(self.nbytes)
        data = bytearray(self.read())
        if len(data) != self.nbytes:
            raise CheckpointError(f"a storage announces {self.nbytes:,} bytes, the file holds {len(data):,} of it")
        return torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage. Raises CheckpointError where it would reach outside of it or count an element twice."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        tuples = isinstance(self.shape, tuple) and isinstance(self.stride, tuple)
        fit = tuples and len(self.shape) == len(self.stride) <= MAX_RANK
        if not fit or not all(map(_is_count, (self.offset, *self.shape, *self.stride))):
            raise CheckpointError("a tensor's size, stride and offset are no plain numbers: the file is damaged")
        if self.numel > self.span or self.offset + self.span > self.storage.numel:
            raise CheckpointError(
                f"a tensor of shape {brief(self.shape)} reaches outside of its {self.storage.numel:,} stored values:"
                " the file is damaged or hostile"
            )
        self.storage.users += 1

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Values from the view's first to its last."""
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True)) if self.numel else 0

    def read(self) -> Tensor:
        """The values, in memory of their own."""
        values = self.storage.values
        if self.storage.users == 1:
            del self.storage.values
            if self.numel == len(values) == self.span and self._contiguous:
                return values.view(self.shape)
        self.storage.allowance.copy(self.numel * values.dtype.itemsize)
        view = values.as_strided(self.shape, self.stride, self.offset) if self.numel else values.new_empty(self.shape)
        return view.clone(memory_format=torch.contiguous_format)

    @property
    def _contiguous(self) -> bool:
        expected = [math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        return all(n == 1 or step == want for n, step, want in zip(self.shape, self.stride, expected, strict=True))

    def entry(self) -> Entry:
        return Entry(self.shape, self.read)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63

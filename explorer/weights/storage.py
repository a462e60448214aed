"""Tensors that still lie in a file: a storage is where the bytes are, a stored tensor a checked view of one.

No torch object is built from what a file says until size, stride and offset were held against the storage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.weights.checkpoint import CheckpointError, Entry

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


class Allowance:
    """Elements that may be read from one file: no more than it has bytes, however many tensors share a storage."""

    def __init__(self, elements: int) -> None:
        self.left = elements

    def spend(self, elements: int) -> None:
        self.left -= elements
        if self.left < 0:
            raise CheckpointError("its tensors claim more values than the file has bytes: it is damaged or hostile")


@dataclass
class Storage:
    """`numel` values of `dtype`; `read(start, stop)` fetches bytes of it."""

    dtype: torch.dtype
    numel: int
    allowance: Allowance
    read: Callable[[int, int], bytes] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.numel, bool) or not isinstance(self.numel, int) or self.numel < 0:
            raise CheckpointError(f"a storage of {self.numel!r} elements: the file is damaged")

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage. Raises CheckpointError where it would reach outside of it or count an element twice."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.stride)
        plain = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63 for n in numbers)
        if not plain or len(self.shape) != len(self.stride) or len(self.shape) > 8:
            raise CheckpointError("a tensor's size, stride and offset are no plain numbers: the file is damaged")
        if self.numel > self.span or self.offset + self.span > self.storage.numel:
            raise CheckpointError(
                f"a tensor of shape {list(self.shape)} reaches outside of its {self.storage.numel:,} stored values:"
                " the file is damaged or hostile"
            )

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Values from the view's first to its last."""
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True)) if self.numel else 0

    def read(self) -> Tensor:
        """The values, in memory of their own."""
        if self.storage.read is None:
            raise CheckpointError("the file ends before the values of its tensors: download it again")
        self.storage.allowance.spend(self.span)
        if not self.numel:
            return torch.empty(0, dtype=self.storage.dtype)
        size = self.storage.dtype.itemsize
        data = bytearray(self.storage.read(self.offset * size, (self.offset + self.span) * size))
        return torch.frombuffer(data, dtype=self.storage.dtype).as_strided(self.shape, self.stride)

    def entry(self) -> Entry:
        return Entry(self.shape, self.read)

"""What a file holds as one table: tensors and settings by dotted name, however they lay in it.

Dictionaries in dictionaries, flat state dicts behind any prefix and whole pickled networks, module by module, become
such names: `state_dict.decoder.input.input`, `G_ema.mapping.fc0.weight`. What a layout of names
(`explorer.weights.layouts`) looks for is then found wherever it lies, and whatever lies beside it is in nobody's way.
Knows no layout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from explorer.weights.builders import NETWORK, TENSORFLOW, Record
from explorer.weights.checkpoint import Entry
from explorer.weights.storage import Allowance, StoredTensor

MAX_NAME = 200  # letters of a dotted name; what lies deeper is no part of a network
MAX_REPEATS = 50_000  # names for what has one already
STATE = ("_parameters", "_buffers", "_modules")  # of a pickled module; what else it has are settings


@dataclass(frozen=True)
class Contents:
    """Tensors by dotted name, and every other value by its own: settings, attributes, containers as they are.

    A prefix, here and in layouts, is the empty text or ends with a dot.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def below(self, prefix: str) -> Contents:
        """What lies behind `prefix`, by its names from there on."""
        return Contents(_below(self.entries, prefix), _below(self.values, prefix))

    def prefixes(self, *names: str) -> list[str]:
        """What stands before these names, wherever tensors of all of them lie side by side."""
        first = names[0]
        found = [name.removesuffix(first) for name in self.entries if name == first or name.endswith(f".{first}")]
        return [prefix for prefix in found if all(f"{prefix}{name}" in self.entries for name in names)]

    def beside(self, prefix: str, name: str) -> Any:
        """What is called `name` behind `prefix` or further out, the nearest; None where there is nothing."""
        places = prefix.split(".")[:-1]
        for depth in range(len(places), -1, -1):
            full = ".".join([*places[:depth], name])
            if (value := self.entries.get(full, self.values.get(full))) is not None:
                return value
        return None

    def attribute(self, path: str, name: str, default: Any) -> Any:
        """A setting of the module at `path`."""
        return self.values.get(f"{path}.{name}" if path else name, default)


def contents_of(data: Any, allowance: Allowance) -> Contents:
    """The table of an unpickled object. Copies of arrays, one for every name, are paid from `allowance`.

    What a file uses in several places is looked into in each, as far as `MAX_REPEATS` goes: beyond that the work is in
    proportion to the file, whatever it holds.
    """
    contents, repeats = Contents(), MAX_REPEATS
    sizes: dict[int, int] = {}  # of the containers that were looked into
    pending: deque[tuple[str, Any]] = deque([("", data)])
    while pending:
        path, value = pending.popleft()
        if (entry := _entry(value, allowance)) is not None:
            contents.entries[path] = entry
            continue
        contents.values[path] = value
        if (again := sizes.get(id(value), 0)) > repeats:
            continue
        repeats -= again
        settings = _settings(value) if isinstance(value, Record) and value.kind == NETWORK else {}
        contents.values.update(_named(path, settings.items()))
        parts = list(_parts(value))
        pending.extend(_named(path, parts))
        if parts or settings:
            sizes[id(value)] = len(parts) + len(settings)
    return contents


def _entry(value: Any, allowance: Allowance) -> Entry | None:
    if isinstance(value, StoredTensor):
        return value.entry()
    if not isinstance(value, np.ndarray):
        return None

    def read() -> torch.Tensor:
        allowance.copy(4 * value.size)
        return torch.from_numpy(np.array(value, np.float32, order="C"))

    return Entry(value.shape, read)


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a container holds, by name."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, (list, tuple)):  # of numbers and texts there can be many, of networks not
        places = ("G", "D", "Gs") if _is_triple(value) else range(len(value))
        return [pair for pair in zip(places, value, strict=True) if isinstance(pair[1], (dict, list, tuple, Record))]
    if isinstance(value, Record) and value.kind == NETWORK:
        state = _dict(value.state)
        return [pair for group in STATE for pair in _dict(state.get(group)).items()]
    if isinstance(value, Record) and value.kind == TENSORFLOW:
        return _with_variables(_dict(value.state)).items()
    return ()


def _is_triple(value: Any) -> bool:
    """Whether this is what training with TensorFlow saves: generator, discriminator, the generator's average."""
    return len(value) == 3 and all(isinstance(part, Record) and part.kind == TENSORFLOW for part in value[::2])


def _settings(network: Record) -> dict[Any, Any]:
    return {name: value for name, value in _dict(network.state).items() if name not in STATE}


def _with_variables(state: dict[Any, Any]) -> dict[Any, Any]:
    """Variables are a list of names and values there."""
    pairs = state.get("variables")
    pairs = pairs if isinstance(pairs, list) else []
    named = {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2 and _is_name(pair[0])}
    return state | {"variables": named}


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _named(path: str, parts: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Parts by their full names, without those whose names are none."""
    for name, value in parts:
        if _is_name(name) or isinstance(name, int):
            full = f"{path}.{name}" if path else str(name)
            if len(full) <= MAX_NAME:
                yield full, value


def _below(table: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in table.items() if name.startswith(prefix)}

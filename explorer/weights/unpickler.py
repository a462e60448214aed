"""An interpreter of pickles that can only build data: numbers, texts, containers, tensors and inert records.

A pickle is a program, and its `REDUCE` calls whatever the file names. This interpreter has no way to call anything: a
global of the file becomes a `Global`, which is only its name, and a call becomes what the table `BUILDERS` makes of
that name. Any other name raises `UnsafeCheckpointError`. Opcodes are decoded by the standard library's
`pickletools.genops`, which builds nothing.

Memory stays in proportion to the file: every read is checked against the bytes that are left, every step and every
copied element is paid from a `Budget`, and tensors stay in the file until somebody asks for their values.
It knows no networks and no file formats; those are its callers.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, cast

import numpy as np

from explorer.weights.checkpoint import CheckpointError, UnsafeCheckpointError
from explorer.weights.storage import DTYPES, Storage, StoredTensor

MAX_STEPS = 500_000  # a real checkpoint takes some ten thousand
MAX_LINE = 65536
NUMPY_KINDS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


class Budget:
    """Steps that one file may cost; shared by the pickles nested in it."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise CheckpointError("its pickle takes far more steps than a checkpoint needs: it is damaged or hostile")


@dataclass(frozen=True)
class Global:
    """The name of something a file refers to. Never the thing itself."""

    name: str


@dataclass
class Record:
    """What a file says of an object: its kind, the arguments of its construction and its state. Inert."""

    kind: str
    args: tuple[Any, ...]
    state: Any = None


@dataclass
class Stream:
    """A file of known size; a read that goes past its end fails before anything is allocated."""

    file: BinaryIO
    size: int

    def read(self, count: int = 1) -> bytes:
        if not 0 <= count <= self.size - self.file.tell():
            raise CheckpointError(f"it ends before its data does ({count:,} more bytes announced): download it again")
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(MAX_LINE)
        if b"\\" in line:  # escapes belong to texts of protocol 0, which no checkpoint is written in
            raise CheckpointError("its pickle has an escape in a name: it is damaged or hostile")
        return line

    def tell(self) -> int:
        return self.file.tell()


Resolve = Callable[[tuple[Any, ...]], Any]  # persistent id -> storage
LoadBytes = Callable[[bytes], Any]  # a nested legacy file -> its object


@dataclass
class Rules:
    """What a pickle may refer to besides itself: storages by persistent id, and nested files. None: not allowed."""

    budget: Budget = field(default_factory=Budget)
    storage: Resolve | None = None
    nested: LoadBytes | None = None


def read_pickle(stream: Stream, rules: Rules) -> Any:
    """Interpret one pickle from `stream`, which is left behind its end.

    Returns plain values and containers, numpy arrays, `StoredTensor`, `Storage`, `Record` and `Global`.
    Raises UnsafeCheckpointError for a global outside the allow-list, CheckpointError for anything else that is wrong.
    """
    machine = _Machine(rules)
    try:
        source = cast("IO[bytes]", stream)  # read, readline and tell are all that genops uses
        for opcode, argument, _ in pickletools.genops(source):
            rules.budget.spend(1)
            machine.step(opcode.name, argument)
        return machine.result()
    except CheckpointError:
        raise
    # A damaged pickle fails wherever its first wrong byte leads: a missing memo entry, a text that is no UTF-8.
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError, AssertionError) as error:
        raise CheckpointError(f"its pickle is damaged near byte {stream.tell():,} ({str(error)[:100]})") from None


MARK = object()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
TEXTS = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
LITERALS = NUMBERS | TEXTS | BYTES
FIXED_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set}
FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "TUPLE": tuple,
    "LIST": list,
    "DICT": lambda items: _fill({}, items),
    "FROZENSET": lambda items: {_key(item) for item in items},
}


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in FIXED_TUPLES:
            self.stack.append(tuple(self.pop(FIXED_TUPLES[name])))
        elif name in FROM_MARK:
            items = self.pop_mark()
            self.stack.append(FROM_MARK[name](items))
        elif name in ("MARK", "PROTO", "FRAME", "STOP"):
            if name == "MARK":
                self.stack.append(MARK)
        elif "GET" in name:
            self.stack.append(self.memo[int(argument)])
        elif "PUT" in name:
            self.memo[int(argument)] = self.top()
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        else:
            getattr(self, f"on_{name.lower()}", self.unknown)(argument)

    def result(self) -> Any:
        (value,) = self.stack
        return value

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("empty stack")
        return self.stack[-1]

    def pop(self, count: int) -> list[Any]:
        items = [self.stack.pop() for _ in range(count)][::-1]
        if any(item is MARK for item in items):
            raise ValueError("misplaced mark")
        return items

    def pop_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def unknown(self, argument: Any) -> None:
        raise CheckpointError("its pickle uses an instruction that no checkpoint needs: it is damaged or hostile")

    def on_pop(self, argument: None) -> None:
        self.stack.pop()

    def on_pop_mark(self, argument: None) -> None:
        self.pop_mark()

    def on_dup(self, argument: None) -> None:
        self.stack.append(self.top())

    def on_append(self, argument: None) -> None:
        (item,) = self.pop(1)
        _as(list, self.top()).append(item)

    def on_appends(self, argument: None) -> None:
        items = self.pop_mark()
        _as(list, self.top()).extend(items)

    def on_setitem(self, argument: None) -> None:
        items = self.pop(2)
        _fill(_as(dict, self.top()), items)

    def on_setitems(self, argument: None) -> None:
        items = self.pop_mark()
        _fill(_as(dict, self.top()), items)

    def on_additems(self, argument: None) -> None:
        items = self.pop_mark()
        _as(set, self.top()).update(_key(item) for item in items)

    def on_global(self, argument: str) -> None:
        self.stack.append(_global(argument.replace(" ", ".", 1)))

    def on_stack_global(self, argument: None) -> None:
        module, name = self.pop(2)
        self.stack.append(_global(f"{_as(str, module)}.{_as(str, name)}"))

    def on_reduce(self, argument: None) -> None:
        callee, args = self.pop(2)
        self.stack.append(self.build(callee, args))

    on_newobj = on_reduce  # `cls.__new__(cls, *args)`: the same to us, neither is called

    def on_newobj_ex(self, argument: None) -> None:
        callee, args, keywords = self.pop(3)
        if keywords:
            raise ValueError("keyword arguments")
        self.stack.append(self.build(callee, args))

    def on_inst(self, argument: str) -> None:
        args = self.pop_mark()
        self.stack.append(self.build(_global(argument.replace(" ", ".", 1)), tuple(args)))

    def on_obj(self, argument: None) -> None:
        callee, *args = self.pop_mark()
        self.stack.append(self.build(callee, tuple(args)))

    def on_build(self, argument: None) -> None:
        (state,) = self.pop(1)
        target = self.top()
        if isinstance(target, Record):
            target.state = state
            if target.kind == "numpy array":
                self.stack[-1] = _array(state)
        elif not isinstance(target, dict):  # attributes of a dictionary (a state dict's version) carry nothing for us
            raise ValueError(f"state for a {type(target).__name__}")

    def on_binpersid(self, argument: None) -> None:
        (identity,) = self.pop(1)
        if self.rules.storage is None:
            raise CheckpointError("its pickle refers to data outside of itself: it is no checkpoint")
        self.stack.append(self.rules.storage(_as(tuple, identity)))

    def build(self, callee: Any, args: Any) -> Any:
        """What a call becomes: data, by the name of what the file wanted to call."""
        builder = BUILDERS.get(_as(Global, callee).name)
        if builder is None:
            raise ValueError(f"{callee.name} is no function")
        return builder(self.rules, *_as(tuple, args))


def _as(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, got {type(value).__name__}")
    return value


def _key(value: Any) -> str | int:
    """Keys are short texts and numbers: hashing nested tuples that share their parts can take for ever."""
    if isinstance(value, str) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    raise TypeError(f"a {type(value).__name__} as a key")


def _fill(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[_key(key)] = value
    return target


def _global(name: str) -> Global:
    if name in ALLOWED:
        return Global(name)
    if name.startswith(("dnnlib.tflib", "tfutil", "tensorflow")):
        raise CheckpointError(
            "this is a TensorFlow network; convert it with legacy.py of NVIDIA's stylegan2-ada-pytorch first"
        )
    raise UnsafeCheckpointError(
        f"it asks to run {name[:100]!r}, which no checkpoint needs; nothing was run."
        " Load only files you trust, or ask the author for a safetensors file or a plain state dict"
    )


def _mapping(rules: Rules, items: Any = ()) -> dict[Any, Any]:
    rules.budget.spend(len(items))
    pairs = items.items() if isinstance(items, dict) else items
    return {_key(key): value for key, value in pairs}


def _reconstructed(rules: Rules, kind: Any, base: Any, state: Any) -> Any:
    """`copyreg._reconstructor`, how protocol 0 and 1 write a dictionary's subclass."""
    return _mapping(rules, _as(dict, state)) if state is not None else BUILDERS[_as(Global, kind).name](rules)


def _set(rules: Rules, items: Any = ()) -> set[Any]:
    rules.budget.spend(len(_as(list, items)))
    return {_key(item) for item in items}


def _encoded(rules: Rules, text: str, encoding: str) -> bytes:
    rules.budget.spend(len(text) // 64)
    if encoding != "latin1":
        raise ValueError("an encoding other than latin1")
    return text.encode("latin1")


def _nested(rules: Rules, payload: bytes) -> Any:
    if rules.nested is None:
        raise CheckpointError("its pickle holds a file inside a file inside a file: it is damaged or hostile")
    return rules.nested(_as(bytes, payload))


def _tensor(rules: Rules, storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> StoredTensor:
    return StoredTensor(_as(Storage, storage), offset, tuple(size), tuple(stride))


def _parameter(rules: Rules, data: Any, *_: Any) -> StoredTensor:
    return _as(StoredTensor, data)


def _dtype(rules: Rules, name: Any, *_: Any) -> Record:
    name = _as(str, name)
    if name not in NUMPY_KINDS:
        raise CheckpointError(f"it holds a numpy type {name[:20]!r}; only plain numbers are expected")
    return Record("numpy dtype", (name,))


def _numpy_type(record: Any) -> np.dtype[Any]:
    """The type of a `numpy.dtype` record; its state is (version, byte order, ...)."""
    if _as(Record, record).kind != "numpy dtype":
        raise TypeError("a numpy dtype expected")
    if record.state is not None and record.state[1] == ">":
        raise CheckpointError("it holds big-endian numbers; only little-endian ones are read")
    return np.dtype(record.args[0]).newbyteorder("<")


def _scalar(rules: Rules, dtype: Any, data: Any) -> Any:
    (value,) = np.frombuffer(_as(bytes, data), _numpy_type(dtype)).tolist()
    return value


def _empty_array(rules: Rules, *_: Any) -> Record:
    return Record("numpy array", ())


def _array(state: Any) -> np.ndarray:
    """The array of numpy's state: version, shape, dtype, Fortran order, raw bytes."""
    _, shape, dtype, fortran, data = _as(tuple, state)
    return np.frombuffer(_as(bytes, data), _numpy_type(dtype)).reshape(shape, order="F" if fortran else "C")


# What a call in the file becomes, by the name the file gives. Nothing here runs anything of the file.
BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _mapping,
    "dnnlib.util.EasyDict": _mapping,
    "argparse.Namespace": lambda rules: {},
    "builtins.set": _set,
    "__builtin__.set": _set,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "_codecs.encode": _encoded,
    "torch_utils.persistence._reconstruct_persistent_obj": lambda rules, meta: Record("network", (_as(dict, meta),)),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _nested,
    "torch.Size": lambda rules, size=(): tuple(_as(tuple, size)),
    "torch.device": lambda rules, *names: Record("device", names),
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy._core.multiarray._reconstruct": _empty_array,
}
TYPES = {"numpy.ndarray", "builtins.dict", "__builtin__.dict"} | {f"torch.{name}" for name in DTYPES}
ALLOWED = frozenset(BUILDERS) | TYPES


def stream_of(data: bytes) -> Stream:
    """A stream over bytes in memory."""
    return Stream(io.BytesIO(data), len(data))

"""What the calls in a pickle become: data, by the name that the file gives. Nothing of a file is ever called.

Three tables hold everything that is known: calls and what is made of them, types that may stand as arguments, and how
names differ between versions. Whatever a file names besides is refused by that name. Knows no opcodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.foreign import brief
from explorer.weights.checkpoint import CheckpointError, UnsafeCheckpointError
from explorer.weights.storage import DTYPES, MAX_RANK, Allowance, Storage, StoredTensor

BIG = (">", b">")  # numpy's mark of big-endian numbers, also as Python 2 wrote it
NETWORK, TENSORFLOW = "network", "tensorflow network"  # kinds of records that hold networks
ONLY_STYLEGAN2 = "of these only StyleGAN2's of 2019 and 2020 are read: bring one, or the model as a PyTorch file"
NUMPY_KINDS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


@dataclass(frozen=True)
class Global:
    """The name of something a file refers to. Never the thing itself."""

    name: str


@dataclass(eq=False)
class Record:
    """What a file says of an object: its kind, the arguments of its construction and its state. Inert."""

    kind: str
    args: tuple[Any, ...]
    state: Any = None


Resolve = Callable[[tuple[Any, ...]], Any]  # persistent id -> storage
LoadBytes = Callable[[bytes], Any]  # a nested legacy file -> its object


@dataclass
class Rules:
    """What a pickle may refer to besides itself: storages by persistent id, and nested files. None: not allowed."""

    allowance: Allowance
    storage: Resolve | None = None
    nested: LoadBytes | None = None


def expect(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, got {type(value).__name__}")
    return value


def as_key(value: Any) -> str | int:
    """Keys are short texts and numbers: hashing nested tuples that share their parts can take for ever."""
    if isinstance(value, str) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    if isinstance(value, Global):  # pytorch-lightning's callbacks: its text
        return value.name
    raise TypeError(f"a {type(value).__name__} as a key")


def global_of(name: str) -> Global:
    """What stands for a name of the file: that name, as this version has it. Raises UnsafeCheckpointError."""
    today = name
    for old, new in RENAMED.items():
        if name.startswith(old):
            today = new + name.removeprefix(old)
    for known in VENDORED:  # this code lies in the author's own project, under any path
        if name.endswith(f".{known}"):
            today = known
    if today in ALLOWED or MODULES.fullmatch(today):
        return Global(today)
    if name.startswith(("tfutil.", "tensorflow.")) or ".tflib." in name:
        kind = "a ProGAN of 2018" if name == "tfutil.Network" else f"of another kind ({brief(name)})"
        raise CheckpointError(f"its networks are TensorFlow's, {kind}; {ONLY_STYLEGAN2}")
    raise UnsafeCheckpointError(
        f"it asks to run {name[:100]!r}, which no checkpoint needs; nothing was run."
        " Load only files you trust, or ask the author for a safetensors file or a plain state dict"
    )


def _inert(kind: str) -> Callable[..., Record]:
    """Data of no use to us: kept as a record, which nobody looks into."""
    return lambda rules, *args: Record(kind, args)


def builder_of(name: str) -> Callable[..., Any] | None:
    """What a call of this name becomes; None where it is no function."""
    if MODULES.fullmatch(name):
        return lambda rules, *_: Record(NETWORK, (name,))
    return BUILDERS.get(name)


def _path(rules: Rules, *parts: Any) -> str:
    """A path of any system, as its text."""
    rules.allowance.copy(sum(len(expect(str, part)) for part in parts))
    return "/".join(parts).replace("//", "/")


def _mapping(rules: Rules, items: Any = ()) -> dict[Any, Any]:
    rules.allowance.step(len(items))
    pairs = items.items() if isinstance(items, dict) else items
    return {as_key(key): value for key, value in pairs}


def _default_mapping(rules: Rules, factory: Any = None) -> dict[Any, Any]:
    return {}


def _reconstructed(rules: Rules, kind: Any, base: Any, state: Any) -> Any:
    """`copyreg._reconstructor`, how protocol 0 and 1 write a dictionary's subclass."""
    builder = builder_of(expect(Global, kind).name)
    if builder is None:
        raise ValueError("an object of no class")
    return _mapping(rules, expect(dict, state)) if state is not None else builder(rules)


def _list(rules: Rules, items: Any = (), *_: Any) -> list[Any]:
    if not isinstance(items, (list, tuple, set)):
        raise TypeError(f"a list of a {type(items).__name__}")
    rules.allowance.step(len(items))
    return list(items)


def _set(rules: Rules, items: Any = ()) -> set[Any]:
    return {as_key(item) for item in _list(rules, items)}


def _encoded(rules: Rules, text: Any, encoding: Any) -> bytes:
    rules.allowance.copy(len(expect(str, text)))
    if expect(str, encoding) not in ("latin1", "latin-1"):
        raise ValueError("an encoding other than latin1")
    return text.encode("latin1")


def _bytes(rules: Rules, data: Any = b"", *encoding: Any) -> bytes:
    return _encoded(rules, data, *encoding) if encoding else expect(bytes, data)


def _nested(rules: Rules, payload: Any) -> Any:
    if rules.nested is None:
        raise CheckpointError("its pickle holds a file inside a file inside a file: it is damaged or hostile")
    return rules.nested(expect(bytes, payload))


def _tensor(rules: Rules, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    return StoredTensor(expect(Storage, storage), offset, size, stride)


def _parameter(rules: Rules, data: Any, *_: Any) -> StoredTensor:
    return expect(StoredTensor, data)


def _subclass(rules: Rules, function: Any, kind: Any, args: Any, state: Any) -> StoredTensor:
    """A tensor with attributes of its own: `_rebuild_from_type_v2(function, type, args, state)`."""
    if not expect(Global, function).name.startswith("torch._utils._rebuild_tensor"):
        raise ValueError("a tensor made by no function of tensors")
    return _tensor(rules, *expect(tuple, args))


def _persistent(rules: Rules, meta: Any) -> Record:
    """A network by NVIDIA's `torch_utils.persistence`; the text of its source in `meta` is left alone."""
    return Record(NETWORK, (), expect(dict, meta).get("state"))


def _dtype(rules: Rules, name: Any, *_: Any) -> Record:
    return Record("numpy dtype", (expect(str, name),))


def _numpy_type(record: Any) -> np.dtype[Any] | None:
    """The type of a `numpy.dtype` record, whose state is (version, byte order, ...); None for other than numbers."""
    if expect(Record, record).kind != "numpy dtype":
        raise TypeError("a numpy dtype expected")
    if record.args[0] not in NUMPY_KINDS:
        return None
    order = record.state[1] if isinstance(record.state, tuple) and len(record.state) > 1 else "<"
    big = isinstance(order, (str, bytes)) and order in BIG
    return np.dtype(record.args[0]).newbyteorder(">" if big else "<")


def _scalar(rules: Rules, dtype: Any, data: Any) -> Any:
    if (kind := _numpy_type(dtype)) is None:
        return None
    if len(expect(bytes, data)) != kind.itemsize:
        raise ValueError("a number of another size than its type")
    return np.frombuffer(data, kind)[0].item()


def _empty_array(rules: Rules, *_: Any) -> Record:
    return Record("numpy array", ())


def array_of(shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray | Record:
    """A view of an array's raw bytes; an inert record for an array of anything but plain numbers."""
    if (kind := _numpy_type(dtype)) is None:
        return Record("foreign array", ())
    if not isinstance(shape, tuple) or len(shape) > MAX_RANK or not all(isinstance(n, int) for n in shape):
        raise ValueError("an array's shape is no row of numbers")
    return np.frombuffer(expect(bytes, data), kind).reshape(shape, order="F" if fortran is True else "C")


def _array_of_buffer(rules: Rules, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray | Record:
    """`_frombuffer`, how protocol 5 writes an array."""
    return array_of(shape, dtype, isinstance(order, str) and order == "F", data)


# Names of older and newer Pythons and numpys, by how they begin; then what is known by how it ends.
RENAMED = {
    "__builtin__.": "builtins.",
    "__builtin__.long": "builtins.int",
    "__builtin__.unicode": "builtins.str",
    "__builtin__.xrange": "builtins.range",
    "copy_reg.": "copyreg.",
    "numpy._core.": "numpy.core.",
    "pathlib._local.": "pathlib.",
}
VENDORED = (
    "persistence._reconstruct_persistent_obj",
    "torch_utils.persistence._reconstruct_persistent_obj",
    "dnnlib.util.EasyDict",
    "dnnlib.tflib.network.Network",
)
PATHS = ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
# Classes of networks that are pickled by their own names: PyTorch's, and those of StyleGAN-XL's discriminator. They
# become records, with that name as the argument: whatever they do, they are what they hold.
MODULES = re.compile(
    r"(torch\.nn\.(modules|parallel|utils)|pg_modules|timm\.(models|layers))(\.[a-z_0-9]+)*\.[A-Z]\w*", re.ASCII
)
INERT = (
    "builtins.complex",
    "builtins.object",
    "builtins.range",
    "builtins.slice",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "torch.device",
    "torch.serialization._get_layout",
    "uuid.UUID",
)
# What a call in the file becomes, by the name the file gives. Nothing here runs anything of the file.
BUILDERS: dict[str, Callable[..., Any]] = {
    **{name: _inert(name) for name in INERT},
    **{f"pathlib.{name}": _path for name in PATHS},
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _default_mapping,
    "collections.deque": _list,
    "dnnlib.util.EasyDict": _mapping,
    "easydict.EasyDict": _mapping,
    "argparse.Namespace": _default_mapping,
    "types.SimpleNamespace": _default_mapping,
    "builtins.bytearray": _bytes,
    "builtins.dict": _mapping,
    "builtins.frozenset": _set,
    "builtins.list": _list,
    "builtins.set": _set,
    "copyreg._reconstructor": _reconstructed,
    "_codecs.encode": _encoded,
    "dnnlib.tflib.network.Network": _inert(TENSORFLOW),
    "persistence._reconstruct_persistent_obj": _persistent,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.storage._load_from_bytes": _nested,
    "torch.Size": lambda rules, size=(): tuple(_list(rules, size)),
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
}
NUMBERS_OF_TORCH = (
    *("float64", "double", "float32", "float", "float16", "half", "bfloat16", "int64", "long", "int32", "int"),
    *("int16", "short", "int8", "uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"),
)
NUMBERS_OF_NUMPY = (
    *("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("bool", "bool_", "str_", "bytes_", "longlong", "ulonglong", "complex64", "complex128"),
)
# Types that a file may name as an argument.
TYPES = {
    "builtins.bool",
    "builtins.bytes",
    "builtins.float",
    "builtins.int",
    "builtins.str",
    "builtins.tuple",
    "numpy.ndarray",
    "numpy.random._mt19937.MT19937",
    "numpy.random._pcg64.PCG64",
    "torch.Tensor",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
}
TYPES |= {f"torch.{name}" for name in (*DTYPES, *NUMBERS_OF_TORCH)} | {f"numpy.{name}" for name in NUMBERS_OF_NUMPY}
ALLOWED = frozenset(BUILDERS) | TYPES

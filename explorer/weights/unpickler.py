"""An interpreter of pickles that can only build data: numbers, texts, containers, tensors and inert records.

A pickle is a program, and its `REDUCE` calls whatever the file names. This interpreter has no way to call anything: a
global of the file becomes a `Global`, which is only its name, and a call becomes what `builder_of` makes of
that name. Any other name raises `UnsafeCheckpointError`. Opcodes are decoded by the standard library's
`pickletools.genops`, which builds nothing.

Memory stays in proportion to the file: every read is checked against the bytes that are left, every step and every
copied element is paid from the file's `Allowance`, and tensors stay in the file until somebody asks for their values.
It knows no networks and no file formats; those are its callers.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from explorer.foreign import brief
from explorer.weights.builders import Global, Record, Rules, array_of, as_key, builder_of, expect, global_of
from explorer.weights.checkpoint import CheckpointError

MAX_LINE = 65536
INSIDE = (
    "its tensors lie in other files, so this is the inside of a .pt file: give the .pt itself; where it was unpacked,"
    " pack its folder again, as a zip without compression"
)


@dataclass
class Stream:
    """A file of known size; a read that goes past its end fails before anything is allocated."""

    file: BinaryIO
    size: int
    data: bytes | None = None  # the file, where it lies in memory

    def view(self, count: int) -> bytes | memoryview:
        """As `read`, without a copy where the file lies in memory."""
        if self.data is None:
            return self.read(count)
        start = self.tell()
        if not 0 <= count <= self.size - start:
            return self.read(count)
        self.file.seek(start + count)
        return memoryview(self.data)[start : start + count]

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


def read_pickle(stream: Stream, rules: Rules) -> Any:
    """Interpret one pickle from `stream`, which is left behind its end.

    Returns plain values and containers, numpy arrays, `StoredTensor`, `Storage`, `Record` and `Global`.
    Raises UnsafeCheckpointError for a global outside the allow-list, CheckpointError for anything else that is wrong.
    """
    machine = _Machine(rules)
    try:
        source = cast("IO[bytes]", stream)  # read, readline and tell are all that genops uses
        for opcode, argument, _ in pickletools.genops(source):
            rules.allowance.step()
            machine.step(opcode.name, argument)
        return machine.result()
    except CheckpointError:
        raise
    # A damaged pickle fails wherever its first wrong byte leads: a missing memo entry, a text that is no UTF-8.
    except (ValueError, LookupError, TypeError, OverflowError, AttributeError, AssertionError) as error:
        raise CheckpointError(f"its pickle is damaged near byte {stream.tell():,} ({brief(error)})") from None


MARK = object()
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
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
    "FROZENSET": lambda items: {as_key(item) for item in items},
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
            self.stack.append(bytes(argument) if name == "BYTEARRAY8" else argument)
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
        expect(list, self.top()).append(item)

    def on_appends(self, argument: None) -> None:
        items = self.pop_mark()
        expect(list, self.top()).extend(items)

    def on_setitem(self, argument: None) -> None:
        items = self.pop(2)
        _fill(expect(dict, self.top()), items)

    def on_setitems(self, argument: None) -> None:
        items = self.pop_mark()
        _fill(expect(dict, self.top()), items)

    def on_additems(self, argument: None) -> None:
        items = self.pop_mark()
        expect(set, self.top()).update(as_key(item) for item in items)

    def on_global(self, argument: str) -> None:
        self.stack.append(global_of(argument.replace(" ", ".", 1)))

    def on_stack_global(self, argument: None) -> None:
        module, name = self.pop(2)
        self.stack.append(global_of(f"{expect(str, module)}.{expect(str, name)}"))

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
        self.stack.append(self.build(global_of(argument.replace(" ", ".", 1)), tuple(args)))

    def on_obj(self, argument: None) -> None:
        callee, *args = self.pop_mark()
        self.stack.append(self.build(callee, tuple(args)))

    def on_build(self, argument: None) -> None:
        (state,) = self.pop(1)
        target = self.top()
        if isinstance(target, Record):
            target.state = state
            if target.kind == "numpy array":
                self.stack[-1] = array_of(*expect(tuple, state)[1:])
        elif not isinstance(target, dict):  # attributes of a dictionary (a state dict's version) carry nothing for us
            raise ValueError(f"state for a {type(target).__name__}")

    def on_binpersid(self, argument: None) -> None:
        (identity,) = self.pop(1)
        if self.rules.storage is None:
            raise CheckpointError(INSIDE)
        self.stack.append(self.rules.storage(expect(tuple, identity)))

    def build(self, callee: Any, args: Any) -> Any:
        """What a call becomes: data, by the name of what the file wanted to call."""
        builder = builder_of(expect(Global, callee).name)
        if builder is None:
            raise ValueError(f"{callee.name} is no function")
        self.rules.allowance.step(len(expect(tuple, args)))
        return builder(self.rules, *args)


def _fill(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[as_key(key)] = value
    return target


def stream_of(data: bytes) -> Stream:
    """A stream over bytes in memory."""
    return Stream(io.BytesIO(data), len(data), data)

"""Files that try to run code or to exhaust memory, built opcode by opcode, and the process that loads them.

`encode` is a tiny pickler that writes what `pickle.dumps` refuses to: calls by name, foreign storages, raw opcodes.
Run as a script with a folder it loads every file in there and prints what happened, one line of JSON a file.
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GIGABYTE = 2**30
HUGE = 10**12


@dataclass(frozen=True)
class Call:
    """`name(*args)` as a pickle writes it."""

    name: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Ref:
    """A global by itself."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A persistent id."""

    identity: tuple[Any, ...]


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    code: bytes


def encode(value: Any) -> bytes:
    """The opcodes that push `value`."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Ref):
        module, _, name = value.name.rpartition(".")
        return f"c{module}\n{name}\n".encode()
    if isinstance(value, Call):
        return encode(Ref(value.name)) + encode(value.args) + b"R"
    if isinstance(value, Storage):
        return encode(value.identity) + b"Q"
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(encode, value)) + b"t"
    if isinstance(value, list):
        return b"(" + b"".join(map(encode, value)) + b"l"
    if isinstance(value, dict):
        return b"}(" + b"".join(encode(part) for item in value.items() for part in item) + b"u"
    return pickle.dumps(value, protocol=2)[2:-1]  # None, bool, int, float


def dump(value: Any) -> bytes:
    """A whole pickle."""
    return b"\x80\x04" + encode(value) + b"."


def legacy(
    numel: int = 4, data: bytes = bytes(16), kind: str = "torch.FloatStorage", value: Any = None, keys: Any = ("0",)
) -> bytes:
    """A `torch.save` file of the older layout that holds one storage."""
    held = Storage(("storage", Ref(kind), "0", "cpu", numel, None)) if value is None else value
    heads = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, held, list(keys) if keys == ("0",) else keys]
    return b"".join(map(dump, heads)) + struct.pack("<q", numel) + data


def tensor(
    shape: tuple[Any, ...] = (4,), stride: tuple[int, ...] = (1,), offset: int = 0, payload: bytes | None = None
) -> Call:
    """A pickled tensor; by default four zeros."""
    held = Call("torch.storage._load_from_bytes", (legacy() if payload is None else payload,))
    return Call(
        "torch._utils._rebuild_tensor_v2", (held, offset, shape, stride, False, Call("collections.OrderedDict"))
    )


def network(parameters: Any, modules: Any = None, attributes: dict[str, Any] | None = None) -> Call:
    """A pickled module in NVIDIA's manner."""
    state = {"_parameters": parameters, "_buffers": {}, "_modules": modules or {}, **(attributes or {})}
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "Generator", "state": state}
    return Call("torch_utils.persistence._reconstruct_persistent_obj", (meta,))


def holding(value: Any) -> bytes:
    """A pickle with one network that has `value` as a parameter."""
    return dump({"G_ema": network({"weight": value})})


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of `members`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return file.getvalue()


def safetensors(header: dict[str, Any], data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def native(generator: dict[str, Any], family: str = "stylegan2") -> bytes:
    """A native file with one small tensor and a configuration that claims anything."""
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    metadata = {"format": "domain-explorer", "version": "1", "family": family, "meta": "{}"}
    metadata["generator"] = json.dumps(generator)
    return safetensors({"__metadata__": metadata, "generator.mean": tensor}, bytes(16))


def get(index: int) -> Raw:
    """What was memoized as number `index`."""
    return Raw(b"j" + struct.pack("<I", index))


def laughs(depth: int, pair: Callable[[Raw], Any]) -> Raw:
    """Containers of twice the one before: 2**depth leaves in a few bytes a level. It must come first in its pickle."""
    code = encode(pair(Raw(b"N"))) + b"\x94"
    for level in range(depth):
        code += b"0" + encode(pair(get(level))) + b"\x94"
    return Raw(code)


def tree(tensors: dict[str, np.ndarray], attributes: dict[str, dict[str, Any]] | None = None, path: str = "") -> Call:
    """A pickled network, module by module, of float32 tensors by dotted name and attributes by module."""
    own = {name: stored(value) for name, value in tensors.items() if "." not in name}
    children: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        head, dot, rest = name.partition(".")
        if dot:
            children.setdefault(head, {})[rest] = value
    modules = {name: tree(value, attributes, f"{path}{name}.") for name, value in children.items()}
    return network(own, modules, (attributes or {}).get(path.removesuffix("."), {}))


def stored(value: np.ndarray) -> Call:
    """An array as a pickled tensor."""
    value = np.array(value, dtype="<f4", order="C")
    stride = tuple(step // 4 for step in value.strides)
    return tensor(value.shape, stride, payload=legacy(value.size, value.tobytes()))


def unsafe(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Files that ask to run something, with the name that the error must give. Each would create `canary`."""
    command = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    system = Call("posix.system", (command,))
    return {
        "reduce": (dump(system), "posix.system"),
        "in_a_checkpoint": (dump({"G_ema": network({}), "G": system}), "posix.system"),
        "eval": (dump(Call("builtins.eval", (code,))), "builtins.eval"),
        "exec_python2": (dump(Call("__builtin__.eval", (code,))), "__builtin__.eval"),
        "stack_global": (dump(Raw(b"\x8c\x05posix\x8c\x06system\x93" + encode((command,)) + b"R")), "posix.system"),
        "newobj": (dump(Raw(encode(Ref("subprocess.Popen")) + encode((["touch", str(canary)],)) + b"\x81")), "Popen"),
        "inst": (dump(Raw(b"(" + encode(command) + b"iposix\nsystem\n")), "posix.system"),
        "obj": (dump(Raw(b"(" + encode(Ref("posix.system")) + encode(command) + b"o")), "posix.system"),
        "nested_payload": (holding(tensor(payload=dump(system))), "posix.system"),
        "nested_object": (holding(tensor(payload=legacy(value=system))), "posix.system"),
        "nested_sizes": (holding(tensor(payload=dump(0x1950A86A20F9469CFC6C) + dump(system))), "posix.system"),
        "storage_type": (legacy(kind="posix.system"), "posix.system"),
        "attribute_of_an_allowed_name": (
            dump(Call("torch._utils._rebuild_tensor_v2.__globals__.get", ("os",))),
            "__globals__",
        ),
        "getattr": (dump(Call("builtins.getattr", (Ref("collections.OrderedDict"), "mro"))), "builtins.getattr"),
        "a_model_class": (dump(Raw(encode(Ref("models.Generator")) + encode(()) + b"\x81")), "models.Generator"),
        "torch_jit": (dump(Call("torch.jit.load", (str(canary),))), "torch.jit.load"),
        "torch_load": (dump(Call("torch.serialization.load", (str(canary),))), "torch.serialization.load"),
        "numpy_object_array": (dump(Call("numpy.load", (str(canary), None, True))), "numpy.load"),
        "zip_layout": (archive({"archive/data.pkl": dump({"g_ema": system})}), "posix.system"),
        "lightning_optimizer": (lightning(optimizer_states=[system]), "posix.system"),
        "lightning_settings": (lightning(hyper_parameters=Call("argparse.Namespace", (system,))), "posix.system"),
        "lightning_callback": (lightning(callbacks={Ref("pytorch_lightning.callbacks.Other"): 1}), "callbacks.Other"),
    }


def broken(valid: Call) -> dict[str, tuple[bytes, str]]:
    """Files that lie about sizes, expand without end, or are damaged, and words of the error that must say so.

    `valid` is a good network to put them beside.
    """
    lies = {**_lying_tensors(), **_foreign_values(), **_headers()}
    more = {**_shared(), **_wrong_opcodes(), **_archives(), **_no_checkpoints(), **_lightning()}
    return {**lies, **_endless(valid), **more}


def _lying_tensors() -> dict[str, tuple[bytes, str]]:
    outside, damaged = "reaches outside", "no plain numbers"
    return {
        "stride_past_the_end": (holding(tensor((4,), (2,))), outside),
        "stride_zero": (holding(tensor((HUGE,), (0,))), outside),
        "stride_negative": (holding(tensor((4,), (-1,), 3)), damaged),
        "offset_past_the_end": (holding(tensor((4,), (1,), 1)), outside),
        "offset_negative": (holding(tensor((4,), (1,), -1)), damaged),
        "shape_huge": (holding(tensor((HUGE,), (1,))), outside),
        "shape_overflowing": (holding(tensor((2**62, 2**62), (1, 1))), outside),
        "shape_of_texts": (holding(tensor(("4",), (1,))), damaged),
        "shape_without_strides": (holding(tensor((2, 2), (1,))), damaged),
        "storage_huge": (holding(tensor(payload=legacy(numel=HUGE))), "ends before its data"),
        "storage_negative": (holding(tensor(payload=legacy(numel=-1))), "storage of -1 elements"),
        "storage_of_no_kind": (holding(tensor(payload=legacy(kind="collections.OrderedDict"))), "unknown kind"),
        "payload_in_payload": (
            holding(tensor(payload=dump(Call("torch.storage._load_from_bytes", (legacy(),))))),
            "a file inside a file",
        ),
        "storage_length_lies": (
            legacy().replace(struct.pack("<q", 4) + bytes(16), struct.pack("<q", 5) + bytes(20)),
            "a storage's length does not fit",
        ),
        "payload_of_text": (holding(Call("torch.storage._load_from_bytes", ("text",))), "bytes expected, got str"),
        "array_huge": (
            dump(
                Raw(
                    encode(Call("numpy.core.multiarray._reconstruct", (Ref("numpy.ndarray"), (0,), b"b")))
                    + encode((1, (HUGE,), Call("numpy.dtype", ("f8", False, True)), False, b"12345678"))
                    + b"b"
                )
            ),
            "cannot reshape",
        ),
    }


def _endless(valid: Call) -> dict[str, tuple[bytes, str]]:
    settings = laughs(60, lambda one: [one, one]).code
    modules = laughs(20, lambda one: network({}, {"a": one, "b": one})).code
    pairs = b"](" + b"(K\x01Nt" * 20_000 + b"e\x94"
    copies = b"ccollections\nOrderedDict\n(j\x00\x00\x00\x00tR0" * 5_000
    key = encode("a" * 150)
    looped = Raw(b"}\x94" + encode("a") + encode(network({}, get(0))) + b"s")
    return {
        "laughs_as_key": (dump(Raw(b"}" + laughs(60, lambda one: (one, one)).code + b"Ns")), "tuple as a key"),
        "laughs_as_settings": (
            dump(Raw(settings + b"0" + encode({"expansion_cfg": get(60), "G_ema": valid}))),
            "settings nest without end",
        ),
        "laughs_as_modules": (dump(Raw(modules + b"0" + encode({"G_ema": get(20)}))), "no known generator"),
        "module_in_itself": (dump({"G_ema": network({}, looped)}), "no known generator"),
        "lists_nested_deeply": (b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".", "no known generator"),
        "steps_without_end": (b"\x80\x04" + b"N0" * 2_000_000 + b"N.", "far more steps"),
        "names_without_end": (b"\x80\x04" + key + b"\x940}" + b"h\x00}" * 99_000 + b"s" * 99_000 + b".", "no known"),
        "copies_without_end": (b"\x80\x04" + pairs + copies + b".", "far more steps"),
    }


def _foreign_values() -> dict[str, tuple[bytes, str]]:
    """What would take for ever to print, compare or hash, in every place where a number or a text belongs."""
    endless, long = laughs(60, lambda one: [one, one]), Raw(b"\x8b" + struct.pack("<i", 8_000) + b"\x7f" * 8_000)
    array = Raw(
        encode(Call("numpy.core.multiarray._reconstruct", (Ref("numpy.ndarray"), (0,), b"b")))
        + encode((1, (2,), Call("numpy.dtype", ("f8", False, True)), False, bytes(16)))
        + b"b"
    )
    magic, kind = dump(0x1950A86A20F9469CFC6C), Ref("torch.FloatStorage")

    def stored_in(*identity: Any) -> bytes:
        return legacy(value=Storage(identity))

    files: dict[str, tuple[bytes, str]] = {}
    for name, value in {"laughs": endless, "long": long, "array": array}.items():
        named = {"g_ema": value, "style.1.weight": 1, "conv1.conv.weight": 1}
        files |= {
            f"{name}_as_file": (dump(value), "no known generator"),
            f"{name}_as_keys": (legacy(keys=value), "list of storages"),
            f"{name}_as_key": (legacy(keys=[value]), "list of storages"),
            f"{name}_as_version": (magic + dump(value), "unknown version"),
            f"{name}_as_magic": (holding(tensor(payload=dump(value))), "no torch file"),
            f"{name}_as_storage": (stored_in("storage", value, "0", "cpu", 4, None), "unknown kind"),
            f"{name}_as_storage_kind": (stored_in(value, kind, "0", "cpu", 4), "unknown kind"),
            f"{name}_as_storage_key": (stored_in("storage", kind, value, "cpu", 4), "unknown kind"),
            f"{name}_as_storage_size": (stored_in("storage", kind, "0", "cpu", value), "elements"),
            f"{name}_as_storage_view": (stored_in("storage", kind, "0", "cpu", 4, value), "unknown kind"),
            f"{name}_as_class": (stored_in("module", value, "file", "source"), "damaged"),
            f"{name}_as_shape": (holding(tensor((value,), (1,))), "no plain numbers"),
            f"{name}_as_name": (dump({"G_ema": network({"a\nb": value})}), "no known generator"),
            f"{name}_as_parameters": (dump({"G_ema": network(value)}), "no known generator"),
            f"{name}_as_modules": (dump({"G_ema": network({}, {"synthesis": value})}), "no known generator"),
            f"{name}_as_state": (dump(named), "no known generator"),
        }
    return files


def _shared() -> dict[str, tuple[bytes, str]]:
    """Small files that would grow by what they use many times."""
    payload = legacy(2**18, bytes(2**20))
    load = Call("torch.storage._load_from_bytes", (get(0),))
    often = b"(" + encode(load) * 5_000 + b"l"
    text = b"(" + encode(Call("_codecs.encode", (get(0), "latin1"))) * 5_000 + b"l"
    wide = b"(" + b"N" * 200_000 + b"t\x94" + b"(" + (encode(Ref("torch.device")) + get(0).code + b"R") * 50_000 + b"l"
    return {
        "payload_many_times": (dump(Raw(encode(payload) + b"\x94" + often)), "more values than the file has bytes"),
        "text_many_times": (dump(Raw(encode("x" * 2**20) + b"\x94" + text)), "more values than the file has bytes"),
        "arguments_many_times": (dump(Raw(wide)), "far more steps"),
    }


def _wrong_opcodes() -> dict[str, tuple[bytes, str]]:
    beyond = "ends before its data"
    return {
        "bytes_huge": (b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"x", beyond),
        "bytes_beyond_64_bit": (b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"x", "damaged"),
        "text_huge": (b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"x", beyond),
        "integer_huge": (b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"x", beyond),
        "integer_negative_length": (b"\x80\x04\x8b" + struct.pack("<i", -5) + b"x", "damaged"),
        "frame_huge": (b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b"N.", "no known generator"),
        "memo_index_huge": (b"\x80\x04Nr\xff\xff\xff\x7f.", "no known generator"),
        "memo_missing": (b"\x80\x04j\xff\xff\xff\x7f.", "damaged"),
        "stack_empty": (b"\x80\x04R.", "damaged"),
        "mark_misplaced": (b"\x80\x04(Na.", "damaged"),
        "extension": (b"\x80\x04\x82\x01.", "no checkpoint needs"),
        "state_for_a_class": (dump(Raw(encode(Ref("collections.OrderedDict")) + encode({"pop": 1}) + b"b")), "damaged"),
        "state_for_a_tensor": (dump(Raw(encode(tensor()) + encode({"data": 1}) + b"b")), "damaged"),
        "call_of_a_type": (dump(Call("torch.FloatStorage", (HUGE,))), "no function"),
        "call_of_data": (dump(Raw(encode({}) + encode(()) + b"R")), "damaged"),
        "tensorflow": (dump(Call("dnnlib.tflib.network.Network")), "TensorFlow"),
    }


def _archives() -> dict[str, tuple[bytes, str]]:
    members = {"archive/data.pkl": dump({"g_ema": {}}), "archive/data/0": bytes(16)}
    held = Storage(("storage", Ref("torch.FloatStorage"), "0", "cpu", HUGE))
    kind, other = (Storage(("storage", Ref(f"torch.{n}Storage"), "0", "cpu", 4)) for n in ("Float", "Int"))
    huge = Call("torch._utils._rebuild_tensor_v2", (held, 0, (HUGE,), (1,), False, None))
    return {
        "zip_bomb": (archive({"a/data.pkl": bytes(2**26)}, zipfile.ZIP_DEFLATED), "compressed"),
        "zip_storage_huge": (archive(members | {"archive/data.pkl": dump(huge)}), "the archive holds 16"),
        "zip_of_another_machine": (archive(members | {"archive/byteorder": b"big"}), "big-endian"),
        "zip_order_of_a_megabyte": (archive(members | {"archive/byteorder": bytes(2**20)}), "big-endian"),
        "zip_storage_of_two_kinds": (archive(members | {"archive/data.pkl": dump([kind, other])}), "two kinds at once"),
        "zip_size_lies": (_lying(archive(members)), "oversized"),
        "zip_without_pickle": (archive({"readme.txt": b"hello"}), "not written by torch.save"),
        "zip_truncated": (archive(members)[:60], "zip archive is damaged"),
    }


def _headers() -> dict[str, tuple[bytes, str]]:
    config = {"img_resolution": 8, "channels": [512, 512], "z_dim": 4, "w_dim": 4, "mapping_layers": 1}
    nested = {"format": "domain-explorer", "version": "1", "generator": "[" * 100_000}
    past = {"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}
    nothing = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    odd = {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}
    other = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    return {
        "header_huge": (struct.pack("<Q", 2**31) + b'{"a":', "announces"),
        "header_of_no_json": (struct.pack("<Q", 5) + b"{oops", "safetensors structure is damaged"),
        "header_nested": (struct.pack("<Q", 100_005) + b'{"a":' + b"[" * 100_000, "safetensors structure is damaged"),
        "header_past_the_end": (safetensors(past), "safetensors structure is damaged"),
        "header_of_many_tensors": (safetensors({f"a{n}": nothing for n in range(20_001)}), "at most 20,000 are read"),
        "header_of_odd_numbers": (safetensors({"a": odd}, bytes(4)), "'F8_E4M3', which are not read"),
        "header_of_odd_names": (safetensors({"a\n\x1b[31m": other["a"]}, bytes(4)), "is no tensor's name"),
        "header_of_a_long_shape": (safetensors({"a": other["a"] | {"shape": [1] * 100_000}}, bytes(4)), "StyleGAN2"),
        "header_of_another_model": (safetensors(other, bytes(4)), "StyleGAN2"),
        "config_huge": (native(config | {"channels": [10**6, 10**6]}), "missing"),
        "config_beyond_memory": (native(config | {"channels": [2**30, 2**30], "w_dim": 2**30}), "impossible size"),
        "config_of_endless_layers": (native(config | {"mapping_layers": 2**30}), "mapping layers"),
        "config_of_huge_resolution": (native(config | {"img_resolution": 2**20, "channels": [1] * 19}), "px"),
        "config_of_texts": (native(config | {"channels": "512"}), "channels must be"),
        "config_unknown": (native(config | {"__class__": "os"}), "unknown settings"),
        "config_nested": (safetensors({"__metadata__": nested}), "lacks a JSON object"),
    }


def _no_checkpoints() -> dict[str, tuple[bytes, str]]:
    hollow = tensor((1, 4, 0, 3, 3), (1, 1, 1, 1, 1))
    return {
        "tensors_without_elements": (dump({"style.1.weight": hollow, "conv1.conv.weight": hollow}), "incomplete"),
        "empty": (b"", "empty"),
        "html": (b"<!DOCTYPE html><html>quota exceeded</html>", "web page"),
        "lfs_pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        "noise": (bytes(range(255, 0, -1)) * 10, "no checkpoint"),
        "only_a_number": (dump(3), "no known generator"),
    }


def lightning(changes: dict[str, Any] | None = None, **beside: Any) -> bytes:
    """A checkpoint of pytorch-lightning that begins as a diffusion autoencoder does."""
    shapes = {
        "input_blocks.0.0.weight": (2, 3, 3, 3),
        "encoder.input_blocks.0.0.weight": (2, 3, 3, 3),
        "encoder.out.3.weight": (4, 2, 1, 1),
        "time_embed.time_embed.0.weight": (2, 2),
        "out.0.weight": (2,),
    }
    state: dict[str, Any] = {name: stored(np.zeros(shape, np.float32)) for name, shape in shapes.items()}
    state |= changes or {}
    return dump({"state_dict": {f"ema_model.{name}": value for name, value in state.items()}, **beside})


def _lightning() -> dict[str, tuple[bytes, str]]:
    levels = {f"{path}.{n}.0.in_layers.2.weight": stored(np.zeros((2, 2, 3, 3), np.float32)) for path, n in LEVELS}
    endless = {f"input_blocks.{n}.0.in_layers.2.weight": stored(np.zeros((2,), np.float32)) for n in range(500)}
    hollow = stored(np.zeros((2, 0), np.float32))
    return {
        "lightning_without_levels": (lightning(), "do not make whole levels"),
        "lightning_of_endless_blocks": (lightning(endless), "do not make whole levels"),
        "lightning_without_widths": (lightning({"time_embed.time_embed.0.weight": hollow}), "no shape that it could"),
        "lightning_of_huge_pictures": (lightning(levels, hyper_parameters={"img_size": 2**40}), "px: it is damaged"),
        "lightning_of_nested_sizes": (
            lightning(levels, hyper_parameters={"img_size": [[2]]}),
            "how large its pictures",
        ),
        "lightning_of_huge_heads": (
            lightning(
                levels, hyper_parameters={"img_size": 4, "net_beatgans_attn_head": laughs(60, lambda one: [one] * 2)}
            ),
            "heads must be positive",
        ),
        "lightning_noise_reaches_outside": (lightning(x_T=tensor((1, 3, HUGE, HUGE), (0, 0, 0, 0))), "reaches outside"),
    }


LEVELS = (("input_blocks", 1), ("encoder.input_blocks", 1), ("output_blocks", 0), ("output_blocks", 1))


def _lying(zipped: bytes) -> bytes:
    """The archive with two gigabytes announced for its last member, in the directory at its end."""
    start = zipped.rindex(b"PK\x01\x02") + 20
    return zipped[:start] + 2 * struct.pack("<I", 2**31) + zipped[start + 8 :]


def main(folder: Path) -> None:
    """Load every file of `folder` within a gigabyte more than the process has, and say what came of it."""
    from explorer.weights import load

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + GIGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in sorted(folder.iterdir()):
        start = time.perf_counter()
        try:
            load(path)
            error, message = "", "loaded"
        except Exception as caught:
            error, message = type(caught).__name__, str(caught)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([path.name, error, message, seconds, peak]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

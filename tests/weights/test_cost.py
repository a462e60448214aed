"""What a generator costs to show is known from its sizes alone; what costs too much is refused before it is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from generators import make_generator
from hostile import dump
from safetensors.torch import save_file
from samples import tiny_checkpoint, tiny_network, tiny_rosinality

from explorer.networks import FAMILIES
from explorer.weights import Checkpoint, CheckpointError, MemoryShortageError, cost, load
from explorer.weights.cost import engine_bytes

MEASURE = """
import json, os, sys
from explorer import Edit, Engine
from explorer.networks import FAMILIES
from explorer.weights import Checkpoint

def status(line):
    return next(int(row.split()[1]) * 1024 for row in open("/proc/self/status") if row.startswith(line))

def show(config, family="stylegan2"):
    kind = FAMILIES[family]
    generator = kind(kind.Config(**config)).eval().requires_grad_(False)
    Engine(Checkpoint(generator), "cpu", "fp32").render(Edit())

show({"img_resolution": 8, "channels": [4, 4], "z_dim": 8, "w_dim": 8, "mapping_layers": 1})
for name, (family, config) in json.loads(sys.argv[1]).items():
    if os.fork():
        os.wait()
        continue
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    show(config, family)
    print(json.dumps([name, status("VmHWM") - before]), flush=True)
    os._exit(0)
"""
SMALL: dict[str, Any] = {"z_dim": 32, "w_dim": 32, "mapping_layers": 1}
ALIAS_FREE: dict[str, Any] = SMALL | {"resolutions": [16], "layers": [5], "channels": [8] * 5}
WIDE3: dict[str, Any] = SMALL | {"resolutions": [32], "layers": [8], "channels": [256] * 8}
COSTLY: dict[str, tuple[str, dict[str, Any]]] = {
    "large pictures": ("stylegan2", SMALL | {"img_resolution": 1024, "channels": [4] * 9}),
    "wide W": ("stylegan2", SMALL | {"img_resolution": 8, "channels": [8, 8], "w_dim": 1500}),
    "many classes": ("stylegan2", SMALL | {"img_resolution": 8, "channels": [8, 8], "c_dim": 8000}),
    "wide layers": ("stylegan2", SMALL | {"img_resolution": 32, "channels": [256] * 4}),
    "alias-free, large pictures": ("stylegan3", ALIAS_FREE | {"resolutions": [512], "channels": [32] * 5}),
    "alias-free, many classes": ("stylegan3", ALIAS_FREE | {"c_dim": 8000, "table": 64}),
    "alias-free, wide layers": ("stylegan3", WIDE3),
}


@pytest.fixture(scope="module")
def taken() -> dict[str, int]:
    """What every engine took at its most, each in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, json.dumps(COSTLY)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in run.stdout.splitlines())


@pytest.mark.parametrize("name", COSTLY)
def test_an_engine_takes_no_more_than_was_said_and_not_far_less(name: str, taken: dict[str, int]) -> None:
    family, config = COSTLY[name]
    said = engine_bytes(FAMILIES[family](FAMILIES[family].Config(**config)))
    assert taken[name] < said
    assert said - cost.BASE < 3 * taken[name]


def test_a_generator_beyond_the_callers_limit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tiny_checkpoint().save(tmp_path / "tiny.safetensors")
    needed = engine_bytes(load(path).generator)
    assert load(path, limit=needed).generator.img_resolution == 8
    with pytest.raises(CheckpointError, match=r"about 0\.1 GB of memory, 0\.0 GB are allowed"):
        load(path, limit=needed // 3)


@pytest.mark.parametrize("kind", ["nvidia", "rosinality", "bare"])
def test_the_callers_limit_counts_for_every_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "bare":
        save_file(tiny_checkpoint().generator.state_dict(), path)
    else:
        path.write_bytes(dump({"G_ema": tiny_network()}) if kind == "nvidia" else tiny_rosinality())
    load(path)
    with pytest.raises(CheckpointError, match=r"0\.0 GB are allowed here"):
        load(path, limit=10**6)


def test_a_generator_beyond_the_machine_is_refused_before_a_value_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is made small by hand: no test can bring a file that is too large for every machine."""
    path = tiny_checkpoint().save(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("explorer.weights.checkpoint.machine_bytes", lambda: 50_000_000)
    monkeypatch.setattr("explorer.weights.checkpoint.read_finite", None)
    with pytest.raises(CheckpointError, match=r"0\.1 GB of memory, this machine has 0\.1 GB free"):
        load(path)


def test_a_containers_limit_counts_as_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "CGROUP", tmp_path / "memory.max")
    free = cost.machine_bytes()
    (tmp_path / "memory.max").write_text("max\n")
    assert cost.machine_bytes() > free / 2
    (tmp_path / "memory.max").write_text("1000\n")
    assert cost.machine_bytes() < 1000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"img_channels": 4}, r"4 channels \(RGB with transparency\)"),
        ({"img_channels": 2}, "2 channels"),
        ({"conv_clamp": -1.0}, "clamped to -1.0"),
        ({"conv_clamp": 0.0}, "clamped to 0.0"),
        ({"w_dim": 4097, "z_dim": 1, "mapping_layers": 1, "channels": (1, 1, 1)}, "codes have 4,097 dimensions"),
    ],
    ids=str,
)
def test_what_could_be_read_but_not_shown_is_refused_when_it_is_read(changes: dict, words: str, tmp_path: Path) -> None:
    path = Checkpoint(make_generator(**changes)).save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load(path)


def test_a_pickle_that_does_not_fit_into_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04 and nothing that can be read")
    os.truncate(path, 3 * 10**9)  # takes no room on the disk
    monkeypatch.setattr("explorer.weights.checkpoint.machine_bytes", lambda: 10**9)
    with pytest.raises(
        MemoryShortageError, match=r"a\.pkl: reading it takes about 3\.0 GB .* this machine has 1\.0 GB free"
    ):
        load(path)


@pytest.mark.parametrize("field", ["channels", "img_channels", "w_dim"])
def test_sizes_of_zero_are_refused(field: str, tmp_path: Path) -> None:
    generator = make_generator()
    config = asdict(generator.config) | {field: [0, 0, 0] if field == "channels" else 0}
    metadata = {"format": "domain-explorer", "version": "1", "meta": "{}", "generator": json.dumps(config)}
    save_file({f"generator.{k}": v for k, v in generator.state_dict().items()}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"positive|no channels|0 channels"):
        load(tmp_path / "a.safetensors")


def test_a_generator_of_pictures_that_are_not_square_is_named(tmp_path: Path) -> None:
    state = make_generator().state_dict()
    state["synthesis.b4.const"] = state["synthesis.b4.const"][..., :2].contiguous()
    save_file(state, tmp_path / "tall.safetensors")
    with pytest.raises(CheckpointError, match="not square, they begin with 2 x 4 pixels"):
        load(tmp_path / "tall.safetensors")

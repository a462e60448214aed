"""Any known names are read from any container, behind any prefix, inside of anything and beside anything."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import make_generator
from hostile import dump
from safetensors.torch import save_file
from samples import FIXTURES, rosinality_state, tiny_checkpoint, tiny_network
from torch import Tensor, nn

from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2
from explorer.weights import Checkpoint, CheckpointError, load

State = dict[str, Tensor]


def zip_layout(data: Any, path: Path) -> None:
    torch.save(data, path)


def legacy(data: Any, path: Path) -> None:
    torch.save(data, path, _use_new_zipfile_serialization=False)


def pickled(data: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(data, protocol=4))


def arrays(data: Any, path: Path) -> None:
    """As who has no PyTorch at hand keeps them."""

    def numpy(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.numpy()
        return {key: numpy(part) for key, part in value.items()} if isinstance(value, dict) else value

    pickled(numpy(data), path)


def safetensors(data: Any, path: Path) -> None:
    save_file({name: value.contiguous().clone() for name, value in data.items()}, path)


CONTAINERS = {call.__name__: call for call in (zip_layout, legacy, pickled, arrays, safetensors)}
NESTINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "g_ema": lambda state: {"g_ema": state, "args": None},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "opts": {"lr": 0.1}},
    "deep": lambda state: {"snapshot": {"models": [{"netG_ema": {"params": state}}]}},
    "in a tuple": lambda state: (3, state),
}
PREFIXES = ("", "module.", "decoder.", "G_ema.", "generator.module.", "_orig_mod.")


def nvidia() -> State:
    return tiny_checkpoint().generator.state_dict()


def rosinality() -> State:
    return rosinality_state()["g_ema"]


def native() -> State:
    checkpoint = tiny_checkpoint()
    assert checkpoint.discriminator is not None
    states = {"generator": checkpoint.generator.state_dict(), "discriminator": checkpoint.discriminator.state_dict()}
    return {f"{role}.{name}": value for role, state in states.items() for name, value in state.items()}


def stylegan3() -> State:
    """Without attributes only published frequencies are known, which the fixture has."""
    return load(FIXTURES / "sg3t32.pkl").generator.state_dict()


LAYOUTS = {"nvidia": nvidia, "rosinality": rosinality, "native": native, "stylegan3": stylegan3}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    path = tmp_path_factory.mktemp("plain") / "a.pt"
    torch.save(rosinality_state()["g_ema"], path)
    known = {"nvidia": tiny_checkpoint(), "native": tiny_checkpoint(), "rosinality": load(path)}
    return known | {"stylegan3": load(FIXTURES / "sg3t32.pkl")}


def same(a: Checkpoint, b: Checkpoint) -> bool:
    values = b.generator.state_dict()
    return a.generator.config == b.generator.config and all(
        torch.equal(value, values[name]) for name, value in a.generator.state_dict().items()
    )


def saved(path: Path, data: Any) -> Path:
    torch.save(data, path)
    return path


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_is_read_from_any_container_behind_any_prefix(
    layout: str, container: str, prefix: str, expected: dict[str, Checkpoint], tmp_path: Path
) -> None:
    CONTAINERS[container]({f"{prefix}{name}": value for name, value in LAYOUTS[layout]().items()}, tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert same(loaded, expected[layout])
    assert (loaded.discriminator is not None) == (layout == "native")
    where = f"{prefix}generator" if layout == "native" else prefix.removesuffix(".")
    assert loaded.meta["source"]["network"] == where


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("container", ["zip_layout", "legacy", "pickled", "arrays"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_is_read_inside_of_anything(
    layout: str, container: str, nesting: str, expected: dict[str, Checkpoint], tmp_path: Path
) -> None:
    CONTAINERS[container](NESTINGS[nesting](LAYOUTS[layout]()), tmp_path / "a")
    assert same(load(tmp_path / "a"), expected[layout])


@pytest.mark.parametrize("layout", ["nvidia", "rosinality", "stylegan3"])
def test_what_is_not_needed_is_in_nobodys_way(layout: str, expected: dict[str, Checkpoint], tmp_path: Path) -> None:
    state = {f"decoder.{name}": value for name, value in LAYOUTS[layout]().items()}
    loop: dict[str, Any] = {"a": 1}
    loop["itself"] = loop
    beside = {
        "encoder.input_layer.0.weight": torch.full((4, 3, 3, 3), float("nan")),
        "decoder.extra\n\x1b[31m": torch.zeros(3),
        "x" * 300: torch.zeros(3),
        "mapping.other": torch.zeros(2, 2),
        "counts": torch.zeros(3, dtype=torch.complex64).real.int(),
    }
    others = {
        "D": torch.zeros(1),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1}]},
        "loop": loop,
        "history": [float(n) for n in range(1000)],
        "names": np.array(["a", "b"]),
        3: None,
    }
    loaded = load(saved(tmp_path / "a.pt", {"state_dict": state | beside, **others}))
    assert same(loaded, expected[layout])


@pytest.mark.parametrize(
    ("plain", "average"),
    [("G", "G_ema"), ("g", "g_ema"), ("generator", "generator_ema"), ("G", "Gs"), ("model.G", "model.G_running")],
)
def test_the_average_is_taken_before_the_plain_network(plain: str, average: str, tmp_path: Path) -> None:
    networks = {plain: make_generator(1), average: make_generator(2)}
    flat = {f"{role}.{name}": value for role, net in networks.items() for name, value in net.state_dict().items()}
    nested = {role: net.state_dict() for role, net in networks.items()}
    for data in (flat, nested):
        assert same(load(saved(tmp_path / "a.pt", data)), Checkpoint(networks[average]))


def test_of_two_networks_the_one_further_out_is_taken(tmp_path: Path) -> None:
    inner, outer = make_generator(1).state_dict(), make_generator(2).state_dict()
    flat = {f"history.G.{name}": value for name, value in inner.items()} | {f"G.{name}": v for name, v in outer.items()}
    for data in (flat, {"history": {"G": inner}, "G": outer}):
        assert same(load(saved(tmp_path / "a.pt", data)), Checkpoint(make_generator(2)))


@pytest.mark.parametrize("place", ["", "state_dict.", "state_dict.decoder."])
def test_the_mean_of_w_is_found_beside_the_network_or_further_out(place: str, tmp_path: Path) -> None:
    data = rosinality_state()
    state = {f"decoder.{name}": value for name, value in data["g_ema"].items()}
    whole: dict[str, Any] = {"state_dict": state} if not place else {"state_dict": state, "latent_avg": torch.ones(1)}
    target, name = (whole, "latent_avg") if not place else (state, f"{place.partition('.')[2]}latent_avg")
    target[name] = data["latent_avg"]
    loaded = load(saved(tmp_path / "a.pt", whole))
    assert torch.equal(loaded.generator.mean, data["latent_avg"].flatten())
    assert "w_avg" not in loaded.meta["source"]


def test_the_discriminator_of_the_same_snapshot_is_taken(tmp_path: Path) -> None:
    def critic(seed: int) -> State:
        torch.manual_seed(seed)
        return Discriminator(DiscriminatorConfig(16, (4, 4, 4))).state_dict()

    data = {
        "first": {"discriminator": critic(1)},
        "second": {"discriminator": critic(2), "G_ema": make_generator().state_dict()},
    }
    loaded = load(saved(tmp_path / "a.pt", data)).discriminator
    assert loaded is not None
    assert torch.equal(loaded.state_dict()["b4.out.weight"], critic(2)["b4.out.weight"])
    assert loaded.config.mbstd_group_size == 4


class Persistent(nn.Module):
    """A module that pickles as NVIDIA's do: by a function's name, with its source and its state."""

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "version": 6, "module_src": "", "class_name": "G", "state": self.__dict__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


def persistent(module: nn.Module, **attributes: Any) -> Persistent:
    copy = Persistent()
    for name, parameter in module._parameters.items():
        copy.register_parameter(name, parameter)
    for name, buffer in module._buffers.items():
        copy.register_buffer(name, buffer)
    for name, child in module.named_children():
        copy.add_module(name, persistent(child, conv_clamp=256) if name == "conv1" else persistent(child))
    copy.__dict__.update(attributes)
    return copy


@pytest.fixture
def persistence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that such pickles name: it must be there to write them."""
    package: Any = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None: ...

    _reconstruct_persistent_obj.__module__ = package.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    package._reconstruct_persistent_obj = _reconstruct_persistent_obj
    monkeypatch.setitem(sys.modules, "torch_utils", types.ModuleType("torch_utils"))
    monkeypatch.setitem(sys.modules, package.__name__, package)


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "alone": lambda network: network,
    "DataParallel": nn.DataParallel,
    "ModuleDict": lambda network: nn.ModuleDict({"G_ema": network, "other": nn.Linear(2, 2)}),
    "dictionary": lambda network: {"epoch": 1, "generator": network},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("container", ["zip_layout", "legacy", "pickled"])
def test_a_whole_module_is_a_generator(container: str, wrapper: str, persistence: None, tmp_path: Path) -> None:
    CONTAINERS[container](WRAPPERS[wrapper](persistent(tiny_checkpoint().generator)), tmp_path / "a.pt")
    loaded = load(tmp_path / "a.pt")
    assert loaded.generator.config.conv_clamp == 256
    for name, value in tiny_checkpoint().generator.state_dict().items():
        assert torch.equal(loaded.generator.state_dict()[name], value)


def test_networks_may_share_a_part_or_be_the_same(persistence: None, tmp_path: Path) -> None:
    plain, average = persistent(make_generator(1)), persistent(make_generator(2))
    average.add_module("mapping", plain.get_submodule("mapping"))
    for networks in ({"G": plain, "G_ema": average}, {"G": average, "G_ema": average}):
        loaded = load(saved(tmp_path / "a.pt", networks))
        assert loaded.meta["source"]["network"] == "G_ema"
        state = loaded.generator.state_dict()
        assert torch.equal(state["mapping.fc0.weight"], make_generator(1).mapping.state_dict()["fc0.weight"])
        assert torch.equal(state["synthesis.b4.const"], make_generator(2).synthesis.state_dict()["b4.const"])


def test_a_single_pickled_network_is_a_generator(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(dump(tiny_network()))
    assert same(load(tmp_path / "a.pkl"), tiny_checkpoint())


def test_names_of_no_known_layout_are_said_to_be_unknown(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it holds data but no known generator; expected a safetensors file"):
        load(saved(tmp_path / "a.pt", {"state_dict": {"conv1.weight": torch.zeros(3)}}))


@pytest.mark.parametrize("layout", ["nvidia", "rosinality"])
def test_a_tensor_of_the_generator_that_is_unknown_is_refused(layout: str, tmp_path: Path) -> None:
    """It would be missing in every picture."""
    state = LAYOUTS[layout]()
    state["synthesis.b8.attention.weight" if layout == "nvidia" else "convs.0.attention.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"attention\.weight is unknown"):
        load(saved(tmp_path / "a.pt", {"g_ema": state}))


def test_a_generator_trained_here_is_read_from_its_bare_state_dict(tmp_path: Path) -> None:
    generator: StyleGAN2 = make_generator(architecture="resnet", c_dim=3, use_noise=False)
    file = io.BytesIO()
    torch.save({f"module.{name}": value for name, value in generator.state_dict().items()}, file)
    (tmp_path / "a").write_bytes(file.getvalue())
    assert same(load(tmp_path / "a"), Checkpoint(generator))

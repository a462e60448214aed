"""Every known format gives the outputs of the reference implementation."""

from __future__ import annotations

import io
import pickle
import zipfile
from argparse import Namespace
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from generators import make_generator, stylegan2
from hostile import Call, dump, network, stored, tree
from safetensors.torch import save_file
from samples import (
    FIXTURES,
    NVIDIA,
    reference,
    relative_error,
    rosinality_bytes,
    tiny_checkpoint,
    tiny_network,
    tiny_rosinality,
)

from explorer.latents import compose, factorize, project
from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.nvidia import domain_names
from explorer.weights.torchfile import read_stream

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def rosinality(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rosinality") / "a file whose name says nothing"
    path.write_bytes(rosinality_bytes())
    return path


def labels(checkpoint: Checkpoint, expected: dict[str, torch.Tensor]) -> torch.Tensor | None:
    return expected["c"] if checkpoint.generator.c_dim else None


def state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return checkpoint.generator.state_dict()


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return a.generator.config == b.generator.config and all(
        torch.equal(value, state(b)[name]) for name, value in state(a).items()
    )


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", NVIDIA)
def test_nvidia_mapping_equals_the_reference(name: str) -> None:
    checkpoint, expected = load(FIXTURES / f"{name}.pkl"), reference(name)
    mapping, c = stylegan2(checkpoint.generator).mapping, labels(checkpoint, expected)
    cut = mapping(expected["z"], c, truncation_psi=0.5, truncation_cutoff=4)
    assert relative_error(mapping(expected["z"], c), expected["ws"]) < TOLERANCE
    assert relative_error(mapping(expected["z"], c, truncation_psi=0.7), expected["ws_psi07"]) < TOLERANCE
    assert relative_error(cut, expected["ws_psi05_cut4"]) < TOLERANCE


@pytest.mark.parametrize("name", NVIDIA)
def test_nvidia_synthesis_equals_the_reference(name: str) -> None:
    synthesis = stylegan2(load(FIXTURES / f"{name}.pkl").generator).synthesis
    expected = reference(name)
    assert relative_error(synthesis(expected["ws"]), expected["img_const"]) < TOLERANCE
    assert relative_error(synthesis(expected["ws"], noise_mode="none"), expected["img_none"]) < TOLERANCE
    assert relative_error(synthesis(expected["ws_psi07"]), expected["img_psi07"]) < TOLERANCE


@pytest.mark.parametrize("name", NVIDIA)
def test_nvidia_discriminator_equals_the_reference(name: str) -> None:
    checkpoint, expected = load(FIXTURES / f"{name}.pkl"), reference(name)
    assert checkpoint.discriminator is not None
    logits = checkpoint.discriminator(expected["img_const"], labels(checkpoint, expected))
    assert relative_error(logits, expected["d_logits"]) < TOLERANCE


@pytest.mark.parametrize("name", NVIDIA)
def test_factorized_basis_equals_the_reference_up_to_signs(name: str) -> None:
    """The reference is a float32 decomposition: two of them differ by up to 3e-5, ours is computed in float64."""
    basis, expected = factorize(load(FIXTURES / f"{name}.pkl").generator), reference(name)["basis"]
    assert relative_error(basis * (basis * expected).sum(dim=0).sign(), expected) < 5e-5


def test_expanded_checkpoint_equals_the_reference_in_w_and_in_pictures() -> None:
    checkpoint, expected = load(FIXTURES / "expanded32.pkl"), reference("expanded32")
    expansion, generator = checkpoint.expansion, stylegan2(checkpoint.generator)
    assert expansion is not None
    assert torch.equal(expansion.basis, expected["basis"])
    w = expected["ws"][:, 0]
    base = project(w, expansion)
    edits = torch.stack([compose(w, expansion, {domain: 1.0}) for domain in expansion.domains])
    mixed = compose(w, expansion, dict(zip(expansion.domains, (0.5, 1.0, 0.0), strict=True)))
    assert relative_error(base, expected["base_w"]) < TOLERANCE
    assert relative_error(edits, expected["edit_w"]) < TOLERANCE
    assert relative_error(mixed, expected["compose_w"]) < TOLERANCE
    for codes, images in ((base, "base_img"), (mixed, "compose_img"), (edits[1], "edit_img")):
        target = expected[images][1] if images == "edit_img" else expected[images]
        ws = codes[:, None].repeat(1, generator.num_ws, 1)
        assert relative_error(generator.synthesis(ws), target) < TOLERANCE


def test_expanded_checkpoint_carries_domains_and_the_tasks_that_made_them() -> None:
    checkpoint = load(FIXTURES / "expanded32.pkl")
    assert checkpoint.expansion is not None
    assert checkpoint.expansion.domains == ("sketch", "tolkien elf", "zombie")
    assert (checkpoint.expansion.dims, checkpoint.expansion.distance) == ((63, 62, 60), 20.0)
    assert checkpoint.meta["expansion_cfg"]["tasks"][0]["args"]["source_text"] == "photo"
    assert checkpoint.meta["training_set_kwargs"]["resolution"] == 32


def test_domain_names_are_human_and_distinct() -> None:
    tasks = [
        {"type": "NADA", "dimension": 9, "args": {"target_text": "sketch"}},
        {"type": "NADA", "dimension": 8, "args": {"target_text": "sketch"}},
        {"type": "MyStyle", "dimension": 7, "args": {"person_name": "Ada"}},
        {"type": "Other", "dimension": 6, "args": None},
    ]
    assert domain_names(tasks, [9, 8, 7, 6, 5]) == ["sketch", "sketch (8)", "Ada", "Other 6", "domain 5"]


def test_rosinality_equals_the_reference(rosinality: Path) -> None:
    generator, expected = stylegan2(load(rosinality).generator), reference("rosinality8")
    assert relative_error(generator.mapping(expected["z"]), expected["latents"]) < TOLERANCE
    truncated = generator.mapping(expected["z"], truncation_psi=0.7)
    assert relative_error(truncated, expected["latents_psi07"]) < TOLERANCE
    assert relative_error(generator.synthesis(expected["latents"]), expected["img"]) < TOLERANCE
    assert relative_error(generator.synthesis(expected["latents_psi07"]), expected["img_psi07"]) < TOLERANCE


def test_rosinality_sizes_follow_from_shapes(rosinality: Path) -> None:
    config = load(rosinality).generator.config
    assert (config.img_resolution, config.w_dim, config.mapping_layers, config.channels) == (8, 32, 2, (512, 512))


def test_rosinality_convolutions_carry_their_run_time_scale(rosinality: Path) -> None:
    stored = torch.load(rosinality, weights_only=True)["g_ema"]
    generator = load(rosinality).generator.state_dict()
    conv, torgb = stored["convs.0.conv.weight"][0].float(), stored["to_rgbs.0.conv.weight"][0].float()
    assert relative_error(generator["synthesis.b8.conv0.weight"], conv / (512 * 9) ** 0.5) < 1e-6
    assert torch.equal(generator["synthesis.b8.torgb.weight"], torgb)


def test_both_layouts_of_torch_save_are_the_same_checkpoint(tmp_path: Path) -> None:
    new = load(written(tmp_path / "new.pt", tiny_rosinality()))
    old = load(written(tmp_path / "old.pt", tiny_rosinality(_use_new_zipfile_serialization=False)))
    assert same(new, old)


def test_rosinality_without_a_mean_gets_the_same_estimate_every_time(tmp_path: Path) -> None:
    data = torch.load(io.BytesIO(tiny_rosinality()), weights_only=True)
    torch.save({"g_ema": data["g_ema"], "args": None}, tmp_path / "a.pt")
    first, second = load(tmp_path / "a.pt"), load(tmp_path / "a.pt")
    assert same(first, second)
    assert first.generator.mean.abs().sum() > 0


def test_format_is_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    disguised = tmp_path / "weights.pkl"
    tiny.save(disguised)
    pickled = written(tmp_path / "weights.safetensors", dump({"G_ema": tiny_network()}))
    assert same(load(disguised), load(pickled))


def test_bare_tensors_with_nvidia_names_load_from_safetensors(tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    save_file(state(tiny), tmp_path / "bare.safetensors", {"data": "cats"})
    loaded = load(tmp_path / "bare.safetensors")
    assert same(loaded, tiny)
    assert loaded.meta["source"]["data"] == "cats"


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"use_noise": False},
        {"c_dim": 3},
        {"img_channels": 1},
        {"resample_filter": (1, 2, 1)},
        {"img_resolution": 32, "channels": (8, 8, 4, 2)},
    ],
    ids=str,
)
def test_nvidia_sizes_follow_from_shapes(changes: dict, tmp_path: Path) -> None:
    generator = make_generator(**{"img_resolution": 8, "channels": (4, 6), **changes})
    loaded = load(written(tmp_path / "a.pkl", dump({"G_ema": tiny_network(generator)})))
    assert same(loaded, Checkpoint(generator))


def test_clamping_and_learning_rate_come_from_attributes(tmp_path: Path) -> None:
    attributes = {"synthesis.b4.conv1": {"conv_clamp": 256}, "mapping.fc0": {"bias_gain": 0.1}}
    config = load(written(tmp_path / "a.pkl", dump({"G_ema": tiny_network(attributes=attributes)}))).generator.config
    assert (config.conv_clamp, config.mapping_lr_multiplier) == (256, 0.1)


def test_the_average_generator_is_preferred_and_the_plain_one_is_enough(tmp_path: Path) -> None:
    average, plain = make_generator(1), make_generator(2)
    both = dump({"G": tiny_network(plain), "G_ema": tiny_network(average)})
    assert same(load(written(tmp_path / "both.pkl", both)), Checkpoint(average))
    alone = dump({"G": tiny_network(plain), "D": None, "G_ema": None})
    assert same(load(written(tmp_path / "alone.pkl", alone)), Checkpoint(plain))


def test_networks_load_for_inference_in_float32(rosinality: Path) -> None:
    for path in (rosinality, FIXTURES / "nvidia_cond16.pkl"):
        checkpoint = load(path)
        for net in filter(None, (checkpoint.generator, checkpoint.discriminator)):
            assert not net.training
            assert {p.dtype for p in net.parameters()} == {torch.float32}
            assert not any(p.requires_grad for p in net.parameters())


def test_containers_of_training_code_are_plain_dictionaries(tmp_path: Path) -> None:
    options = Call("dnnlib.util.EasyDict")
    data = dump({"training_set_kwargs": options, "G_ema": tiny_network(), "augment_pipe": network({})})
    assert load(written(tmp_path / "a.pkl", data)).meta["training_set_kwargs"] == {}


def rosinality_state() -> dict:
    return torch.load(io.BytesIO(rosinality_bytes()), weights_only=True)


def saved(path: Path, data: object) -> Path:
    torch.save(data, path)
    return path


def test_files_from_before_noise_maps_were_kept_get_maps_that_are_always_the_same(tmp_path: Path) -> None:
    data = rosinality_state()
    data["g_ema"] = {name: value for name, value in data["g_ema"].items() if not name.startswith("noises.")}
    path = saved(tmp_path / "old.pt", data)
    once, again = load(path), load(path)
    assert same(once, again)
    assert "drawn with seed 0" in once.meta["source"]["noise"]
    maps = [value for name, value in state(once).items() if name.endswith("noise_const")]
    assert all(abs(float(noise.std()) - 1) < 0.5 for noise in maps)


def test_a_file_that_lacks_some_of_its_noise_maps_is_incomplete(tmp_path: Path) -> None:
    data = rosinality_state()
    del data["g_ema"]["noises.noise_1"]
    with pytest.raises(CheckpointError, match=r"noise_const is missing"):
        load(saved(tmp_path / "a.pt", data))


@pytest.mark.parametrize("shape", [(1, -1), (4, -1), (1, 4, -1)])
def test_a_mean_of_w_that_is_repeated_for_every_row_is_that_mean(shape: tuple[int, ...], tmp_path: Path) -> None:
    data, expected = rosinality_state(), rosinality_state()["latent_avg"].flatten()
    data["latent_avg"] = expected.repeat(4).reshape(1, 4, -1) if len(shape) == 3 else expected.repeat(shape[0], 1)
    loaded = load(saved(tmp_path / "a.pt", data))
    assert torch.equal(loaded.generator.mean, expected)
    assert "w_avg" not in loaded.meta["source"]


@pytest.mark.parametrize(("rows", "read"), [(100, True), (101, False)])
def test_a_mean_of_more_rows_than_any_generator_has_is_not_read(rows: int, read: bool, tmp_path: Path) -> None:
    data = rosinality_state()
    data["latent_avg"] = data["latent_avg"].flatten().repeat(rows, 1)
    assert ("w_avg" not in load(saved(tmp_path / "a.pt", data)).meta["source"]) == read


@pytest.mark.parametrize(
    "change", [lambda mean: torch.randn(4, mean.numel()), lambda mean: mean.flatten()[:5], lambda mean: 3.0]
)
def test_what_is_no_mean_of_w_is_estimated_and_said(change: Callable, tmp_path: Path) -> None:
    data = rosinality_state()
    whole = load(saved(tmp_path / "a.pt", data)).generator.mean
    data["latent_avg"] = change(data["latent_avg"])
    loaded = load(saved(tmp_path / "b.pt", data))
    assert "its latent_avg is no mean of w" in loaded.meta["source"]["w_avg"]
    assert relative_error(loaded.generator.mean, whole) < 0.2


@pytest.mark.parametrize("path", [PurePosixPath("/data/cats"), PureWindowsPath("C:\\cats"), Path("cats")], ids=str)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_paths_of_any_system_in_a_file_are_texts(path: PurePath, protocol: int, tmp_path: Path) -> None:
    data = rosinality_state() | {"args": Namespace(path=path, size=Decimal("1.5"), when=date(2026, 1, 1))}
    torch.save(data, tmp_path / "a.pt", pickle_protocol=protocol)
    assert load(tmp_path / "a.pt").generator.img_resolution == 8
    settings = dump(
        {"G_ema": tiny_network(), "training_set_kwargs": {"path": Call("pathlib.WindowsPath", ("D:\\", "a"))}}
    )
    assert load(written(tmp_path / "a.pkl", settings)).meta["training_set_kwargs"] == {"path": "D:\\/a"}


ARRAYS = [
    np.arange(6.0),
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.eye(3)),
    np.arange(3).astype(">i4"),
    np.float32(2),
]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_of_numpy_are_read_as_every_protocol_writes_them(array: np.ndarray, protocol: int) -> None:
    data = pickle.dumps({"value": array, "again": array}, protocol)
    value = read_stream(io.BytesIO(data), len(data))["value"]
    assert np.array_equal(value, array)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_other_things_than_numbers_keep_nobody_from_the_rest(protocol: int) -> None:
    foreign = {
        "names": np.array(["cat", "dog"]),
        "objects": np.array([{"a": 1}, None], dtype=object),
        "record": np.zeros(2, dtype=[("a", "f4"), ("b", "i8")]),
        "dates": np.array(["2026-01-01"], dtype="M8[D]"),
        "rng": np.random.RandomState(0).get_state(),
        "generator": np.random.default_rng(0),
        "kept": defaultdict(list, a=[1]),
        "count": Counter("aab"),
        "last": deque([1, 2]),
        "fraction": Fraction(1, 3),
        "complex": 1 + 2j,
        "range": range(3),
        "type": torch.float16,
        "good": 3,
    }
    data = pickle.dumps(foreign, protocol)
    value = read_stream(io.BytesIO(data), len(data))
    assert (value["good"], value["count"], value["kept"]) == (3, {"a": 2, "b": 1}, {"a": [1]})


@pytest.mark.parametrize("prefix", ["", "stylegan2_ada.", "src.models.", "third_party.sg3."])
def test_nvidias_persistence_is_known_under_every_path(prefix: str, tmp_path: Path) -> None:
    name = b"torch_utils.persistence\n"
    data = dump({"G_ema": tiny_network()})
    assert name in data
    loaded = load(written(tmp_path / "a.pkl", data.replace(b"c" + name, b"c" + prefix.encode() + name)))
    assert same(loaded, tiny_checkpoint())


@pytest.mark.parametrize(
    ("critic", "why"),
    [
        (network({"weight": stored(np.zeros((2, 2)))}), "it has no b8.conv0.weight"),
        (network({}, {"b4": network(3)}), "it has no b8.conv0.weight"),
        ("diverged", "NaN or infinite"),
        ("of another size", "pictures of 16 px and 3 channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_critic_that_cannot_be_read_keeps_nobody_from_the_generator(critic: object, why: str, tmp_path: Path) -> None:
    if isinstance(critic, str):
        size = (16, (4, 6, 4)) if critic == "of another size" else (8, (4, 6))
        values = Discriminator(DiscriminatorConfig(*size)).state_dict()
        if critic == "diverged":
            values["b4.out.bias"].fill_(float("nan"))
        critic = tree({name: value.numpy() for name, value in values.items()})
    loaded = load(written(tmp_path / "a.pkl", dump({"G_ema": tiny_network(), "D": critic})))
    assert loaded.discriminator is None
    assert loaded.meta["source"]["discriminator"].startswith("not read: ")
    assert why in loaded.meta["source"]["discriminator"]
    assert same(load(loaded.save(tmp_path / "b.safetensors")), loaded)


@pytest.mark.parametrize("name", ["noises.noise_0", "to_rgb1.bias", "input.input", "conv1.conv.weight"])
def test_a_tensor_of_as_many_axes_and_other_sizes_is_refused(name: str, tmp_path: Path) -> None:
    data = rosinality_state()
    data["g_ema"][name] = torch.cat([data["g_ema"][name]] * 2)
    with pytest.raises(CheckpointError, match=r"cannot be|must have shape"):
        load(saved(tmp_path / "a.pt", data))


def test_a_tensor_of_an_odd_name_is_refused_in_one_line(tmp_path: Path) -> None:
    data = rosinality_state()
    data["g_ema"]["conv1.\n.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"'conv1\.\\n\.weight' is unknown"):
        load(saved(tmp_path / "a.pt", data))


def test_a_list_of_dimensions_that_is_far_too_long_is_refused(tmp_path: Path) -> None:
    basis = stored(np.eye(7))
    for dims in (stored(np.zeros(10_001)), [1] * 10_001):
        data = dump({"G_ema": tiny_network(), "latent_basis": basis, "repurposed_dims": dims, "subspace_distance": 20})
        with pytest.raises(CheckpointError, match="far too long"):
            load(written(tmp_path / "a.pkl", data))


def test_the_inside_of_a_torch_file_is_named_as_such(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(tiny_rosinality())) as archive:
        archive.extractall(tmp_path)
    (pickled,) = tmp_path.rglob("data.pkl")
    for inside in (pickled, pickled.parent):
        with pytest.raises(CheckpointError, match=r"this is the inside of a \.pt file: give the .pt itself"):
            load(inside)
    for kind, words in ((zipfile.ZIP_STORED, None), (zipfile.ZIP_DEFLATED, "pack it without compression")):
        with zipfile.ZipFile(tmp_path / "again.pt", "w", kind) as archive:
            for file in pickled.parent.rglob("*"):
                archive.write(file, file.relative_to(tmp_path))
        if words is None:
            assert load(tmp_path / "again.pt").generator.img_resolution == 8
            continue
        with pytest.raises(CheckpointError, match=words):
            load(tmp_path / "again.pt")


def test_a_domain_is_called_by_a_text_or_by_its_number() -> None:
    laughs: list = [1]
    for _ in range(60):
        laughs = [laughs, laughs]
    tasks = [
        {"dimension": 9, "args": {"target_text": "x" * 10**6}},
        {"dimension": laughs, "args": {"target_text": "cat"}},
        {"dimension": 8, "args": {"target_text": laughs}, "type": laughs},
        {"dimension": True, "args": {"target_text": "dog"}},
    ]
    assert domain_names(tasks, [9, 8, 1]) == ["x" * 200, "domain 8", "domain 1"]

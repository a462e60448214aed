"""TensorFlow's pickles give the outputs of the reference; what has no fixture comes back as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import make_generator, stylegan2
from hostile import Call, dump
from safetensors.torch import save_file
from samples import FIXTURES, reference, relative_error
from tensorflow_files import (
    critic_variables,
    generator_variables,
    network,
    settings_of,
    tensorflow_file,
    tensorflow_generator,
)

from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.weights import Checkpoint, CheckpointError, load

FILES = ("tf_v4_uncond16", "tf_v5_cond32")
TOLERANCE = 1e-5
REVISED = "G_synthesis_stylegan_revised"


def tiny(**changes: Any) -> Any:
    return make_generator(**{"img_resolution": 16, "channels": (8, 6, 4), "z_dim": 5, "w_dim": 7, **changes})


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def same(a: Checkpoint, b: Any) -> bool:
    values = b.state_dict()
    return a.generator.config == b.config and all(
        torch.allclose(value, values[name], atol=1e-6) for name, value in a.generator.state_dict().items()
    )


@pytest.mark.parametrize("name", FILES)
def test_generator_and_discriminator_equal_the_reference(name: str) -> None:
    checkpoint, expected = load(FIXTURES / f"{name}.pkl"), reference(name)
    generator, critic = stylegan2(checkpoint.generator), checkpoint.discriminator
    c = expected["c"] if generator.c_dim else None
    assert relative_error(generator.mapping(expected["z"], c), expected["ws"]) < TOLERANCE
    assert relative_error(generator.mapping(expected["z"], c, 0.7), expected["ws_psi07"]) < TOLERANCE
    assert relative_error(generator.synthesis(expected["ws"]), expected["img_const"]) < TOLERANCE
    assert relative_error(generator.synthesis(expected["ws"], noise_mode="none"), expected["img_none"]) < TOLERANCE
    assert relative_error(generator.synthesis(expected["ws_psi07"]), expected["img_psi07"]) < TOLERANCE
    assert critic is not None
    assert relative_error(critic(expected["img_const"], c), expected["d_logits"]) < TOLERANCE


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_was_read_of_it_and_converts(name: str, tmp_path: Path) -> None:
    checkpoint = load(FIXTURES / f"{name}.pkl")
    version = {"tf_v4_uncond16": "StyleGAN2 of 2019", "tf_v5_cond32": "StyleGAN2-ADA of 2020"}[name]
    assert checkpoint.meta["source"] == {"format": "tensorflow", "network": "Gs", "version": version}
    again = load(checkpoint.save(tmp_path / "a.safetensors"))
    assert same(again, checkpoint.generator)
    assert again.discriminator is not None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "resnet"},
        {"architecture": "orig"},
        {"c_dim": 3},
        {"c_dim": 3, "label_concat": True},
        {"use_noise": False},
        {"img_channels": 1},
        {"conv_clamp": 256.0},
        {"resample_filter": (1.0, 2.0, 1.0)},
        {"mapping_lr_multiplier": 0.1},
        {"img_resolution": 32, "channels": (8, 8, 4, 2)},
    ],
    ids=str,
)
def test_every_configuration_comes_back_as_it_was_written(changes: dict, tmp_path: Path) -> None:
    generator = tiny(**changes)
    assert same(load(written(tmp_path / "a.pkl", tensorflow_file(generator))), generator)


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
def test_the_only_colour_layer_has_either_name(architecture: str, tmp_path: Path) -> None:
    generator = tiny(architecture=architecture)
    assert "ToRGB_lod0/weight" in generator_variables(generator, lod=True)["synthesis"]
    assert same(load(written(tmp_path / "a.pkl", tensorflow_file(generator, lod=True))), generator)


@pytest.mark.parametrize("architecture", ["resnet", "orig", "skip"])
@pytest.mark.parametrize("labels", [{}, {"c_dim": 3, "cmap_dim": 4, "mapping_layers": 2}], ids=["", "labels"])
def test_a_discriminator_comes_back_as_it_was_written(architecture: Any, labels: dict, tmp_path: Path) -> None:
    torch.manual_seed(0)
    critic = Discriminator(DiscriminatorConfig(16, (8, 6, 4), architecture=architecture, mbstd_group_size=2, **labels))
    settings = {"mbstd_group_size": 2, "architecture": architecture}
    pickled = network("D", critic_variables(critic.requires_grad_(False)), settings, version=5)
    loaded = load(written(tmp_path / "a.pkl", tensorflow_file(tiny(), pickled))).discriminator
    assert loaded is not None
    assert loaded.config == critic.config
    for name, value in critic.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.parametrize(("version", "group"), [(4, 4), (5, None)])
def test_groups_of_the_minibatch_follow_the_version(version: int, group: int | None, tmp_path: Path) -> None:
    critic = Discriminator(DiscriminatorConfig(16, (8, 6, 4))).requires_grad_(False)
    pickled = network("D", critic_variables(critic), version=version)
    loaded = load(written(tmp_path / "a.pkl", tensorflow_file(tiny(), pickled))).discriminator
    assert loaded is not None
    assert loaded.config.mbstd_group_size == group


def test_labels_of_2019_are_concatenated_and_normalised_with_z(tmp_path: Path) -> None:
    """The formula on the file's own variables: one norm of the pair, then dense layers."""
    generator = tiny(c_dim=3, label_concat=True)
    variables = generator_variables(generator)["mapping"]
    z, c = torch.randn(4, 5), torch.eye(3)[[0, 2, 1, 2]]
    x = np.concatenate([z.numpy(), c.numpy() @ variables["LabelConcat/weight"]], axis=1)
    x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)
    for layer in range(2):
        weight, bias = variables[f"Dense{layer}/weight"], variables[f"Dense{layer}/bias"]
        x = x @ weight * 0.01 / np.sqrt(len(weight)) + 0.01 * bias
        x = np.where(x < 0, 0.2 * x, x) * np.sqrt(2)
    loaded = stylegan2(load(written(tmp_path / "a.pkl", tensorflow_file(generator))).generator)
    assert relative_error(loaded.mapping(z, c)[:, 0], torch.from_numpy(x)) < TOLERANCE
    save_file(generator.state_dict(), tmp_path / "bare.safetensors")
    assert same(load(tmp_path / "bare.safetensors"), generator)


def test_a_discriminator_of_2019_takes_the_logit_of_the_labels_class(tmp_path: Path) -> None:
    classes = 50
    config = DiscriminatorConfig(16, (8, 6, 4), c_dim=classes, cmap_dim=classes, mapping_layers=0)
    critic = Discriminator(config).requires_grad_(False)
    pickled = network("D", critic_variables(critic, old=True), {"label_size": classes}, version=4)
    loaded = load(written(tmp_path / "a.pkl", tensorflow_file(tiny(), pickled))).discriminator
    assert loaded is not None
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 3, 49, 7])
    x, img = None, images
    for side in (16, 8):
        x, img = getattr(critic, f"b{side}")(x, img)
    logits = critic.b4(x, img, None).gather(1, labels[:, None])
    assert relative_error(loaded(images, torch.eye(classes)[labels]), logits) < TOLERANCE


def test_a_filter_of_none_is_a_box(tmp_path: Path) -> None:
    generator = tiny(resample_filter=(1.0, 1.0))
    assert same(load(written(tmp_path / "a.pkl", tensorflow_file(generator, resample_kernel=None))), generator)


def test_a_single_network_and_a_dictionary_of_networks_are_read_too(tmp_path: Path) -> None:
    generator = tiny()
    pickled = tensorflow_generator(generator)
    for data in (pickled, {"model": {"Gs": pickled}}, [1, (pickled,)]):
        assert same(load(written(tmp_path / "a.pkl", dump(data))), generator)


def test_a_discriminator_that_cannot_be_read_keeps_nobody_from_the_generator(tmp_path: Path) -> None:
    loaded = load(written(tmp_path / "a.pkl", tensorflow_file(tiny(), network("D", {"odd": np.zeros(3)}))))
    assert loaded.discriminator is None
    assert loaded.meta["source"]["discriminator"].startswith("not read: it has no b8.conv0.weight")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (Call("tfutil.Network"), "a ProGAN of 2018"),
        (Call("dnnlib.tflib.optimizer.Optimizer"), r"of another kind \('dnnlib\.tflib\.optimizer\.Optimizer'\)"),
        (network("Gs", {}, version=3), "of version 3"),
        (tensorflow_generator(tiny(), version=3), "of version 3"),
        (network("Gs", {}, components={"synthesis": 1}, build_func_name="G_style", version=3), "a StyleGAN of 2018"),
        (
            network("Gs", {}, components={"synthesis": network("s", {"4x4/Const/StyleMod/weight": np.zeros(3)})}),
            "a StyleGAN of 2018",
        ),
        (
            network("Gs", {}, components={"synthesis": network("s", {}, build_func_name=REVISED)}),
            "a StyleGAN2 of configuration A to D",
        ),
        (network("D", {"Output/bias": np.zeros(1)}), "'D', no generator"),
    ],
)
def test_other_networks_of_tensorflow_are_refused_by_their_names(data: Any, kind: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"TensorFlow's, ({kind}).*bring one, or the model as a PyTorch file"):
        load(written(tmp_path / "a.pkl", dump(data)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resolution": 32}, "resolution 32, its variables are for 16"),
        ({"num_channels": 1}, "num_channels 1, its variables are for 3"),
        ({"latent_size": 512}, "latent_size 512, its variables are for 5"),
        ({"dlatent_size": 8}, "dlatent_size 8, its variables are for 7"),
        ({"label_size": 2}, "label_size 2, its variables are for 0"),
        ({"mapping_layers": 8}, "mapping_layers 8, its variables are for 2"),
        ({"architecture": "orig"}, "architecture 'orig', its variables are for 'skip'"),
        ({"fmap_base": 64, "fmap_max": 8}, r"widths \[8, 8, 8\], its variables have \[8, 6, 4\]"),
        ({"nonlinearity": "relu"}, "nonlinearity 'relu', its variables are for 'lrelu'"),
        ({"normalize_latents": False}, "normalize_latents False"),
        ({"resample_kernel": "wide"}, "resample_kernel is 'wide', expected a row of numbers"),
    ],
    ids=str,
)
def test_settings_and_variables_that_disagree_are_refused_with_both(changes: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        load(written(tmp_path / "a.pkl", tensorflow_file(tiny(), **changes)))


def test_settings_that_a_file_leaves_out_follow_from_its_variables(tmp_path: Path) -> None:
    generator = tiny(architecture="resnet")
    variables = generator_variables(generator)
    parts = {part: network(part, variables[part]) for part in ("mapping", "synthesis")}
    assert same(load(written(tmp_path / "a.pkl", dump(network("Gs", variables[""], {}, parts)))), generator)


def test_the_text_of_a_builder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    original = (FIXTURES / "tf_v4_uncond16.pkl").read_bytes()
    note = b"# the source of the network builder stood here"
    assert note in original
    code = b"open('canary', 'w')".ljust(len(note))
    loaded = load(written(tmp_path / "a.pkl", original.replace(note, code)))
    assert same(loaded, load(FIXTURES / "tf_v4_uncond16.pkl").generator)
    assert not Path("canary").exists()


@pytest.mark.parametrize("name", ["dlatent_avg", "4x4/Const/const", "16x16/Conv0_up/weight", "Dense1/bias"])
def test_a_variable_that_is_missing_or_unknown_is_named(name: str, tmp_path: Path) -> None:
    generator = tiny()
    variables = generator_variables(generator)
    for part in variables.values():
        if name in part:
            part[f"{name}_old"] = part.pop(name)
    parts = {part: network(part, variables[part]) for part in ("mapping", "synthesis")}
    whole = network("Gs", variables[""], settings_of(generator), parts)
    with pytest.raises(CheckpointError, match=r"missing|unknown|it has no|mapping_layers 2, its variables are for 1"):
        load(written(tmp_path / "a.pkl", dump(whole)))

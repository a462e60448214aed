"""StyleGAN3 and StyleGAN-XL: the reference's outputs, the schedule, and files that disagree with themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import torch
from generators import make_stylegan3
from hostile import Raw, Ref, dump, encode, laughs, native
from safetensors.torch import save_file
from samples import FIXTURES, array, reference, relative_error, tiny_stylegan3

from explorer.latents import sample_codes
from explorer.latents.basis import style_weights
from explorer.networks import StyleGAN3, StyleGAN3Config
from explorer.networks.stylegan3 import design_filter, published_channels, schedule
from explorer.weights import Checkpoint, CheckpointError, UnsafeCheckpointError, load

NAMES = ("sg3t32", "sg3r16", "sg3t16_layers6", "xl16", "xl32_superres")
TOLERANCE = 1e-5


def read(name: str) -> tuple[StyleGAN3, dict[str, torch.Tensor], torch.Tensor | None]:
    """A fixture's generator, the reference's outputs, and its labels."""
    generator, expected = load(FIXTURES / f"{name}.pkl").generator, reference(name)
    assert isinstance(generator, StyleGAN3)
    return generator, expected, expected["c"] if generator.c_dim else None


@pytest.mark.parametrize("name", NAMES)
def test_codes_and_pictures_are_the_references(name: str) -> None:
    generator, expected, c = read(name)
    ws = expected["ws"]
    mixed = torch.cat([ws[:, :3], ws.flip(0)[:, 3:]], dim=1)
    given = {
        "ws": generator.mapping(expected["z"], c),
        "ws_psi07": generator.mapping(expected["z"], c, 0.7),
        "ws_psi05_cut4": generator.mapping(expected["z"], c, truncation_psi=0.5, truncation_cutoff=4),
        "img": generator.synthesis(ws),
        "img_psi07": generator.synthesis(expected["ws_psi07"]),
        "img_mixed": generator.synthesis(mixed),
        **{f"img_transform_{k}": generator.synthesis(ws, transform=expected[f"transform_{k}"]) for k in "abc"},
    }
    for key, value in given.items():
        assert relative_error(value, expected[key]) < TOLERANCE, key


@pytest.mark.parametrize("name", NAMES)
def test_features_between_the_layers_are_the_references(name: str) -> None:
    generator, expected, _ = read(name)
    ws = expected["ws"][:1]
    x = generator.synthesis.input(ws[:, 0])
    assert relative_error(x, expected["features_input"]) < TOLERANCE
    for row, layer in generator.synthesis.layers():
        x = layer(x, ws[:, row])
        if (key := f"features_{layer.shape.name}") in expected:
            assert relative_error(x, expected[key]) < TOLERANCE, key


@pytest.mark.parametrize("name", NAMES)
def test_the_basis_looks_at_every_layer_but_the_input(name: str) -> None:
    generator, expected, _ = read(name)
    assert torch.equal(style_weights(generator), expected["stacked_affine"])
    values = torch.linalg.svdvals(style_weights(generator).double())
    torch.testing.assert_close(values, expected["stacked_singular_values"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_new_filters_are_the_stored_ones(name: str) -> None:
    generator = read(name)[0]
    for _, layer in generator.synthesis.layers():
        for stored, made in zip((layer.up_filter, layer.down_filter), layer.shape.filters(), strict=True):
            assert (stored is None) == (made is None)
            if stored is not None and made is not None:
                torch.testing.assert_close(made, stored, rtol=1e-5, atol=1e-7)


def test_a_filter_of_an_odd_number_of_taps_has_a_middle() -> None:
    f = design_filter(7, 2.0, 3.0, 16, radial=True)
    assert f is not None
    assert torch.isfinite(f).all()
    assert f.argmax() == 24


def test_the_published_schedule() -> None:
    """StyleGAN3-T at 256 px: rates and margins by the paper's rule, widths of the published files."""
    names = [shape.name for shape in schedule(StyleGAN3Config((256,), (14,), published_channels(256)))]
    low = ["L0_36_512", "L1_36_512", "L2_36_512", "L3_52_512", "L4_52_512", "L5_84_512", "L6_84_512", "L7_148_512"]
    high = ["L8_148_512", "L9_148_362", "L10_276_256", "L11_276_181", "L12_276_128", "L13_256_128", "L14_256_3"]
    assert names == low + high


@pytest.mark.parametrize("name", NAMES)
def test_the_native_format_keeps_everything(name: str, tmp_path: Path) -> None:
    checkpoint = load(FIXTURES / f"{name}.pkl")
    again = load(checkpoint.save(tmp_path / "g.safetensors"))
    assert again.generator.config == checkpoint.generator.config
    state = checkpoint.generator.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.generator.state_dict().items())
    half = load(checkpoint.save(tmp_path / "h.safetensors", torch.float16)).generator
    codes = sample_codes(checkpoint.generator, 2)
    assert relative_error(half.synthesize(codes), checkpoint.generator.synthesize(codes)) < 0.02


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_discriminator_comes_along(name: str) -> None:
    discriminator = load(FIXTURES / f"{name}.pkl").discriminator
    assert discriminator is not None


def test_a_bare_state_dict_of_published_frequencies_is_read_too(tmp_path: Path) -> None:
    generator, expected, _ = read("sg3t32")
    save_file(generator.state_dict(), tmp_path / "bare.safetensors")
    again = load(tmp_path / "bare.safetensors").generator
    assert isinstance(again, StyleGAN3)
    assert relative_error(again.synthesis(expected["ws"]), expected["img"]) < TOLERANCE
    save_file(read("sg3t16_layers6")[0].state_dict(), tmp_path / "narrow.safetensors")
    with pytest.raises(CheckpointError, match=r"makes features of 24 px, its settings lead to 36"):
        load(tmp_path / "narrow.safetensors")


def test_heads_stand_on_heads(tmp_path: Path) -> None:
    """A stem of 16 px, a head of 32, and one of 64 on top: their sides are read off the layers that are left."""
    config = {"resolutions": (16, 32, 64), "layers": (5, 5, 6), "channels": (8, 8, 8, 8, 6, 6, 6, 5, 5, 4, 4, 4)}
    generator = make_stylegan3(**config)
    assert generator.synthesize(sample_codes(generator, 1)).shape == (1, 3, 64, 64)
    path = tmp_path / "heads.pkl"
    path.write_bytes(dump({"G_ema": tiny_stylegan3(generator)}))
    assert load(path).generator.config == generator.config


@pytest.mark.parametrize("classes", [0, 3])
def test_labels_may_be_soft(classes: int) -> None:
    generator = make_stylegan3(c_dim=classes, table=7 if classes else 0)
    z = torch.randn(2, generator.z_dim)
    if not classes:
        assert torch.equal(generator.draw(z), generator.mapping(z))
        return
    one_hot = torch.eye(3)[[0, 2]]
    assert torch.equal(generator.draw(z, torch.tensor([0, 2])), generator.draw(z, one_hot))
    assert not torch.equal(generator.draw(z, (one_hot + one_hot.flip(0)) / 2), generator.draw(z, one_hot))


def test_a_class_has_a_mean_of_its_own() -> None:
    generator = make_stylegan3(c_dim=3, table=7)
    z, labels = torch.randn(3, generator.z_dim), torch.arange(3)
    centres = generator.draw(z, labels, psi=0.0)
    torch.testing.assert_close(centres[:, 0], generator.mapping.w_avg)
    torch.testing.assert_close(generator.mean, generator.mapping.w_avg.mean(dim=0))


def test_unused_rows_of_the_table_of_classes_are_left_out(tmp_path: Path) -> None:
    generator = make_stylegan3(c_dim=3, table=7)
    table = np.concatenate([generator.state_dict()["mapping.embed.weight"].numpy(), np.ones((4, 7), np.float32)])
    path = tmp_path / "wide.pkl"
    path.write_bytes(dump({"G_ema": tiny_stylegan3(generator, tensors={"mapping.embed.weight": table})}))
    torch.testing.assert_close(load(path).generator.state_dict(), generator.state_dict())


def test_a_file_without_classes_may_hold_a_table(tmp_path: Path) -> None:
    path = tmp_path / "table.pkl"
    table = {"mapping.embed.weight": np.ones((10, 7), np.float32)}
    path.write_bytes(dump({"G_ema": tiny_stylegan3(tensors=table)}))
    assert load(path).generator.classes == 0


def test_a_foreign_discriminator_is_left_out(tmp_path: Path) -> None:
    """`pg_modules` is pickled by its own name: read as a record, never looked into; other foreign names are refused."""
    path = tmp_path / "xl.pkl"

    def foreign(name: str) -> Raw:
        inside = Raw(encode(Ref("torch.nn.modules.container.Sequential")) + encode(()) + b"\x81" + encode({}) + b"b")
        return Raw(encode(Ref(name)) + encode(()) + b"\x81" + encode({"_modules": {"a": inside}}) + b"b")

    path.write_bytes(dump({"D": foreign("pg_modules.discriminator.ProjectedDiscriminator"), "G_ema": tiny_stylegan3()}))
    checkpoint = load(path)
    assert checkpoint.discriminator is None
    assert "pg_modules.discriminator.ProjectedDiscriminator" in checkpoint.meta["source"]["discriminator"]
    for name in (
        "dill._dill._create_function",
        "timm.models.registry.create_model",
        "torch.nn.modules.module.os.system",
    ):
        path.write_bytes(dump({"D": foreign(name), "G_ema": tiny_stylegan3()}))
        with pytest.raises(UnsafeCheckpointError, match=name.split(".")[-1]):
            load(path)


# --- Files that disagree with themselves ------------------------------------------------------------------------------

LAYERS = [layer.shape.name for _, layer in make_stylegan3().synthesis.layers()]
SECOND, LAST = f"synthesis.{LAYERS[1]}", f"synthesis.{LAYERS[-1]}"
SHORT, WRONG = np.zeros(10, np.float32), np.full(12, 1 / 12, np.float32)
LYING: dict[str, tuple[Any, str]] = {
    "padding": ({"attributes": {SECOND: {"padding": [1, 2, 3, 4]}}}, r"padding of its L1_24_8 is \[1, 2, 3, 4\], its"),
    "rate": ({"attributes": {SECOND: {"out_sampling_rate": 64}}}, "is 64, its settings lead to 16"),
    "size": ({"attributes": {"synthesis.input": {"size": array(20, 20)}}}, r"size of its input is \[20, 20\]"),
    "margin": ({"attributes": {"synthesis": {"margin_size": 6}}}, "its settings lead to"),
    "margin_huge": ({"attributes": {"synthesis": {"margin_size": 10**8}}}, "at most 16, 4 and 64"),
    "resolution_huge": ({"attributes": {"synthesis": {"img_resolution": 10**8}}}, "settings lead to"),
    "critical": ({"attributes": {"synthesis": {"num_critical": 9}}}, "more than its 9 last layers"),
    "critical_of_text": ({"attributes": {"synthesis": {"num_critical": "2"}}}, "must be a number"),
    "cutoffs_that_stand_still": (
        {"attributes": {f"synthesis.{name}": {"in_cutoff": 2.0, "out_cutoff": 2.0} for name in LAYERS[1:3]}},
        "no frequencies that rise",
    ),
    "bandwidth": ({"attributes": {"synthesis.input": {"bandwidth": -1.0}}}, "frequencies must rise"),
    "taps": ({"tensors": {f"{SECOND}.up_filter": SHORT}}, r"must have shape \[12\], got \[10\]"),
    "filter": ({"tensors": {f"{SECOND}.up_filter": WRONG}}, "lies .* from the one that its settings lead to"),
    "layer_missing_its_weight": ({"tensors": {"synthesis.L9_16_4.bias": SHORT}}, "unknown"),
    "layer_twice": ({"tensors": {"synthesis.L1_24_4.weight": np.zeros((4, 8, 3, 3), np.float32)}}, "two of one number"),
    "wide_layer": (
        {"tensors": {f"{SECOND}.weight": np.zeros((10**3, 8, 3, 3), np.float32)}},
        "must have shape|lead to",
    ),
    "laughs_as_padding": ({"attributes": {SECOND: {"padding": "laughs"}}}, "padding of its"),
}


@pytest.mark.parametrize("name", LYING)
def test_a_file_that_disagrees_with_itself_is_refused_with_both_figures(name: str, tmp_path: Path) -> None:
    changes: Any
    changes, words = LYING[name]
    path = tmp_path / "lying.pkl"
    endless = b""
    if name.startswith("laughs"):
        endless = laughs(60, lambda one: [one, one]).code + b"0"
        changes = {"attributes": {SECOND: {"padding": hostile.get(60)}}}
    path.write_bytes(dump(Raw(endless + encode({"G_ema": tiny_stylegan3(**changes)}))))
    with pytest.raises(CheckpointError, match=words) as error:
        load(path)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("rows", [0, 2])
def test_a_table_of_fewer_rows_than_classes_is_refused_with_both_figures(rows: int, tmp_path: Path) -> None:
    generator = make_stylegan3(c_dim=3, table=7)
    table = {"mapping.embed.weight": np.ones((rows, 7), np.float32)}
    path = tmp_path / "short.pkl"
    path.write_bytes(dump({"G_ema": tiny_stylegan3(generator, tensors=table)}))
    with pytest.raises(CheckpointError, match=rf"table has \[{rows}\] rows, but it has 3 classes"):
        load(path)


def test_a_mean_for_each_class_is_what_a_table_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "mean.pkl"
    tensors = {"mapping.w_avg": np.zeros(24, np.float32)}
    path.write_bytes(dump({"G_ema": tiny_stylegan3(make_stylegan3(c_dim=3, table=7), tensors=tensors)}))
    with pytest.raises(CheckpointError, match=r"one row of 24 numbers a class, got \[24\]"):
        load(path)


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "filters": ({"filter_size": 2**30}, "at most 16"),
    "layers": ({"layers": [2**30]}, "at most 100"),
    "heads": ({"resolutions": [16] * 1000, "layers": [5] * 1000}, "up to 7 heads"),
    "falling": ({"resolutions": [32, 16], "layers": [5, 5]}, "larger pictures"),
    "frequencies": ({"first_cutoff": 9.0}, "frequencies must rise"),
    "resolution": ({"resolutions": [2**20]}, "px"),
    "widths": ({"channels": [2**30] * 5}, "impossible size|memory|missing"),
    "clamp": ({"conv_clamp": -1.0}, "clamped to -1.0"),
    "table": ({"table": 3}, "needs some"),
    "kernel": ({"conv_kernel": 0}, "1 or 3"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_configuration_is_a_claim(name: str, tmp_path: Path) -> None:
    changes, words = CLAIMS[name]
    config = {
        "resolutions": [16],
        "layers": [5],
        "channels": [8] * 5,
        "z_dim": 4,
        "w_dim": 4,
        "mapping_layers": 1,
    } | changes
    (tmp_path / "claim.safetensors").write_bytes(native(config, "stylegan3"))
    with pytest.raises(CheckpointError, match=words):
        load(tmp_path / "claim.safetensors")


def test_a_generator_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = Checkpoint(make_stylegan3()).save(tmp_path / "tiny.safetensors")
    with pytest.raises(CheckpointError, match=r"0\.0 GB are allowed here"):
        load(path, limit=10**6)

"""Laws that every family of generators obeys: what the rest of the program may rely on, and all that it may know.

A new family joins by a line in `TINY` (tests/generators.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from generators import TINY, make_generator
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from explorer import latents
from explorer.engine.renderers import renderer
from explorer.networks import FAMILIES, Generator
from explorer.networks.family import Synthesizer
from explorer.weights import Checkpoint, CheckpointError, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(FAMILIES))
def generator(request: pytest.FixtureRequest) -> Generator:
    return TINY[request.param]()


def test_every_family_is_tested() -> None:
    assert TINY.keys() == FAMILIES.keys()
    assert all(name == family.family for name, family in FAMILIES.items())


def test_a_code_has_the_shape_that_the_generator_says(generator: Generator) -> None:
    codes = latents.sample_codes(generator, 3)
    assert codes.shape == (3, generator.codes.rows, generator.codes.dim)
    side = generator.resolution
    assert generator.synthesize(codes).shape == (3, generator.channels, side, side)
    assert generator.mean.shape == (generator.codes.dim,)


def test_truncation_leads_to_the_mean_in_the_first_rows(generator: Generator) -> None:
    z = latents.sample_z(2, generator.codes.z_dim, seed=0)
    whole = generator.draw(z)
    torch.testing.assert_close(generator.draw(z, psi=0.0), generator.codes.repeat(generator.mean).expand_as(whole))
    cut = generator.draw(z, psi=0.5, cutoff=2)
    torch.testing.assert_close(cut[:, :2], generator.mean + 0.5 * (whole[:, :2] - generator.mean))
    assert torch.equal(cut[:, 2:], whole[:, 2:])


def test_classes_take_turns() -> None:
    generator = make_generator(c_dim=3)
    z = latents.sample_z(4, generator.codes.z_dim, seed=0)
    one_hot = torch.eye(3)[[0, 1, 2, 0]]
    assert torch.equal(latents.sample_codes(generator, 4), generator.mapping(z, one_hot))
    assert torch.equal(generator.draw(z, torch.tensor([0, 1, 2, 0])), generator.draw(z, one_hot))
    assert torch.equal(generator.draw(z), generator.draw(z, torch.zeros(4, dtype=torch.int64)))


def test_styles_are_all_that_a_generator_sees_of_a_code(generator: Generator) -> None:
    """Of the code, a layer sees `weight @ code[row]`: a move that no weight sees changes nothing."""
    codes = latents.sample_codes(generator, 1)
    images = generator.synthesize(codes)
    for row in range(generator.codes.rows):
        weights = [layer.weight for layer in generator.style_layers() if layer.row == row]
        with torch.no_grad():
            hidden = [weight.clone() for weight in weights]
            for weight in weights:
                weight.zero_()
            moved = codes.clone()
            moved[:, row] += 3.0
            torch.testing.assert_close(generator.synthesize(moved), generator.synthesize(codes))
            for weight, before in zip(weights, hidden, strict=True):
                weight.copy_(before)
        assert not torch.allclose(generator.synthesize(moved), images, atol=1e-4), f"row {row} feeds nothing"


def test_a_basis_keeps_the_pose_apart(generator: Generator) -> None:
    basis = latents.factorize(generator)
    torch.testing.assert_close(basis.t() @ basis, torch.eye(len(basis)), atol=1e-5, rtol=0)
    for layer in (layer for layer in generator.style_layers() if layer.pose):
        seen = (layer.weight @ basis).norm(dim=0)
        assert (seen[: len(layer.bias)] > 1e-3).all()
        assert (seen[len(layer.bias) :] < 1e-5).all()
    stacked = torch.cat([layer.weight for layer in generator.style_layers() if layer.in_basis])
    apart = sum(len(layer.bias) for layer in generator.style_layers() if layer.pose)
    effects = (stacked @ basis).norm(dim=0)[apart:]
    assert (effects.diff() < 1e-4).all()


def test_a_bias_takes_back_what_a_weight_adds(generator: Generator) -> None:
    """Gains are right: a change of the weight is undone at one code by the change of the bias that they call for."""
    w = latents.sample_codes(generator, 1)[0, 0]
    codes = generator.codes.repeat(w)[None]
    images = generator.synthesize(codes)
    with torch.no_grad():
        for number, layer in enumerate(generator.style_layers()):
            added = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(number))
            layer.weight.add_(added)
            assert not torch.allclose(generator.synthesize(codes), images, atol=1e-3), layer.name
            layer.bias.sub_(layer.weight_gain / layer.bias_gain * (added @ w))
    torch.testing.assert_close(generator.synthesize(codes), images, atol=2e-3, rtol=1e-3)


def test_names_lead_to_the_parameters(generator: Generator) -> None:
    learnable, parameters = generator.learnable(), dict(generator.named_parameters())
    assert all(parameters[name] is value for name, value in learnable.items())
    for layer in generator.style_layers():
        assert learnable[f"{layer.name}.weight"] is layer.weight
        assert learnable[f"{layer.name}.bias"] is layer.bias
        assert layer.name.startswith(f"{layer.feeds}.")
        assert layer.weight.shape == (len(layer.bias), generator.codes.dim)


def test_what_learns_is_what_makes_pictures(generator: Generator) -> None:
    codes = latents.sample_codes(generator, 2)
    generator.requires_grad_(True)
    generator.synthesize(codes).square().sum().backward()
    moved = {name for name, value in generator.named_parameters() if value.grad is not None and value.grad.any()}
    assert moved == generator.learnable().keys()


def test_other_parameters_can_stand_in(generator: Generator) -> None:
    codes = latents.sample_codes(generator, 1)
    doubled = {f"generator.{name}": 2 * value for name, value in generator.learnable().items()}
    images = torch.func.functional_call(Synthesizer(generator), doubled, (codes,))
    assert not torch.allclose(images, generator.synthesize(codes), atol=1e-3)


def test_the_fast_path_makes_the_same_pictures(generator: Generator) -> None:
    codes = latents.sample_codes(generator, 2)
    with torch.inference_mode():
        torch.testing.assert_close(
            renderer(generator, torch.float32)(codes), generator.synthesize(codes), atol=1e-4, rtol=1e-4
        )


def test_a_pose_moves_pictures_where_the_codes_say_so(generator: Generator) -> None:
    codes = latents.sample_codes(generator, 2)
    images = generator.synthesize(codes)
    pose = torch.tensor([[0.0, 0, 0], [40, 0.2, -0.1]])
    for render in (generator.synthesize, renderer(generator, torch.float32)):
        with torch.inference_mode():
            moved = render(codes, pose=pose)
        torch.testing.assert_close(moved[0], images[0], atol=1e-4, rtol=1e-4)
        assert torch.allclose(moved[1], images[1], atol=1e-3) != generator.codes.pose


def test_a_family_without_a_fast_path_is_synthesized_plainly(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.engine.renderers.RENDERERS", {})
    codes = latents.sample_codes(generator, 1)
    for mode in generator.codes.noise_modes:
        assert torch.equal(
            renderer(generator, torch.float32)(codes, noise_mode=mode, noise_seed=3),
            generator.synthesize(codes, mode, 3),
        )


def test_a_description_says_size_and_kind(generator: Generator) -> None:
    facts = "\n".join(generator.describe())
    assert f"{generator.resolution} x {generator.resolution} px" in facts
    assert str(generator.codes.dim) in facts


def test_a_file_says_its_family(generator: Generator, tmp_path: Path) -> None:
    path = Checkpoint(generator).save(tmp_path / "g.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["family"] == generator.family
    loaded = load(path).generator
    assert type(loaded) is type(generator)
    codes = latents.sample_codes(generator, 1)
    torch.testing.assert_close(loaded.synthesize(codes), generator.synthesize(codes))


def test_files_of_before_are_stylegan2_and_unknown_families_are_refused_by_name(tmp_path: Path) -> None:
    path = Checkpoint(make_generator()).save(tmp_path / "g.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    save_file(tensors, path, {key: value for key, value in metadata.items() if key != "family"})
    assert load(path).generator.family == "stylegan2"
    save_file(tensors, path, metadata | {"family": "stylegan9"})
    with pytest.raises(CheckpointError, match=r"family 'stylegan9', this program knows stylegan2.*: update it"):
        load(path)


PARTS = re.compile(r"affine\.weight|torgb|conv0|num_ws|\bw_avg|\.mapping\(|\.synthesis\(")
# What trains one family knows it; the fast paths too.
FAST = ("engine/synthesis.py", "engine/alias_free.py", "engine/denoiser.py")
KNOWING = ("networks/", "weights/", *FAST, "recipes/gan.py")


def test_nothing_above_networks_knows_the_parts_of_one_family() -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "explorer").rglob("*.py"))
        if not path.relative_to(ROOT / "explorer").as_posix().startswith(KNOWING)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if PARTS.search(line)
    ]
    assert not lines, "\n".join(lines)

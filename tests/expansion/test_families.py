"""A generator of every family is searched, bent, taught and measured, by the same commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import TINY
from PIL import Image
from tiny_expansion import config, write_clip

from explorer import Edit, Engine, load
from explorer.cli import main
from explorer.engine import effects
from explorer.expansion import ExpansionError, expand
from explorer.expansion.carry import carry
from explorer.latents import Expansion, factorize
from explorer.metrics import Perceptual
from explorer.networks import FAMILIES
from explorer.weights import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a tiny generator with nothing beside it."""
    folder = tmp_path_factory.mktemp(request.param)
    return Checkpoint(TINY[request.param](), meta={"name": "tiny"}).save(folder / "source.safetensors")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared differences instead of the shipped CLIP's distance, and few samples."""
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    monkeypatch.setattr("explorer.engine.engine.load_perceptual", lambda device: squared)
    monkeypatch.setattr(effects, "SAMPLES", 2)


def test_a_domain_is_taught(source: Path, tmp_path: Path) -> None:
    """Warm-up and the whole loop, with the second derivatives of the path length."""
    settings = config(write_clip(tmp_path / "clip.safetensors"), steps=4, warmup=2, lambda_src=0.0)
    expand(source, settings, tmp_path / "run", cpu=True)
    before, after = load(source).generator, load(tmp_path / "run" / "network.safetensors")
    assert after.generator.family == before.family
    assert after.expansion is not None
    assert after.expansion.domains == ("sketch",)
    learned = {
        name
        for name, value in after.generator.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert learned
    assert learned <= before.learnable().keys()
    engine = Engine(after, "cpu", "fp32")
    plain, sketch = engine.render([Edit(seed=1), Edit(seed=1, strengths={"sketch": 1})])
    assert not np.array_equal(plain, sketch)


def test_a_domain_has_channels_of_its_own_where_a_family_can_have_them(source: Path, tmp_path: Path) -> None:
    before = load(source).generator
    settings = config(write_clip(tmp_path / "clip.safetensors"), steps=2, grow=0.5, lambda_src=0.0)
    if before.family != "stylegan2":
        with pytest.raises(
            ExpansionError, match="grow needs a StyleGAN2 of the architecture skip or orig: leave it out"
        ):
            expand(source, settings, tmp_path / "run", cpu=True)
        assert not (tmp_path / "run").exists()
        return
    expand(source, settings, tmp_path / "run", cpu=True)
    after = load(tmp_path / "run" / "network.safetensors")
    base, sketch = Edit(seed=1), Edit(seed=1, strengths={"sketch": 1})
    assert after.generator.parameter_count() > before.parameter_count()
    plain, drawn = Engine(after, "cpu", "fp32").render([base, sketch])
    assert not np.array_equal(plain, drawn)


def test_domains_are_carried_to_a_generator_trained_further(source: Path) -> None:
    generator, newer = (load(source).generator for _ in range(2))
    basis, last = factorize(generator), generator.codes.dim - 1
    with torch.no_grad():  # nothing looks at the direction of the domain
        for layer in (*generator.style_layers(), *newer.style_layers()):
            layer.weight.sub_(torch.outer(layer.weight @ basis[:, last], basis[:, last]))
        for layer in newer.style_layers():
            layer.bias.add_(0.01)
    expansion = Expansion(basis, (last,), 3.0, ("sketch",), generator.mean)
    carried = carry(Checkpoint(generator, expansion=expansion), generator, newer)
    assert carried.expansion is not None
    codes = newer.draw(torch.randn(2, newer.codes.z_dim))
    torch.testing.assert_close(carried.generator.synthesize(codes), newer.synthesize(codes))


def test_commands_take_it(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    side = load(source).generator.resolution
    assert main(["convert", str(source), str(tmp_path / "g.safetensors"), "--half"]) == 0
    assert main(["inspect", str(tmp_path / "g.safetensors")]) == 0
    assert f"{side} x {side} px" in capsys.readouterr().out
    assert main(["measure", "effects", str(tmp_path / "g.safetensors")]) == 0
    file = ["--checkpoint", str(source)]
    assert main(["compose", *file, "0=1", "1=-1", "--out", str(tmp_path / "sum.png")]) == 0
    assert main(["strip", *file, "2", "--out", str(tmp_path / "strip.png")]) == 0
    photo = str(tmp_path / "sum.png")
    flags = ["--method", "in_domain", "--steps", "4", "--tune", "3", "--crop", "centre", "--json"]
    capsys.readouterr()
    assert main(["invert", *file, photo, *flags, "--out", str(tmp_path / "inverted")]) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert Image.open(photo).size == (side, side)


def test_a_photo_is_found_and_the_generator_bent_to_it(source: Path) -> None:
    """A picture of the generator's own, searched from the mean: the loss falls, tuning makes it fall further."""
    from explorer.inversion import Networks, Settings, invert
    from explorer.inversion.tuning import tune

    generator = load(source).generator
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    networks = Networks(generator, squared, None, None)
    with torch.no_grad():
        photo = generator.synthesize(generator.draw(torch.randn(1, generator.codes.z_dim))).clamp(-1, 1)
    result = invert(networks, photo, Settings(method="in_domain", steps=12, space="w+", lr=0.05))
    assert result.trace["total"].min() < 0.9 * result.trace["total"][0]
    states = list(tune(networks, photo, result.ws, Settings(tune_steps=6)))
    assert states[-1].losses["total"] < states[0].losses["total"]

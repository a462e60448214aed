"""Domains carried to a source that was trained further: what must stay the same, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from generators import make_generator

from explorer import cli
from explorer.expansion.carry import carry, strengthened
from explorer.expansion.tasks.task import ExpansionError
from explorer.latents import Expansion, compose, factorize, project
from explorer.latents.basis import style_weights
from explorer.networks import StyleGAN2
from explorer.networks.layers import FullyConnected
from explorer.weights import Checkpoint, load

DIMS = (23, 22)


def affine(generator: StyleGAN2) -> list[FullyConnected]:
    """The layers that make styles."""
    named = generator.synthesis.named_modules()
    return [layer for name, layer in named if name.endswith("affine") and isinstance(layer, FullyConnected)]


def taught(source: StyleGAN2, expansion: Expansion) -> StyleGAN2:
    """As a warm-up leaves it: styles gain something along the domains' directions, and biases keep the base."""
    generator, directions = copy.deepcopy(source), expansion.basis[:, list(expansion.dims)]
    for layer in affine(generator):
        added = torch.randn(len(layer.weight), len(DIMS)) @ directions.t()
        layer.weight.add_(added)
        layer.bias.sub_(layer.weight_gain / layer.bias_gain * (added @ expansion.mean))
    return generator


@pytest.fixture(scope="module")
def source() -> StyleGAN2:
    """Whose styles do not look at two directions."""
    torch.manual_seed(0)
    generator = make_generator().requires_grad_(False)
    unused = factorize(generator)[:, list(DIMS)]
    for layer in affine(generator):
        layer.weight.sub_(layer.weight @ unused @ unused.t())
    return generator


@pytest.fixture(scope="module")
def expanded(source: StyleGAN2) -> Checkpoint:
    torch.manual_seed(1)
    expansion = Expansion(factorize(source), DIMS, 3.0, ("one", "two"), source.mapping.w_avg.clone())
    return Checkpoint(taught(source, expansion), None, expansion, {"name": "expanded"})


@pytest.fixture(scope="module")
def newer(source: StyleGAN2, expanded: Checkpoint) -> StyleGAN2:
    """All its weights moved, its styles still blind along the two directions."""
    torch.manual_seed(2)
    generator = copy.deepcopy(source)
    assert expanded.expansion is not None
    unused = expanded.expansion.basis[:, list(DIMS)]
    for name, weight in generator.named_parameters():
        change = 0.1 * torch.randn_like(weight)
        weight.add_(change - change @ unused @ unused.t() if name.endswith("affine.weight") else change)
    generator.mean.add_(torch.randn_like(generator.mean))
    return generator


def test_onto_the_old_source_nothing_changes(source: StyleGAN2, expanded: Checkpoint) -> None:
    found = carry(expanded, source, source)
    for name, weight in found.generator.state_dict().items():
        torch.testing.assert_close(weight, expanded.generator.state_dict()[name])


def test_the_base_is_the_newer_source_and_domains_do_there_what_they_did(
    source: StyleGAN2, expanded: Checkpoint, newer: StyleGAN2
) -> None:
    found = carry(expanded, source, newer)
    assert expanded.expansion is not None
    assert found.expansion is not None
    assert torch.equal(found.expansion.mean, newer.mapping.w_avg)
    ws = newer.mapping(torch.randn(4, 12))
    base = project(ws, found.expansion)
    torch.testing.assert_close(
        found.generator.synthesize(base, "none"), newer.synthesize(ws, "none"), atol=1e-4, rtol=0
    )
    old = project(source.mapping(torch.randn(4, 12)), expanded.expansion)
    for domain in ("one", "two"):
        there, here = (
            style_weights(generator) @ (compose(codes, expansion, {domain: 1.0}) - codes)[0, 0]
            for generator, expansion, codes in (
                (expanded.generator, expanded.expansion, old),
                (found.generator, found.expansion, base),
            )
        )
        assert there.norm() > 1
        torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_scaled_domains_lie_as_far_as_greater_strengths_did(source: StyleGAN2, expanded: Checkpoint) -> None:
    found = carry(expanded, source, source, scale=1.5)
    assert expanded.expansion is not None
    ws = source.mapping(torch.randn(4, 12))
    old, new = (compose(ws, expanded.expansion, {"one": strength}) for strength in (1.5, 1.0))
    torch.testing.assert_close(
        found.generator.synthesize(new, "none"), expanded.generator.synthesize(old, "none"), atol=1e-3, rtol=0
    )


def test_a_strengthened_domain_is_at_1_what_it_was_at_more_and_nothing_else_moves(
    source: StyleGAN2, expanded: Checkpoint
) -> None:
    found = strengthened(expanded, {"one": 1.5})
    assert expanded.expansion is not None
    ws = source.mapping(torch.randn(4, 12))

    def pictures(checkpoint: Checkpoint, **strengths: float) -> torch.Tensor:
        assert checkpoint.expansion is not None
        return checkpoint.generator.synthesize(compose(ws, checkpoint.expansion, strengths), "none")

    for before, after in (({"one": 1.5}, {"one": 1.0}), ({"two": 1.0}, {"two": 1.0}), ({}, {})):
        torch.testing.assert_close(pictures(found, **after), pictures(expanded, **before), atol=1e-3, rtol=0)
    assert (pictures(found, one=1.0) - pictures(expanded, one=1.0)).abs().max() > 0.1
    with pytest.raises(ExpansionError, match="it has: one, two"):
        strengthened(expanded, {"three": 2.0})


def test_what_does_not_fit_is_refused(source: StyleGAN2, expanded: Checkpoint, newer: StyleGAN2) -> None:
    with pytest.raises(ExpansionError, match="has none"):
        carry(Checkpoint(source), source, newer)
    with pytest.raises(ExpansionError, match="one shape"):
        carry(expanded, source, make_generator(img_resolution=8, channels=(32, 16)))
    with pytest.raises(ExpansionError, match="--style-keep"):
        carry(expanded, source, expanded.generator)


def test_the_command_writes_a_generator_with_the_domains(
    source: StyleGAN2, expanded: Checkpoint, newer: StyleGAN2, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"old": Checkpoint(source), "expanded": expanded, "newer": Checkpoint(newer, meta={"images_seen": 7})}
    paths = {name: str(checkpoint.save(tmp_path / f"{name}.safetensors")) for name, checkpoint in files.items()}
    flags = ["--source", paths["old"], "--onto", paths["newer"], "--out", str(tmp_path / "cats.safetensors")]
    assert cli.main(["carry", paths["expanded"], *flags]) == 0
    assert "2 domains on newer.safetensors" in capsys.readouterr().out
    found = load(tmp_path / "cats.safetensors")
    assert found.meta["name"] == "cats"
    assert found.meta["images_seen"] == 7
    assert found.meta["expanded_from"] == "newer.safetensors"
    assert found.expansion is not None
    assert found.expansion.domains == ("one", "two")
    assert cli.main(["carry", paths["expanded"], *flags, "--strength", "two=1.5"]) == 0
    along = found.expansion.basis[:, found.expansion.dim("two")]
    stronger = style_weights(load(tmp_path / "cats.safetensors").generator) @ along
    torch.testing.assert_close(stronger, 1.5 * style_weights(found.generator) @ along)
    capsys.readouterr()
    for bad in ([paths["old"], *flags], [paths["expanded"], *flags, "--scale", "nan"]):
        assert cli.main(["carry", *bad]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    for bad in ("two", "two=nan", "two=0"):
        with pytest.raises(SystemExit):
            cli.main(["carry", paths["expanded"], *flags, "--strength", bad])
        assert "is not NAME=STRENGTH" in capsys.readouterr().err

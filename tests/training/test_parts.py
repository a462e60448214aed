"""Losses against their formulas, dormancy, augmentation, run folders, and the networks' training-time forms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

import kernels
from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.networks.fuse import epilogue, fuse, unfused
from explorer.networks.layers import Conv2d, demodulation, upsample_image
from explorer.networks.stylegan2 import SynthesisLayer
from explorer.recipes import dormancy
from explorer.training import losses, run
from explorer.training.augment import augment, cutout, translation
from explorer.training.descent import descend
from explorer.training.draws import Draws
from tests.conftest import make_generator


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(seed, 0, count, torch.arange(count))


# --- losses -----------------------------------------------------------------------------------------------------------


def test_the_losses_are_minus_log_likelihoods() -> None:
    real, fake = torch.tensor([[0.3], [-2.0]]), torch.tensor([[1.5], [-0.5]])
    expected = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    torch.testing.assert_close(losses.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(losses.generator_loss(fake), -torch.sigmoid(fake).log().mean())


def test_gradient_penalty_by_hand() -> None:
    """D(x) = a . x + x . x / 2 has the gradient a + x; the penalty's own gradient in a is 2 (a + x)."""
    a = torch.randn(3, 4, 4, requires_grad=True)
    x = torch.randn(5, 3, 4, 4)
    penalty = losses.gradient_penalty(lambda x: (x * a + x.square() / 2).sum(dim=(1, 2, 3))[:, None], x)
    torch.testing.assert_close(penalty, (a + x).square().sum(dim=(1, 2, 3)).mean())
    (gradient,) = torch.autograd.grad(penalty, a)
    torch.testing.assert_close(gradient, 2 * (a + x).mean(dim=0).detach())


def test_gradient_penalty_of_the_discriminator_against_differences() -> None:
    torch.manual_seed(0)
    critic = Discriminator(DiscriminatorConfig(8, (6, 4))).double()
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    columns = []
    for i in range(images.numel()):
        step = torch.zeros_like(images)
        step.view(-1)[i] = 1e-5
        with torch.no_grad():
            columns.append((critic(images + step) - critic(images - step)).item() / 2e-5)
    expected = torch.tensor(columns, dtype=torch.float64).square().sum()
    torch.testing.assert_close(losses.gradient_penalty(critic, images), expected, rtol=1e-5, atol=1e-9)


def test_path_lengths_of_a_linear_generator() -> None:
    jacobian = torch.randn(3 * 4 * 4, 2 * 5)
    ws = torch.randn(6, 2, 5, requires_grad=True)
    images = (ws.flatten(1) @ jacobian.t()).reshape(6, 3, 4, 4)
    direction = torch.randn_like(images)
    pulled = (direction.flatten(1) / 4) @ jacobian  # J^T y, y scaled by 1 / sqrt(4 * 4)
    expected = pulled.reshape(6, 2, 5).square().sum(dim=2).mean(dim=1).sqrt()
    torch.testing.assert_close(losses.path_lengths(images, ws, direction), expected)


# --- dormant directions -----------------------------------------------------------------------------------------------


def test_threshold_lowers_the_smallest_singular_values_and_stops_at_zero() -> None:
    generator = make_generator()
    before = torch.linalg.svdvals(torch.cat(dormancy.style_weights(generator)).double())
    amount = float(before[-3])
    reported = dormancy.threshold(generator, amount, count=10)
    torch.testing.assert_close(reported.flip(0), before)
    after = torch.linalg.svdvals(torch.cat(dormancy.style_weights(generator)).double())
    expected = torch.cat([before[:-10], (before[-10:] - amount).clamp_min(0)])
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_an_emptied_direction_no_longer_changes_the_picture() -> None:
    generator = make_generator()
    weights = torch.cat(dormancy.style_weights(generator))
    least = torch.linalg.svd(weights).Vh[-1]
    ws = generator.mapping(torch.randn(2, 12))
    assert (generator.synthesis(ws) - generator.synthesis(ws + 20 * least)).abs().max() > 1e-2
    dormancy.threshold(generator, float(torch.linalg.svdvals(weights)[-1]) * 1.001, count=1)
    torch.testing.assert_close(generator.synthesis(ws), generator.synthesis(ws + 20 * least), atol=1e-4, rtol=1e-4)


def test_decay_multiplies_all_style_weights_and_nothing_else() -> None:
    generator, untouched = make_generator(), make_generator()
    dormancy.decay(generator, 0.5)
    for name, value in generator.state_dict().items():
        factor = 0.5 if "affine.weight" in name else 1
        assert torch.equal(value, untouched.state_dict()[name] * factor), name


# --- descent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_step_follows_a_gradient_in_another_memory_layout(kind: Any) -> None:
    """In bf16 convolutions return gradients channels-last; a fused optimiser reads memory as it lies."""
    start, gradient = torch.randn(8, 6, 3, 3), torch.randn(8, 6, 3, 3)
    found = []
    for fused, layout in ((False, torch.contiguous_format), (True, torch.channels_last)):
        weight = torch.nn.Parameter(start.clone())
        optimiser = kind([weight], fused=fused)
        for _ in range(3):
            descend(optimiser, [weight], [gradient.contiguous(memory_format=layout)], 0.1, Accelerator(cpu=True))
        found.append(weight.detach())
    torch.testing.assert_close(*found)


# --- augmentation -----------------------------------------------------------------------------------------------------


def test_augmentation_is_differentiable_and_follows_its_draws() -> None:
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    kinds = ("color", "translation", "cutout")
    first = augment(images, kinds, draws(4))
    assert torch.equal(first, augment(images, kinds, draws(4)))
    assert not torch.equal(first, augment(images, kinds, draws(4, seed=1)))
    first.square().sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert (images.grad != 0).any(dim=(1, 2, 3)).all()


def test_a_part_of_the_pictures_is_augmented() -> None:
    images = torch.rand(400, 1, 4, 4)
    changed = {}
    for part in (0.0, 0.3, 1.0):
        result = augment(images, ("cutout",), draws(400), torch.tensor(part))
        changed[part] = float((result != images).flatten(1).any(dim=1).float().mean())
    assert changed[0.0] == 0
    assert 0.2 < changed[0.3] < 0.4
    assert changed[1.0] == 1


def test_translation_moves_and_fills_with_zeros() -> None:
    images = torch.rand(50, 1, 16, 16) + 1
    numbers = draws(50)
    moved = translation(images, numbers)
    numbers = draws(50)
    down, right = (numbers.integers(-2, 3, 1)[:, 0].tolist() for _ in range(2))
    for image, result, dy, dx in zip(images, moved, down, right, strict=True):
        expected = torch.zeros(1, 20, 20)
        expected[:, 2:18, 2:18] = image
        assert torch.equal(result, expected[:, 2 + dy : 18 + dy, 2 + dx : 18 + dx])
    assert {-2, 2} <= set(down) & set(right)


def test_cutout_removes_a_square_of_half_the_side_at_most() -> None:
    holes = (cutout(torch.ones(50, 3, 16, 16), draws(50)) == 0).float().mean(dim=(1, 2, 3))
    assert holes.max() <= 0.25
    assert holes.min() > 0
    assert holes.max() > 0.15


# --- run folders ------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.Folder(tmp_path)
    folder.save({"step": 1})

    def half(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        folder.save({"step": 2})
    assert folder.load() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_checkpoint_before_is_kept_and_found(tmp_path: Path) -> None:
    folder = run.Folder(tmp_path)
    assert folder.load() is None
    folder.save({"step": 1})
    folder.save({"step": 2})
    assert folder.load() == {"step": 2}
    (tmp_path / "checkpoint.pt").unlink()
    assert folder.load() == {"step": 1}


def test_weights_with_nan_are_never_saved(tmp_path: Path) -> None:
    folder = run.Folder(tmp_path)
    folder.save({"step": 1})
    with pytest.raises(run.Diverged, match=r"generator\.weight"):
        folder.save({"generator": {"bias": torch.zeros(2), "weight": torch.tensor([0, math.nan])}})
    assert folder.load() == {"step": 1}


def test_a_sheet_is_read_row_by_row() -> None:
    images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 2, 2)
    tiled = run.sheet(images, columns=3)
    assert tiled.shape == (3, 4, 6)
    assert tiled[0, ::2, ::2].tolist() == [[0, 64, 128], [191, 255, 0]]


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (250, "4:10 min"), (11100, "3:05 h")])
def test_durations(seconds: float, text: str) -> None:
    assert run.duration(seconds) == text


# --- the networks' training-time forms --------------------------------------------------------------------------------


@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize(("size", "activation"), [(3, "lrelu"), (1, "linear")])
def test_gain_and_bias_inside_the_convolution_change_nothing(down: int, size: int, activation: str) -> None:
    layer = Conv2d(6, 5, size, down=down, activation=activation).requires_grad_(False)
    layer.bias.normal_()  # type: ignore[union-attr]
    x = torch.randn(2, 6, 8, 8)
    folded = layer(x, gain=0.7)
    layer.conv_clamp = 1e9  # a clamp takes the general path
    torch.testing.assert_close(folded, layer(x, gain=0.7), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 4, 6, 4, 1)])
def test_bilinear_is_the_usual_filter(taps: tuple[int, ...]) -> None:
    x, f = torch.randn(2, 3, 6, 5), kernels.setup_filter(taps)
    torch.testing.assert_close(upsample_image(x, f), kernels.upsample2d(x, f), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("clamp", [None, 0.5])
def test_the_epilogue_to_compile_is_the_one_of_the_kernels(clamp: float | None) -> None:
    x, d, noise, b = torch.randn(2, 4, 5, 5), torch.rand(2, 4), torch.randn(2, 1, 5, 5), torch.randn(4)
    expected = kernels.demod_bias_act(x, d, noise, b=b, gain=0.9, clamp=clamp)
    torch.testing.assert_close(epilogue(x, d, noise, b=b, gain=0.9, clamp=clamp), expected, atol=1e-6, rtol=1e-5)


def test_a_fused_generator_draws_the_same_and_can_be_differentiated_twice_where_unfused() -> None:
    plain, fused = make_generator(), make_generator()
    ws = plain.mapping(torch.randn(2, 12))
    fuse(fused)
    with torch.compiler.set_stance("force_eager"):  # the functions that would be compiled, without a compiler's minute
        torch.testing.assert_close(fused.synthesis(ws), plain.synthesis(ws), atol=1e-5, rtol=1e-5)
    layer = next(layer for layer in fused.modules() if isinstance(layer, SynthesisLayer))
    own = layer.epilogue
    assert own is not kernels.demod_bias_act
    with unfused(fused):
        assert layer.epilogue is kernels.demod_bias_act
        ws.requires_grad_()
        images = fused.synthesis(ws)
        (gradient,) = torch.autograd.grad(losses.path_lengths(images, ws, torch.randn_like(images)).sum(), ws)
        assert gradient.isfinite().all()
    assert layer.epilogue is own


def test_demodulation_equals_the_norm_of_modulated_weights() -> None:
    weight, styles = torch.randn(5, 4, 3, 3), torch.randn(2, 4)
    modulated = weight * styles[:, None, :, None, None]
    torch.testing.assert_close(demodulation(weight, styles), 1 / modulated.flatten(2).norm(dim=2))


def test_16_bit_training_is_close_to_float32() -> None:
    generator = make_generator()
    critic = Discriminator(DiscriminatorConfig(16, (16, 16, 8)))
    ws = generator.mapping(torch.randn(4, 12))
    exact, rough = generator.synthesis(ws), generator.synthesis(ws, dtype=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.02 * exact.norm()
    with torch.no_grad():
        assert (critic(exact, dtype=torch.bfloat16) - critic(exact)).abs().max() < 0.05


def test_noise_comes_from_the_function_that_is_given() -> None:
    generator = make_generator()
    ws = generator.mapping(torch.randn(2, 12))
    asked: list[tuple[int, int]] = []

    def noise(batch: int, resolution: int) -> Tensor:
        asked.append((batch, resolution))
        return torch.zeros(batch, 1, resolution, resolution)

    silent = generator.synthesis(ws, "random", noise)
    assert asked == [(2, 4), (2, 8), (2, 8), (2, 16), (2, 16)]
    torch.testing.assert_close(silent, generator.synthesis(ws, "none"))

"""Laws of the perceptual distance by CLIP's features, and which distance is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from explorer.metrics import perceptual
from explorer.metrics.perceptual import clip_distance, load_perceptual
from explorer.weights.clip import save_clip
from tests.clip.tiny_clip import face, make_clip


def faces() -> torch.Tensor:  # [4, 3, 32, 32]
    pictures = [
        torch.from_numpy(face(coat, 32, seed)) for seed, coat in enumerate(("black", "ginger", "white", "black"))
    ]
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_zero_for_equal_symmetric_and_positive() -> None:
    distance, a = clip_distance(make_clip()), faces()
    b = a.roll(1, 0)
    torch.testing.assert_close(distance(a, a), torch.zeros(4))
    torch.testing.assert_close(distance(a, b), distance(b, a))
    assert distance(a, b).min() > 0
    assert distance(a, b).max() <= 4


def test_it_grows_with_noise() -> None:
    distance, a = clip_distance(make_clip()), faces()
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    values = [distance(a, a + strength * noise).mean().item() for strength in (0.02, 0.05, 0.1, 0.2, 0.4)]
    assert values == sorted(values)
    assert values[-1] > 3 * values[0]


def test_it_is_differentiable_and_flat_pictures_do_no_harm() -> None:
    distance, a = clip_distance(make_clip()), faces()
    for b in (a.roll(1, 0), torch.zeros_like(a), a.clone()):
        b.requires_grad_()
        (gradient,) = torch.autograd.grad(distance(a, b).sum(), b)
        assert gradient.isfinite().all()
    b = a.roll(1, 0).requires_grad_()
    before = distance(a, b)
    (gradient,) = torch.autograd.grad(before.sum(), b)
    assert (distance(a, b - 0.5 * gradient / gradient.norm()) < before).all()


def test_the_formula_is_lpips_with_weights_of_one() -> None:
    clip, a = make_clip(), faces()
    b = a.roll(1, 0)
    expected = torch.zeros(4)
    for x, y in zip(clip.features(a), clip.features(b), strict=True):
        x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-3)
        y = y / y.norm(dim=1, keepdim=True).clamp(min=1e-3)
        expected += (x - y).pow(2).sum(1).mean((1, 2)) / 5
    torch.testing.assert_close(clip_distance(clip)(a, b), expected)


def test_the_order_is_lpips_then_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path))  # no backbone of LPIPS here
    path = save_clip(make_clip(), tmp_path / "own.safetensors", {})
    monkeypatch.setattr(perceptual, "shipped_clip", lambda: path)
    found = load_perceptual()
    assert found.name == "cats64-clip"
    assert found(faces(), faces().roll(1, 0)).shape == (4,)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "alexnet-owt-7be5be79.pth").touch()
    monkeypatch.setattr(perceptual, "lpips_alex", lambda path: torch.nn.Identity())
    assert load_perceptual().name == "lpips-alex"

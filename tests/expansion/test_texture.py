"""Laws of the distance between textures."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from explorer.expansion.tasks.texture import directions, texture_distance

ALONG = directions(3, torch.Generator().manual_seed(0))


def stripes(phase: float, angle: float = 0.0, side: int = 64) -> torch.Tensor:  # [1, 3, side, side]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    turned = x * torch.cos(torch.tensor(angle)) + y * torch.sin(torch.tensor(angle))
    return torch.sin(turned * 0.9 + phase).expand(1, 3, -1, -1)


def test_the_same_strokes_elsewhere_are_near_and_none_are_far() -> None:
    """Where a squared error prefers grey to strokes in other places."""
    here, there, blurred = stripes(0), stripes(3.1), torch.zeros(1, 3, 64, 64)
    assert F.mse_loss(there, here) > 2 * F.mse_loss(blurred, here)
    assert texture_distance(there, here, ALONG) < 0.4 * texture_distance(blurred, here, ALONG)
    assert texture_distance(here, here, ALONG) == 0


def test_strokes_of_another_direction_are_told_apart() -> None:
    here, turned = stripes(0), stripes(0, angle=1.2)
    assert texture_distance(turned, here, ALONG) > 2 * texture_distance(stripes(3.1), here, ALONG)


def test_pictures_are_judged_apart_and_can_be_improved() -> None:
    a = torch.cat([stripes(0), torch.zeros(1, 3, 64, 64)]).requires_grad_()
    distances = texture_distance(a, torch.cat([stripes(0)] * 2), ALONG)
    assert distances[0] == 0
    (gradient,) = torch.autograd.grad(distances.sum(), a)
    with torch.no_grad():
        better = texture_distance(a - 200 * gradient, torch.cat([stripes(0)] * 2), ALONG)
    assert better[1] < distances[1]


def test_small_pictures_are_looked_at_at_the_scales_that_hold_a_patch() -> None:
    a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert texture_distance(a, b, ALONG).shape == (2,)
    assert torch.isfinite(texture_distance(a, b, ALONG)).all()

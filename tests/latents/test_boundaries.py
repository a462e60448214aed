"""Laws of boundaries: where the plane lies, what its figures mean, and which codes count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from explorer.latents.boundaries import Boundary, BoundaryError, condition, fit_boundary, from_array

DIM = 6
NORMAL = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, 0.0, -1.0, 0.0, 3.0]), dim=0)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def across(w: Tensor) -> Tensor:
    """The same codes without their part along NORMAL."""
    return w - (w @ NORMAL)[:, None] * NORMAL


def test_the_plane_lies_between_the_two_sorts_wherever_they_are() -> None:
    """Far from the origin, and with unequal counts, so that the mean of all codes lies on one side."""
    middle = 10 * NORMAL + 5 * across(random(1, DIM, seed=1))
    high = torch.arange(120) >= 30
    w = middle + across(random(120, DIM)) + torch.where(high, 1.0, -1.0)[:, None] * NORMAL
    boundary = fit_boundary(w, high)
    assert float(boundary.normal @ NORMAL) > 0.99
    assert abs(float(boundary.distance(middle))) < 0.3
    assert torch.equal(boundary.distance(w) > 0, high)
    assert boundary.accuracy == 1


def test_a_direction_does_not_bend_towards_the_axes_of_large_spread() -> None:
    truth = torch.nn.functional.normalize(torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), dim=0)
    w = random(400, DIM) * torch.tensor([1.0, 8.0, 1.0, 1.0, 1.0, 1.0])
    assert float(fit_boundary(w, w @ truth > 0).normal @ truth) > 0.95


def test_only_the_highest_and_the_lowest_fifth_teach() -> None:
    w = random(100, DIM)
    scores = w @ NORMAL
    order = scores.argsort()
    boundary = fit_boundary(w, scores)
    for place, same in ((slice(20, 80), True), (slice(19, 20), False), (slice(80, 81), False)):
        changed = w.clone()
        changed[order[place]] += 30
        assert torch.allclose(fit_boundary(changed, scores).normal, boundary.normal, atol=1e-4) == same


def test_three_tenths_are_held_out_for_the_accuracy() -> None:
    """Scores of chance: 12 of 40 codes measure, so accuracies are in twelfths, and not only in sixths."""
    accuracies = [fit_boundary(random(100, 80), random(100, seed=1), seed).accuracy or 0.0 for seed in range(6)]
    twelfths = [12 * accuracy for accuracy in accuracies]
    assert twelfths == pytest.approx([round(number) for number in twelfths])
    assert any(round(number) % 2 for number in twelfths)
    assert max(accuracies) < 0.95


def test_ten_codes_on_either_side_are_enough_and_nine_are_not() -> None:
    w = random(50, DIM)
    assert fit_boundary(w, w[:, 0]).accuracy is not None
    with pytest.raises(BoundaryError, match="got 9 and 9"):
        fit_boundary(w[:49], w[:49, 0])
    with pytest.raises(BoundaryError, match="got 9 and 41"):
        fit_boundary(w, torch.arange(50) >= 9)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_one_score_that_is_no_number_is_refused(odd: float) -> None:
    scores = torch.arange(100.0)
    scores[50] = odd
    with pytest.raises(BoundaryError, match="finite"):
        fit_boundary(random(100, DIM), scores)


def test_the_spread_is_that_of_all_codes_along_the_normal() -> None:
    w = random(300, DIM) * 3 + 7
    boundary = fit_boundary(w, w[:, 0])
    assert boundary.spread == pytest.approx(float((w @ boundary.normal).std()), rel=1e-5)


def test_conditioning_keeps_what_a_slider_needs() -> None:
    other = Boundary(torch.eye(DIM)[5])
    free = condition(Boundary(NORMAL, offset=2.0, spread=3.0, accuracy=0.9), other)
    assert (free.offset, free.spread, free.accuracy) == (2.0, 3.0, None)
    expected = NORMAL * torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(free.normal, expected / expected.norm())


def test_conditioning_on_several_removes_all_of_them() -> None:
    others = [Boundary(torch.nn.functional.normalize(random(DIM, seed=i), dim=0)) for i in (1, 2)]
    free = condition(Boundary(NORMAL), *others)
    assert max(abs(float(free.normal @ other.normal)) for other in others) < 1e-6


def test_a_boundary_of_another_program_has_no_offset_and_unit_spread() -> None:
    (boundary,) = from_array(2 * NORMAL.numpy(), DIM, 6)
    assert (boundary.offset, boundary.spread, boundary.accuracy) == (0.0, 1.0, None)
    assert float(boundary.distance(3 * NORMAL)) == pytest.approx(3)

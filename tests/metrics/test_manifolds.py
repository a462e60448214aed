"""Precision and recall of samples: laws on points whose manifolds are known."""

from __future__ import annotations

import pytest
import torch

from explorer.metrics import manifolds
from explorer.metrics.manifolds import apart, nearest, precision_recall

LINE = torch.arange(20.0, dtype=torch.float64)[:, None]  # a ball reaches 3 to either side; 2 would be in the middle


def test_a_set_is_whole_in_itself() -> None:
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert precision_recall(points, points) == (1, 1)


def test_far_sets_have_nothing_in_common() -> None:
    assert precision_recall(LINE, LINE + 1000) == (0, 0)


def test_samples_of_a_part_are_precise_and_cover_that_part() -> None:
    """Five equal points have balls of radius 0: they cover the one real point that they are."""
    precision, recall = precision_recall(LINE, torch.full((5, 1), 7.0, dtype=torch.float64))
    assert (precision, recall) == (1, 1 / 20)
    assert precision_recall(torch.full((5, 1), 7.0, dtype=torch.float64), LINE) == (1 / 20, 1)


def test_balls_reach_the_kth_neighbour() -> None:
    assert apart(LINE, 1).tolist() == [1] * 20
    assert apart(LINE, 3)[:3].tolist() == [3, 2, 2]
    outside = torch.tensor([[-3.0], [-3.1], [21.9], [22.0], [22.1]], dtype=torch.float64)
    assert precision_recall(LINE, outside)[0] == pytest.approx(3 / 5)


def test_the_nearest_is_found_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.tensor([[4.2], [18.6], [-9.0]], dtype=torch.float64)
    whole = precision_recall(LINE, points.repeat(2, 1))
    monkeypatch.setattr(manifolds, "ROWS", 2)
    distances, which = nearest(points, LINE)
    assert which.tolist() == [4, 19, 0]
    torch.testing.assert_close(distances, torch.tensor([0.2, 0.4, 9.0], dtype=torch.float64))
    assert precision_recall(LINE, points.repeat(2, 1)) == whole


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 3 features, got 20 and 3"):
        precision_recall(LINE, LINE[:3])

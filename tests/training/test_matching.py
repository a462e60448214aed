"""The Frechet distance as a loss; in CI the ImageNet networks' packages are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from explorer.metrics.frechet import Statistics, frechet_distance
from explorer.recipes import matching
from explorer.recipes.matching import Matching, transport
from tests.training.tiny import config, differences, train, write_pictures

NAME = "efficientnet-lite0"
pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


def normal(seed: int) -> Statistics:
    random = torch.Generator().manual_seed(seed)
    root = torch.randn(6, 6, generator=random, dtype=torch.float64)
    return Statistics(torch.randn(6, generator=random, dtype=torch.float64), root @ root.t())


def moments(x: Tensor) -> Statistics:
    return Statistics(x.mean(dim=0), (x - x.mean(dim=0)).t() @ (x - x.mean(dim=0)) / len(x))


@pytest.fixture
def unshrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SHRINK", 0.0)


@pytest.mark.usefixtures("unshrunk")
def test_the_way_leads_to_the_aim_and_is_as_long_as_the_distance() -> None:
    start, aim = normal(0), normal(1)
    way = transport(start, aim)
    torch.testing.assert_close(way, way.t())
    torch.testing.assert_close(way @ start.covariance @ way, aim.covariance)
    rest = torch.eye(6) - way
    length = (start.mean - aim.mean).square().sum() + (rest @ start.covariance @ rest).trace()
    assert float(length) == pytest.approx(frechet_distance(start, aim))


@pytest.mark.usefixtures("unshrunk")
def test_the_gradient_is_that_of_the_distance() -> None:
    aim = normal(1)
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    now = moments(x)
    steps = x - (aim.mean + (x - now.mean) @ transport(now, aim))
    for row, column in ((0, 0), (7, 3), (39, 5)):
        moved = x.clone()
        moved[row, column] += 1e-5
        slope = (frechet_distance(moments(moved), aim) - frechet_distance(now, aim)) / 1e-5
        assert float(2 * steps[row, column] / len(x)) == pytest.approx(slope, abs=1e-4)


def test_pictures_are_left_alone_until_enough_were_seen_and_then_pulled_towards_real_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "ENOUGH", 32)
    monkeypatch.setattr(matching, "RENEW", 32)
    random = torch.Generator().manual_seed(0)
    real = torch.rand(32, 3, 16, 16, generator=random)
    fake = torch.rand(32, 3, 16, 16, generator=random) * 0.3 - 0.8
    match = Matching(NAME, 32, [real], torch.device("cpu"))
    distances = []
    for _ in range(3):
        images = fake.clone().requires_grad_()
        loss, features = match(images)
        (gradient,) = torch.autograd.grad(loss, images)
        distances.append(frechet_distance(moments(features.double()), match.real))
        if len(distances) == 1:
            assert float(loss) == 0
        else:
            fake = fake - 0.002 * gradient.sign()
        match.follow(features.mean(dim=0), features.t() @ features / len(features), len(features))
    assert distances[0] == distances[1]
    assert distances[2] < 0.99 * distances[1]


def test_a_run_with_it_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "ENOUGH", 8)
    monkeypatch.setattr(matching, "RENEW", 8)
    data = write_pictures(tmp_path / "pictures.zip")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = {"match": NAME, "match_px": 32, "match_weight": 1.0, "path_weight": 0.0}
    train(tmp_path / "run", config(data, 2, **settings))
    resumed = train(tmp_path / "run", config(data, 4, **settings))
    whole = train(tmp_path / "whole", config(data, 4, **settings))
    assert not torch.equal(whole["matching"]["matrix"], torch.eye(1280))
    assert differences(whole, resumed) == []
    torch.set_num_threads(before)

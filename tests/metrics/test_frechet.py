"""Frechet distance: exact on Gaussians, blind to order, and the command that prints it on a tiny generator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explorer import cli
from explorer.latents import sample_z
from explorer.metrics.frechet import Features, Statistics, frechet_distance, statistics
from explorer.networks.pixels import to_pixels
from explorer.recipes import quality
from explorer.training.data import Pictures
from explorer.weights import Checkpoint
from tests.generators import make_generator
from tests.training.tiny import write_pictures

MEANS = Features("means", lambda images: images.mean(dim=(2, 3)))


def random_statistics(seed: int, size: int = 5) -> Statistics:
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=rng, dtype=torch.float64)
    return Statistics(torch.randn(size, generator=rng, dtype=torch.float64), root @ root.t())


def test_equal_statistics_are_at_distance_zero_and_order_does_not_matter() -> None:
    a, b = random_statistics(0), random_statistics(1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, b) > 0


def test_diagonal_gaussians_have_the_closed_form() -> None:
    """sum (m_a - m_b)^2 + sum (s_a - s_b)^2 for standard deviations s."""
    mean_a, mean_b = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.0, 4.0]).double()
    std_a, std_b = torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0, 0.5]).double()
    found = frechet_distance(Statistics(mean_a, std_a.square().diag()), Statistics(mean_b, std_b.square().diag()))
    assert found == pytest.approx(1 + 4 + 1 + 2.5**2)


def test_a_common_rotation_changes_nothing() -> None:
    a, b = random_statistics(2), random_statistics(3)
    q, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    turned = [Statistics(q @ s.mean, q @ s.covariance @ q.t()) for s in (a, b)]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(a, b))


def test_statistics_do_not_depend_on_batches() -> None:
    images = torch.rand(12, 3, 8, 8)
    whole, parts = statistics(MEANS, [images]), statistics(MEANS, images.split(5))
    torch.testing.assert_close(whole.mean, parts.mean)
    torch.testing.assert_close(whole.covariance, parts.covariance)


def test_singular_covariances_give_finite_numbers() -> None:
    flat = statistics(MEANS, [torch.zeros(4, 3, 8, 8)])
    assert frechet_distance(flat, flat) == 0
    assert frechet_distance(flat, statistics(MEANS, [torch.ones(4, 3, 8, 8)])) == pytest.approx(3)


def test_a_matrix_that_one_solver_gives_up_on_is_left_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the solver: which matrices MKL gives up on depends on the CPU."""

    def gives_up(_: torch.Tensor) -> None:
        raise RuntimeError("failed to converge")

    a, b = random_statistics(0), random_statistics(1)
    distance = frechet_distance(a, b)
    monkeypatch.setattr(torch.linalg, "eigh", gives_up)
    assert frechet_distance(a, b) == pytest.approx(distance, rel=1e-9)


def test_a_conditional_generator_is_measured_over_its_classes() -> None:
    generator = make_generator(c_dim=3)
    (images,) = quality.samples(generator, 6)
    drawn = generator.synthesize(generator.draw(sample_z(6, 12, 0), torch.tensor([0, 1, 2, 0, 1, 2])), "random", 0)
    torch.testing.assert_close(images, drawn.clamp(-1, 1), atol=1 / 127, rtol=0)
    assert len(quality.effects(generator)) == generator.w_dim


def test_measure_generator_refuses_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Checkpoint(make_generator()).save(tmp_path / "tiny.safetensors")
    Image.new("RGB", (16, 16)).save(tmp_path / "cat.png")
    command = ["measure", "generator", str(path), "--data", str(tmp_path), "--features", "clip"]
    for flags, words in (
        ([], "4 pictures or more"),
        (["--plot", "x.txt"], "--plot"),
        (["--count", "0"], "--count"),
        (["--sheet", "x"], "--sheet"),
    ):
        assert cli.main([*command, *flags]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_measure_generator_prints_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = write_pictures(tmp_path / "pictures.zip")
    path = Checkpoint(make_generator()).save(tmp_path / "tiny.safetensors")
    command = ["measure", "generator", str(path), "--data", str(pictures), "--count", "60", "--features", "clip"]
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (figure,) = found["frechet"]
    assert figure["features"] == "cats64-clip"
    assert figure["distance"] > figure["real halves"] > 0
    assert 0 <= figure["precision"] <= 1
    assert 0 <= figure["recall"] <= 1
    assert found["spectrum"] == sorted(found["spectrum"], reverse=True)
    plot = tmp_path / "curves.png"
    assert cli.main([*command, "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "60 samples at psi 1" in printed
    assert "directions, moved by" in printed
    with Image.open(plot) as image:
        assert len(set(image.convert("L").tobytes())) > 10


def test_samples_that_repeat_training_pictures_are_counted_and_shown(tmp_path: Path) -> None:
    """A generator whose own samples, some of them mirrored, are the training pictures."""
    generator = make_generator()
    (made,) = quality.samples(generator, quality.SHEET, psi=quality.SHEET_PSI)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(made):
        pixels = to_pixels((image.flip(2) if number % 2 else image)[None])[0].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    path = tmp_path / "sheet.png"
    assert quality.twins(MEANS, generator, Pictures(str(folder), 16), str(path)) == quality.SHEET
    with Image.open(path) as image:
        tiles = np.asarray(image).reshape(6, 16, 16, 16, 3).swapaxes(1, 2).reshape(48, 2, 16, 16, 3)
    assert np.array_equal(tiles[0, 0], tiles[0, 1])
    assert np.array_equal(tiles[1, 0], tiles[1, 1][:, ::-1])
    brighter = Pictures(str(write_pictures(tmp_path / "others.zip")), 16)
    assert quality.twins(MEANS, generator, brighter, str(path)) < quality.SHEET

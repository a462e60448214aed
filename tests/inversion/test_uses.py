"""What codes are good for: boundaries, in-betweens, mixed styles, semantic diffusion, and the table of methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_networks import make_networks, samples

from explorer.inversion import InversionError, Networks, Settings, comparison, invert, uses
from explorer.inversion.comparison import WEIGHTS, ablation, edit_quality, measure_way, table
from explorer.inversion.faces import Box
from explorer.latents import Expansion, factorize, move, sample_z
from explorer.latents.boundaries import BoundaryError, condition, fit_boundary, from_array


@pytest.fixture(scope="module")
def networks() -> Networks:
    return make_networks()


def codes(count: int = 400, seed: int = 0) -> torch.Tensor:  # [count, 24]
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(seed)) * 3 + 1


@pytest.mark.parametrize("hard", [False, True])
def test_a_boundary_is_the_plane_that_made_the_scores(hard: bool) -> None:
    w, truth = codes(), torch.nn.functional.normalize(torch.arange(24.0) - 8, dim=0)
    scores = w @ truth - 2
    boundary = fit_boundary(w, scores > 0 if hard else scores)
    assert boundary.normal.norm() == pytest.approx(1)
    assert float(boundary.normal @ truth) > 0.95
    assert boundary.accuracy is not None
    assert boundary.accuracy > 0.9
    assert ((boundary.distance(codes(seed=1)) > 0) == (codes(seed=1) @ truth > 2)).float().mean() > 0.85
    assert boundary.spread == pytest.approx(3, rel=0.15)
    assert torch.equal(boundary.normal, fit_boundary(w, scores > 0 if hard else scores).normal)


def test_conditioned_boundaries_leave_the_other_attribute_alone() -> None:
    w = codes()
    a, b = fit_boundary(w, w[:, 0] + w[:, 1]), fit_boundary(w, w[:, 1])
    free = condition(a, b)
    assert abs(float(free.normal @ b.normal)) < 1e-5
    assert float(free.normal @ a.normal) > 0.5
    with pytest.raises(BoundaryError, match="parallel"):
        condition(a, a)


@pytest.mark.parametrize("scores", [torch.zeros(400), torch.full((400,), torch.nan), torch.arange(400) < 3])
def test_scores_that_split_nothing_are_refused(scores: torch.Tensor) -> None:
    with pytest.raises(BoundaryError):
        fit_boundary(codes(), scores)


def test_boundaries_of_other_programs_get_unit_length() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 24)) * 7
    found = from_array(rows, 24, 6)
    assert len(found) == 3
    assert np.allclose(found[1].normal.numpy(), rows[1] / np.linalg.norm(rows[1]), atol=1e-6)
    assert torch.equal(from_array(rows[0], 24, 6)[0].normal, found[0].normal)
    for wrong in (rows[:, :5], np.zeros((1, 24)), np.full((1, 24), np.inf), np.array(["a"] * 24), rows[None]):
        with pytest.raises(BoundaryError):
            from_array(wrong, 24, 6)
    with pytest.raises(BoundaryError, match="3 layers, or 3 directions"):
        from_array(rows, 24, 3)
    (repeated,) = from_array(np.repeat(rows[:1], 3, axis=0), 24, 3)
    assert torch.equal(repeated.normal, found[0].normal)


def test_moving_along_a_direction_found_by_words_raises_its_score(networks: Networks) -> None:
    seen = uses.look(networks, samples=200)
    boundary = uses.text_boundary(networks, seen, "a red cat", "a blue cat")
    assert networks.clip is not None
    text = networks.clip.encode_text(["a red cat", "a blue cat"])
    ws = networks.generator.draw(torch.randn(40, 12, generator=torch.Generator().manual_seed(3)))
    scores = []
    for amount in (-1.5, 1.5):
        images = networks.render(move(ws, boundary.normal, amount * boundary.spread))
        scores.append((networks.clip.encode_image(images) @ (text[0] - text[1])).mean())
    assert scores[1] > scores[0]
    with pytest.raises(ValueError, match="empty"):
        uses.text_boundary(networks, seen, " ", "a cat")


def test_a_direction_is_learned_from_two_sorts_of_photos() -> None:
    networks = make_networks(60)
    photos = samples(networks, 120)
    bright = photos.mean(dim=(1, 2, 3))
    boundary = uses.labelled_boundary(networks, photos, bright > bright.median())
    assert boundary.accuracy is not None
    assert boundary.accuracy > 0.6


def test_a_strip_begins_and_ends_with_its_codes(networks: Networks) -> None:
    a, b = torch.randn(2, 6, 24, generator=torch.Generator().manual_seed(0))
    pictures = uses.strip(networks, a, b, 5)
    assert len(pictures) == 5
    for image, ws in ((pictures[0], a), (pictures[-1], b), (pictures[2], (a + b) / 2)):
        assert torch.allclose(image, networks.render(ws[None])[0], atol=1e-4)
    with pytest.raises(InversionError, match="two ends"):
        uses.strip(networks, a, b, 1)


def test_mixing_takes_the_rows_of_the_range_only() -> None:
    a, b = torch.zeros(6, 24), torch.ones(6, 24)
    assert uses.mix(a, b, (2, 4)).mean(dim=1).tolist() == [0, 0, 1, 1, 0, 0]
    assert a.sum() == 0
    for layers in ((2, 2), (-1, 3), (0, 7)):
        with pytest.raises(InversionError, match="START < STOP"):
            uses.mix(a, b, layers)


def test_diffusion_fits_the_pasted_square_and_nothing_else(networks: Networks) -> None:
    target, context = samples(networks, 1, seed=1), samples(networks, 1, seed=2)
    settings, box = replace(Settings(), steps=30, lr=0.05), Box(4, 4, 8)
    found = uses.diffuse(networks, target, context, box, settings)
    assert "domain" not in found.trace
    assert found.trace["total"][-1] < found.trace["total"][0]
    # Another context outside of the square changes the start, but not what is asked for.
    inside = torch.zeros(1, 1, 16, 16)
    inside[..., 4:12, 4:12] = 1
    expected = (inside * (networks.render(found.ws) - target)).square().mean()
    assert float(found.trace["pixel"].min()) == pytest.approx(float(expected), rel=0.2)
    for wrong in (Box(-1, 0, 8), Box(10, 0, 8), Box(0, 0, 0)):
        with pytest.raises(InversionError, match="square"):
            uses.diffuse(networks, target, context, wrong, settings)


def test_the_table_shows_the_means_of_the_figures(networks: Networks) -> None:
    photos, settings = samples(networks, 18), replace(Settings(), steps=2)
    row = measure_way("two steps", networks, settings, photos)
    figures = invert(networks, photos, settings).figures
    assert row.batch is not None
    assert row.psnr == pytest.approx(sum(float(f["psnr"]) for f in figures) / 18, rel=1e-3)
    assert row.perceptual == pytest.approx(sum(float(f["perceptual"]) for f in figures) / 18, rel=1e-3)
    lines = table([row], "tiny").splitlines()
    assert "tiny" in lines[0]
    assert f"| two steps | {row.perceptual:.3f} | {row.psnr:.2f} |" in lines[2]


def test_likeness_falls_with_the_domain_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The direction of docs/lambda_dom.png, with larger steps than published: a tiny search has few of them."""
    networks = make_networks(40)
    quick = replace(Settings(), steps=25, lr=0.05)
    monkeypatch.setattr(comparison, "defaults", lambda method: quick)
    rows = ablation(networks, samples(networks, 3))
    assert tuple(rows) == WEIGHTS
    assert rows[0.0].psnr > rows[2.0].psnr > rows[32.0].psnr
    with pytest.raises(InversionError, match="encoder"):
        ablation(make_networks(None), samples(networks, 1))


def test_edits_of_sampled_codes_survive_in_full_and_of_unmoved_ones_not(networks: Networks) -> None:
    names = ("pencil sketch", "bronze", "mosaic", "neon", "blueprint", "oil painting")
    expansion = Expansion(factorize(networks.generator), tuple(range(6)), 5.0, names, networks.mean)
    sampled = networks.generator.draw(sample_z(8, 12, seed=0), psi=0.7)
    assert edit_quality(networks, sampled, expansion) == pytest.approx(1, rel=1e-4)
    other = edit_quality(networks, sampled + 3, expansion)
    assert other != pytest.approx(1, abs=0.01)

"""Where a code may lie in each space, what each loss is, how much it counts, and where the published settings stand."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_networks import make_networks, samples
from torch import Tensor

from explorer.engine.inverting import bound
from explorer.inversion import SPACES, InversionError, Networks, Settings, defaults, search
from explorer.inversion import augment as module
from explorer.inversion.augment import COPIES, augment
from explorer.inversion.faces import Box
from explorer.inversion.latents import read_latent
from explorer.inversion.methods import start
from explorer.inversion.networks import _belong
from explorer.inversion.objective import Objective
from explorer.inversion.results import measure
from explorer.inversion.search import better, descend, free_numbers, rows, sides_of
from explorer.inversion.tuning import LR, tune
from explorer.inversion.uses import stitch

ROWS, DIM = 6, 24
ALONE: dict[str, Any] = {"lambda_pixel": 0.0, "lambda_lpips": 0.0, "lambda_dom": 0.0}  # nothing else weighs


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Its encoder's offsets are large, so that it matters where they count."""
    networks = make_networks()
    assert networks.encoder is not None
    networks.encoder.to_offsets.weight.mul_(50)
    return networks


@pytest.fixture(scope="module")
def photos(networks: Networks) -> Tensor:
    return samples(networks, 2)


@pytest.fixture(scope="module")
def ws() -> Tensor:
    return torch.randn(2, ROWS, DIM, generator=torch.Generator().manual_seed(1))


def losses(networks: Networks, photos: Tensor, ws: Tensor, **settings: Any) -> dict[str, Tensor]:
    with torch.no_grad():
        objective = Objective(networks, photos, Settings(**(ALONE | settings)))
        return objective(ws, networks.render(ws), 3)


# --- Spaces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offsets", [None, torch.randn(2, ROWS, DIM)])
def test_a_search_begins_at_its_start_in_every_space_that_holds_it(offsets: Tensor | None) -> None:
    w = torch.randn(2, DIM)
    whole = w[:, None].expand(-1, ROWS, -1) + (0 if offsets is None else offsets)
    shapes = {
        "w": [(2, 1, DIM)],
        "w+offsets": [(2, 1, DIM), (2, ROWS, DIM)],
        "w+": [(2, ROWS, DIM)],
    }
    for space in SPACES:
        leaves = free_numbers((w, offsets), space, ROWS)
        assert [tuple(leaf.shape) for leaf in leaves] == shapes[space]
        assert all(leaf.is_leaf and leaf.requires_grad for leaf in leaves)
        expected = w[:, None].expand(-1, ROWS, -1) if space == "w" else whole
        torch.testing.assert_close(rows(leaves, ROWS), expected)


@pytest.mark.parametrize("space", SPACES)
def test_the_encoders_code_is_given_as_the_space_has_it(networks: Networks, photos: Tensor, space: Any) -> None:
    with torch.no_grad():
        w, offsets = networks.encode(photos)
    assert offsets.abs().mean() > 0.01
    expected = w[:, None].expand(-1, ROWS, -1) if space == "w" else w[:, None] + offsets
    (state,) = search(networks, photos, replace(defaults("encoder"), space=space))
    torch.testing.assert_close(state.ws, expected)
    first = next(iter(search(networks, photos, replace(defaults("in_domain"), space=space))))
    torch.testing.assert_close(first.ws, expected)
    mean = next(iter(search(networks, photos, replace(defaults("clip_guided"), space=space))))
    torch.testing.assert_close(mean.ws, networks.mean.expand(2, ROWS, -1))


def test_without_an_encoder_a_search_starts_at_the_mean(networks: Networks, photos: Tensor) -> None:
    w, offsets = start(replace(networks, encoder=None), photos)
    assert offsets is None
    assert torch.equal(w, networks.mean.expand(2, -1))


@pytest.mark.parametrize("space", SPACES)
def test_the_domain_regulariser_is_in_the_space_of_the_search(
    networks: Networks, photos: Tensor, ws: Tensor, space: Any
) -> None:
    with torch.no_grad():
        w, offsets = networks.encode(networks.render(ws))
    again = w[:, None] if space == "w" else w[:, None] + offsets
    expected = (ws - again).square().mean(dim=(1, 2))
    found = losses(networks, photos, ws, space=space, lambda_dom=2.0)
    assert found.keys() - {"offsets"} == {"domain"}
    torch.testing.assert_close(found["domain"], expected)


@pytest.mark.parametrize("space", SPACES)
def test_offsets_are_a_loss_only_where_they_are_free(
    networks: Networks, photos: Tensor, ws: Tensor, space: Any
) -> None:
    found = losses(networks, photos, ws, space=space, lambda_offsets=0.1, lambda_w=1.0)
    assert ("offsets" in found) == (space == "w+offsets")
    torch.testing.assert_close(found["mean"], (ws - networks.mean).square().mean(dim=(1, 2)))
    if space == "w+offsets":
        torch.testing.assert_close(found["offsets"], ws.var(dim=1, correction=0).mean(dim=1))


# --- Losses -----------------------------------------------------------------------------------------------------------


def test_every_loss_counts_by_its_weight(networks: Networks, photos: Tensor, ws: Tensor) -> None:
    weights = {
        "pixel": ("lambda_pixel", 0.3),
        "perceptual": ("lambda_lpips", 0.7),
        "clip": ("lambda_clip", 1.1),
        "text": ("text_weight", 1.3),
        "domain": ("lambda_dom", 1.7),
        "mean": ("lambda_w", 1.9),
        "offsets": ("lambda_offsets", 2.3),
    }
    settings = Settings(space="w+offsets", text="a cat", **dict(weights.values()))  # type: ignore[arg-type]
    objective = Objective(networks, photos, settings)
    with torch.no_grad():
        found = objective(ws, networks.render(ws), 0)
    assert found.keys() == weights.keys()
    expected = sum(weight * found[name] for name, (_, weight) in weights.items())
    torch.testing.assert_close(objective.total(found), expected)


@pytest.mark.parametrize("text", ["", "  "])
def test_a_loss_without_weight_is_not_computed(networks: Networks, photos: Tensor, ws: Tensor, text: str) -> None:
    assert losses(networks, photos, ws, lambda_pixel=1.0, text=text).keys() == {"pixel"}
    alone = replace(networks, encoder=None)
    assert losses(alone, photos, ws, lambda_pixel=1.0, lambda_dom=2.0).keys() == {"pixel"}


def test_pixels_and_perception_are_of_the_masked_region(networks: Networks, photos: Tensor, ws: Tensor) -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 2:9] = 1
    objective = Objective(networks, photos, Settings(**{**ALONE, "lambda_pixel": 1.0, "lambda_lpips": 1.0}), mask)
    with torch.no_grad():
        images = networks.render(ws)
        found = objective(ws, images, 0)
        seen = networks.perceptual(images * mask, photos * mask)
    torch.testing.assert_close(found["pixel"], (mask * (images - photos)).square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(found["perceptual"], seen, rtol=1e-4, atol=1e-5)


def test_clip_looks_at_augmented_pictures_and_at_the_photo_as_it_is(
    networks: Networks, photos: Tensor, ws: Tensor
) -> None:
    assert networks.clip is not None
    found = losses(networks, photos, ws, lambda_clip=1.0, text="a cat", seed=7)
    with torch.no_grad():
        seen = networks.clip.encode_image(augment(networks.render(ws), 7, 3)).unflatten(0, (COPIES, -1))
        photo, text = networks.clip.encode_image(photos), networks.clip.encode_text(["a cat"])
    torch.testing.assert_close(found["clip"], 1 - (seen * photo).sum(dim=2).mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["text"], 1 - (seen * text).sum(dim=2).mean(dim=0), rtol=1e-4, atol=1e-5)


# --- Descent ----------------------------------------------------------------------------------------------------------


def test_the_better_code_is_kept_photo_by_photo_and_no_number_never_wins() -> None:
    def of(*totals: float) -> tuple[Tensor, Tensor, Tensor]:
        total = torch.tensor(totals)
        return total, total[:, None, None].expand(-1, 2, 3).clone(), total[:, None, None, None].expand(-1, 3, 4, 4)

    total, ws, images = better(of(1.0, 1.0, 1.0), of(2.0, 0.5, torch.nan))
    assert total.tolist() == [1.0, 0.5, 1.0]
    assert ws[:, 0, 0].tolist() == images[:, 0, 0, 0].tolist() == [1.0, 0.5, 1.0]


def test_a_step_of_adam_is_as_long_as_the_rate(networks: Networks, photos: Tensor) -> None:
    settings = Settings(steps=1, lr=0.02, lambda_dom=0.0, space="w+")
    objective = Objective(networks, photos, settings)
    before, after = descend(networks, objective, (networks.mean.expand(2, -1), None), settings)
    assert (before.step, after.step, after.steps) == (0, 1, 1)
    assert (after.ws - before.ws).abs().max() == pytest.approx(0.02, rel=1e-3)
    assert (after.losses["total"] < before.losses["total"]).all()


def test_a_large_picture_is_looked_at_when_it_is_small_first(
    networks: Networks, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(steps=10, lr=0.05, lambda_dom=0.0)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    objective = Objective(networks, photos, settings, mask)
    assert sides_of(networks.generator, False, 10) == [16] * 11
    for name, value in {"LARGE": 16, "COARSEST": 4, "COARSE": ((0.5, 4), (0.8, 2))}.items():
        monkeypatch.setitem(sides_of.__globals__, name, value)  # the package has a function of the module's name
    assert sides_of(networks.generator, False, 10) == [4] * 5 + [8] * 3 + [16] * 3
    with_encoder = Objective(networks, photos, replace(settings, lambda_dom=2.0))
    whole = next(descend(networks, with_encoder, (networks.mean.expand(2, -1), None), settings))
    assert whole.images.shape[-1] == 16

    states = list(descend(networks, objective, (networks.mean.expand(2, -1), None), settings))
    assert [state.images.shape[-1] for state in states] == [4] * 5 + [8] * 3 + [16] * 3
    done = [state.done or 0 for state in states]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[5] < 5 / 11
    with torch.no_grad():
        first = objective.total(objective(states[0].ws, networks.render(states[0].ws), 0))
        last = objective.total(objective(states[-1].ws, networks.render(states[-1].ws), 0))
        torch.testing.assert_close(states[-1].images, networks.render(states[-1].ws))
    assert (last < first).all()


def test_losses_of_reduced_pictures_are_those_of_reduced_photos(networks: Networks, photos: Tensor, ws: Tensor) -> None:
    settings = Settings(**{**ALONE, "lambda_pixel": 1.0})
    with torch.no_grad():
        found = Objective(networks, photos, settings).at(8)(ws, networks.coarse(ws, 8), 0)
        expected = (networks.coarse(ws, 8) - photos.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean(dim=(3, 5))).square()
    torch.testing.assert_close(found["pixel"], expected.mean(dim=(1, 2, 3)))


def test_tuning_steps_by_its_published_rate_and_looks_at_pictures_alone(networks: Networks, photos: Tensor) -> None:
    settings = Settings(tune_steps=1, lambda_clip=1.0, text="a cat", lambda_w=1.0, space="w+offsets")
    _, second = tune(networks, photos, networks.mean.expand(2, ROWS, -1), settings)
    assert LR == 3e-4
    assert second.losses.keys() == {"pixel", "perceptual", "total"}
    source = networks.generator.learnable()
    moved = [(value - source[name]).detach().abs().max() for name, value in second.generator.learnable().items()]
    assert float(torch.stack(moved).max()) == pytest.approx(LR, rel=1e-2)


# --- Figures ----------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_pictures_as_they_are_shown(networks: Networks, photos: Tensor, ws: Tensor) -> None:
    far = 3 * ws
    images, figures = measure(networks, photos, far)
    assert images.abs().max() > 1
    assert networks.clip is not None
    seen = images.clamp(-1, 1)
    mse = (seen - photos).square().mean(dim=(1, 2, 3))
    similar = (networks.clip.encode_image(seen) * networks.clip.encode_image(photos)).sum(dim=1)
    apart = (far - networks.mean).square().sum(dim=2).mean(dim=1).sqrt()
    for i, figure in enumerate(figures):
        assert figure["mse"] == pytest.approx(float(mse[i]), rel=1e-4)
        assert figure["psnr"] == pytest.approx(10 * np.log10(4 / float(mse[i])), rel=1e-4)
        assert figure["clip_similarity"] == pytest.approx(float(similar[i]), rel=1e-4)
        assert figure["distance_to_w_avg"] == pytest.approx(float(apart[i]), rel=1e-4)


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_published_settings_stay() -> None:
    domain, clip, encoder = defaults("in_domain"), defaults("clip_guided"), defaults("encoder")
    assert (domain.steps, domain.lr, domain.lambda_pixel, domain.lambda_lpips) == (100, 0.01, 1.0, 0.8)
    assert (domain.lambda_dom, domain.lambda_clip, domain.lambda_w, domain.lambda_offsets) == (2.0, 0.0, 0.0, 0.1)
    assert (clip.steps, clip.lr, clip.lambda_pixel, clip.lambda_lpips) == (300, 0.01, 1.0, 1.0)
    assert (clip.lambda_dom, clip.lambda_clip, clip.lambda_w, clip.text_weight) == (0.0, 1.0, 0.01, 0.5)
    assert (encoder.steps, domain.tune_steps, domain.space, domain.seed) == (0, 0, "w", 0)


@pytest.mark.parametrize(
    ("name", "last", "refused"),
    [
        ("steps", (0, 10_000), (-1, 10_001, 1.0, True)),
        ("tune_steps", (0, 10_000), (-1, 10_001)),
        ("seed", (0, 2**32 - 1), (-1, 2**32)),
        ("text", ("", "x" * 300), ("x" * 301, 3)),
        ("lr", (1e-9,), (0, -1.0)),
        ("text_weight", (0, 7.5), (-1e-9, float("inf"), "1")),
        ("lambda_offsets", (0.0,), (-0.1, None)),
    ],
)
def test_limits_of_settings(name: str, last: tuple, refused: tuple) -> None:
    for value in last:
        assert getattr(Settings(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(InversionError, match=name):
            Settings(**{name: value})


@pytest.mark.parametrize(("distance", "same"), [(0.0, True), (0.09, True), (0.11, False)])
def test_an_encoder_belongs_to_the_w_whose_mean_it_was_told(distance: float, same: bool) -> None:
    """A tenth of W's spread, root mean square over the entries."""
    networks = make_networks()
    assert networks.encoder is not None
    networks.encoder.scale.fill_(2.0)
    networks.encoder.mean.copy_(networks.mean + 2.0 * distance)
    assert _belong(networks.encoder, networks.generator) == same


def test_of_fitted_copies_those_stay_that_were_used_last(tmp_path: Path) -> None:
    names = [f"{i:016x}.safetensors" for i in range(5)]
    for age, name in enumerate([*names, "notes.safetensors"]):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    bound(tmp_path, 5)
    assert len(list(tmp_path.iterdir())) == 6
    bound(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {*names[:2], "notes.safetensors"}


# --- Augmentations ----------------------------------------------------------------------------------------------------


def test_augmentations_turn_to_either_side_within_their_degrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIKELIHOOD", 0.0)  # no perspective
    grids = torch.cat([module._grids(torch.Generator().manual_seed(seed), 9) for seed in range(20)])
    across = grids[:, 4, 8] - grids[:, 4, 0]
    angles = torch.atan2(across[:, 1], across[:, 0]) * 180 / torch.pi
    assert -module.DEGREES <= angles.min() < -0.8 * module.DEGREES
    assert 0.8 * module.DEGREES < angles.max() <= module.DEGREES
    torch.testing.assert_close(grids[:, 4, 4], torch.zeros(len(grids), 2), atol=1e-5, rtol=0)


def test_augmentations_are_a_little_lighter_or_darker() -> None:
    """Of an even grey picture contrast and saturation change nothing; erased places are 0."""
    seen = torch.cat([augment(torch.full((1, 3, 8, 8), 0.5), seed, 0) for seed in range(20)])
    light = (seen.amax(dim=(1, 2, 3)) + 1) / 1.5
    assert 0.9 <= light.min() < 0.92
    assert 1.08 < light.max() <= 1.1 + 1e-6


def test_a_rectangle_of_some_augmentations_is_erased() -> None:
    kept = torch.cat([module._kept(torch.Generator().manual_seed(seed), 40) for seed in range(40)])[:, 0] == 0
    erased = kept.any(dim=(1, 2))
    assert float(erased.float().mean()) == pytest.approx(module.LIKELIHOOD, abs=0.12)
    heights, widths = (kept[erased].any(dim=axis).sum(dim=1) / 40 for axis in (2, 1))
    for sides in (heights, widths):
        assert 0.15 - 1 / 40 <= sides.min() < 0.2
        assert 0.45 < sides.max() <= 0.5 + 1 / 40
    assert torch.equal(kept[erased].sum(dim=(1, 2)), (heights * 40 * widths * 40).round().long()), "a rectangle"


# --- Files and squares ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "read"), [((1, 1, 24), (24,)), ((1, 6, 24), (6, 24)), ((6, 24), (6, 24)), ((1,), (1,)), ((1, 1), (1,))]
)
def test_a_leading_batch_of_one_is_dropped_and_the_code_is_not(shape: tuple[int, ...], read: tuple[int, ...]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(shape, np.float32))
    assert read_latent(buffer.getvalue()).shape == read


@pytest.mark.parametrize(
    ("box", "fits"),
    [
        (Box(0, 0, 16), True),
        (Box(8, 8, 8), True),
        (Box(15, 15, 1), True),
        (Box(9, 0, 8), False),
        (Box(0, 9, 8), False),
        (Box(-1, 0, 8), False),
        (Box(0, -1, 8), False),
        (Box(0, 0, 17), False),
        (Box(3, 3, 0), False),
    ],
)
def test_a_square_lies_inside_of_the_picture(box: Box, fits: bool) -> None:
    target, context = torch.ones(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)
    if not fits:
        with pytest.raises(InversionError, match="inside of the 16 px picture"):
            stitch(target, context, box)
        return
    expected = torch.zeros(16, 16)
    expected[box.top : box.top + box.size, box.left : box.left + box.size] = 1
    assert torch.equal(stitch(target, context, box)[0, 0], expected)

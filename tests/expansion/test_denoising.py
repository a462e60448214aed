"""Domains of a diffusion autoencoder, learned by the loss of its own network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import make_diffae
from tiny_expansion import config, train, trainer_of, write_clip, write_pictures

from explorer.expansion import Config
from explorer.expansion.denoising import WAY, DenoisingTrainer
from explorer.latents import compose
from explorer.networks import DiffAE
from explorer.networks.pixels import from_array, to_pixels
from explorer.styles import render
from explorer.weights import Checkpoint, load
from tests.training.tiny import differences

SEPIA = {"name": "sepia", "type": "style", "style": "sepia"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("denoising")
    generator = make_diffae(predicts="v")
    return {
        "source": Checkpoint(generator, meta={"name": "tiny"}).save(folder / "source.safetensors"),
        "clip": write_clip(folder / "clip.safetensors"),
        "pictures": write_pictures(folder / "pictures", 6),
    }


def settings(files: dict[str, Path], *domains: dict[str, Any], **changes: Any) -> Config:
    data = {"data": str(files["pictures"]), "lr": 0.003, "distance": 6.0, "anneal": 0.0, "pool": 12}
    return config(files["clip"], *(domains or (SEPIA,)), **data | changes)


def trainer(files: dict[str, Path], out: Path, *domains: dict[str, Any], **changes: Any) -> DenoisingTrainer:
    found = trainer_of(files["source"], settings(files, *domains, **changes), out)
    assert isinstance(found, DenoisingTrainer)
    return found


def test_half_of_the_pool_is_photos_and_every_picture_has_the_noise_that_makes_it(
    files: dict[str, Path], tmp_path: Path
) -> None:
    found = trainer(files, tmp_path)
    pool, photos = found.pool, found.studio.photos(str(files["pictures"]))
    halves = pool.pictures.chunk(2)
    near = [min(float((photo - other).abs().max()) for other in photos) for photo in halves[0]]
    assert max(near) < 1e-6
    assert all(min(float((made - other).abs().max()) for other in photos) > 0.1 for made in halves[1])
    made = found.source.synthesize(pool.codes, noise=pool.noise, steps=WAY)
    other = found.source.synthesize(pool.codes, noise=pool.noise.roll(1, 0), steps=WAY)
    own, theirs = ((pictures - pool.pictures).square().mean(dim=(1, 2, 3)) for pictures in (made, other))
    assert (own < 0.3 * theirs).all()


def test_a_style_is_learned_and_the_base_stays(files: dict[str, Path], tmp_path: Path) -> None:
    """The same noise image, decoded with and without the domain."""
    found = trainer(files, tmp_path, steps=150, ema_ramp=0.0, ema_kimg=0.02, lambda_l2=3.0)
    pool = found.pool
    drawn = torch.stack(
        [
            from_array(render("sepia", picture, np.random.default_rng(0)))
            for picture in to_pixels(pool.pictures).permute(0, 2, 3, 1).numpy()
        ]
    )

    @torch.no_grad()
    def distances() -> tuple[float, float]:
        moved = compose(pool.codes, found.expansion, {"sepia": 1.0})
        made = [found.G.synthesize(codes, noise=pool.noise, steps=WAY) for codes in (moved, pool.codes)]
        return float((made[0] - drawn).square().mean()), float((made[1] - pool.pictures).square().mean())

    before, _ = distances()
    for _ in range(150):
        found.train_step()
    after, moved = distances()
    assert after < 0.75 * before
    assert moved < 0.3 * before


def test_a_folders_pictures_are_learned_at_their_own_codes(files: dict[str, Path], tmp_path: Path) -> None:
    table = {"name": "red", "type": "image_folder", "folder": str(files["pictures"])}
    found = trainer(files, tmp_path, table, steps=60)
    torch.manual_seed(0)
    pictures = found.studio.photos(str(files["pictures"]))
    noise, times = torch.randn(6, *found.source.codes.noise), torch.full((6,), 0.5)
    codes = compose(found.codes_of(pictures), found.expansion, {"red": 1.0})

    @torch.no_grad()
    def loss() -> float:
        said, wanted = found.denoising(found.G, pictures, noise, times, codes)
        return float((said - wanted).square().mean())

    before = loss()
    for _ in range(60):
        found.train_step()
    assert loss() < 0.8 * before


def test_nothing_but_new_directions_moves_in_the_warm_up(files: dict[str, Path], tmp_path: Path) -> None:
    found = trainer(files, tmp_path, steps=4, warmup=4)
    for _ in range(4):
        found.train_step()
    codes, moved = (
        found.codes(found.pool.codes, torch.zeros(len(found.pool.codes), dtype=torch.int64))[i] for i in (0, 1)
    )
    noise = found.pool.noise
    one, other = (G.synthesize(codes, noise=noise, steps=2) for G in (found.source, found.G))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert not torch.equal(*(G.synthesize(moved, noise=noise, steps=2) for G in (found.source, found.G)))


def test_a_second_lesson_keeps_the_first_and_resumes_bit_for_bit(files: dict[str, Path], tmp_path: Path) -> None:
    train(files["source"], settings(files, steps=3), tmp_path / "first")
    grey = {"name": "grey", "type": "style", "style": "black and white"}
    whole = train(tmp_path / "first" / "network.safetensors", settings(files, grey, steps=4), tmp_path / "whole")
    train(tmp_path / "first" / "network.safetensors", settings(files, grey, steps=2), tmp_path / "parts")
    parts = train(None, None, tmp_path / "parts", resume=True, steps=4)  # type: ignore[arg-type]
    assert differences(whole["generator"], parts["generator"]) == []
    taught = load(tmp_path / "whole" / "network.safetensors")
    assert taught.expansion is not None
    assert taught.expansion.domains == ("sepia", "grey")
    assert isinstance(taught.generator, DiffAE)

"""Laws of the sharpener: what it may never change, and which files are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from explorer.networks import Encoder, EncoderConfig
from explorer.networks.sharpener import Sharpener, SharpenerConfig, enlarged
from explorer.weights import CheckpointError
from explorer.weights.parts import load_sharpener, save_part


@pytest.fixture
def sharpener() -> Sharpener:
    """One that adds a lot."""
    torch.manual_seed(0)
    made = Sharpener(SharpenerConfig(width=8, blocks=2))
    torch.nn.init.normal_(made.head.weight, std=0.3)
    return made.eval().requires_grad_(False)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 12, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_it_doubles_pictures_of_any_shape(sharpener: Sharpener, picture: torch.Tensor) -> None:
    assert sharpener(picture).shape == (2, 3, 24, 40)
    for odd in (picture[:, :1], picture[0], torch.zeros(1, 4, 8, 8)):
        with pytest.raises(ValueError, match=r"\[N, 3, H, W\]"):
            sharpener(odd)


def test_a_plain_field_stays_plain(sharpener: Sharpener) -> None:
    plain = torch.tensor([0.7, -0.2, -1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(sharpener(plain.expand(1, 3, 9, 9)), plain.expand(1, 3, 18, 18))


def test_it_commutes_with_light_and_contrast(sharpener: Sharpener, picture: torch.Tensor) -> None:
    assert (sharpener(picture) - enlarged(picture)).std() > 0.05
    torch.testing.assert_close(sharpener(0.3 * picture + 0.5), 0.3 * sharpener(picture) + 0.5, rtol=1e-4, atol=1e-5)


def test_it_does_the_same_everywhere_and_every_time(sharpener: Sharpener, picture: torch.Tensor) -> None:
    whole = sharpener(picture)
    assert torch.equal(whole, sharpener(picture))
    around = torch.cat([picture, picture], dim=3)  # far from a border, what lies beyond it does not matter
    torch.testing.assert_close(sharpener(around)[..., :20], whole[..., :20], rtol=1e-4, atol=1e-5)


def test_a_fresh_one_is_the_bicubic_enlargement(picture: torch.Tensor) -> None:
    assert torch.equal(Sharpener(SharpenerConfig())(picture), enlarged(picture))


def test_a_file_gives_it_back_and_others_are_refused(
    sharpener: Sharpener, picture: torch.Tensor, tmp_path: Path
) -> None:
    read, meta = load_sharpener(save_part(sharpener, tmp_path / "own.safetensors", {"data": "none"}, half=False))
    assert meta == {"data": "none"}
    assert torch.equal(read(picture), sharpener(picture))
    other = save_part(Encoder(EncoderConfig(8, (4, 4), 4, 2)), tmp_path / "encoder.safetensors", {})
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors: it is no sharpener file"):
        load_sharpener(other)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_sharpener(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("settings", [{"width": 0}, {"blocks": 0}, {"width": 10**6}])
def test_absurd_shapes_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        SharpenerConfig(**settings)

"""A flow is the same diffusion on another scale of time, and its solver is of second order both ways."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks import diffusion
from explorer.networks.diffae import STEPS, DiffAEConfig
from tests.generators import make_diffae

DATA = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
SPREAD = 0.5  # of the data, which is normal: then the ways are known


def velocity(x: Tensor, t: float) -> Tensor:
    """The exact velocity of normal data of mean DATA: `E[noise - data | x]`."""
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    rest = (x - (1 - t) * DATA) / variance
    return t * rest - (DATA + (1 - t) * SPREAD**2 * rest)


def last(way: object) -> Tensor:
    *_, (_, x, _) = way  # type: ignore[misc]
    return x


def test_a_straight_way_takes_one_step() -> None:
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    assert torch.allclose(
        last(diffusion.flow(lambda x, t: x.new_tensor([[0.5, -1.0]]), x, 1)), x - x.new_tensor([[0.5, -1.0]])
    )


@pytest.mark.parametrize("back", [False, True])
def test_twice_the_steps_leave_a_quarter_of_the_error(back: bool) -> None:
    """From the noise x the exact way leads to `DATA + SPREAD x`, and back."""
    x = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    data = DATA + SPREAD * x
    begin, end = (data, x) if back else (x, data)
    errors = [float((last(diffusion.flow(velocity, begin, steps, back)) - end).abs().max()) for steps in (20, 40, 80)]
    assert errors[0] < 0.02
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_steps_are_counted_and_predict_the_data() -> None:
    x = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    lefts, _, data = zip(*diffusion.flow(velocity, x, 5), strict=True)
    assert lefts == (4, 3, 2, 1, 0)
    assert torch.allclose(data[0], DATA)  # of pure noise nothing else can be said


def test_the_time_of_a_flow_has_the_noise_of_its_level() -> None:
    level = torch.tensor([0.9, 0.5, 0.01], dtype=torch.float64)
    t, size = diffusion.flow_time(level)
    assert torch.allclose((1 - t) * size, level.sqrt())
    assert torch.allclose(t * size, (1 - level).sqrt())
    assert math.isclose(float(t[1]), 0.5)


def test_a_network_of_velocities_speaks_of_noise_too() -> None:
    """`x = sqrt(A) x0 + sqrt(1 - A) eps` for the data and the noise that the velocity means."""
    generator = make_diffae(predicts="v", patch=2, net_ch_mult=(1,), enc_ch_mult=(1, 2))
    x, z, t = torch.randn(2, 3, 16, 16), torch.randn(2, 24), torch.tensor([40, 700])
    level = torch.tensor(diffusion.linear_schedule())[t].float().view(-1, 1, 1, 1)
    time, size = diffusion.flow_time(level)
    data = x / size - time * generator.velocity(x / size, time.flatten(), F.silu(z))
    torch.testing.assert_close(level.sqrt() * data + (1 - level).sqrt() * generator.eps(x, t, z), x)
    torch.testing.assert_close(generator.eps(x[1:], 700, z[1:]), generator.eps(x, t, z)[1:])


def test_pictures_of_velocities_come_near_those_of_their_noise_and_back() -> None:
    generator = make_diffae(predicts="v", patch=2, net_ch_mult=(1,), enc_ch_mult=(1, 2))
    with torch.no_grad():
        z, x_T = torch.randn(2, 24), torch.randn(2, 3, 16, 16)
        picture = generator.decode(z, x_T, 100, clamp=False)
        *_, (_, by_noise, _) = diffusion.denoise(
            lambda x, t: generator.eps(x, t, z), x_T, diffusion.linear_schedule(), 250, clamp=False
        )
        assert (picture - by_noise).abs().max() < 0.05 * picture.std()
        errors = [(generator.invert(picture, z, steps) - x_T).abs().max() for steps in (10, 100)]
        assert errors[1] < 0.02
        assert errors[1] < errors[0] / 10
        torch.testing.assert_close(generator.decode(z, x_T), generator.decode(z, x_T, STEPS["v"][-1]))


def test_patches_are_squares_of_pixels() -> None:
    generator = make_diffae(patch=4, net_ch_mult=(1,), enc_ch_mult=(1, 2))
    assert generator.get_parameter("input_blocks.0.0.weight").shape[1] == 48
    assert generator.encode(torch.zeros(1, 3, 16, 16)).shape == (1, 24)
    assert generator.eps(torch.zeros(1, 3, 16, 16), 5, torch.zeros(1, 24)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch": 3}, "16 px in patches of 3 cannot be halved 1 times"),
        ({"patch": 0}, "patch must be positive"),
        ({"patch": 16}, "cannot be halved"),
        ({"predicts": "x"}, "predicts must be eps or v, got 'x'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_diffae(**changes)


def test_published_settings_are_the_plain_ones() -> None:
    config = make_diffae().config
    assert isinstance(config, DiffAEConfig)
    assert (config.predicts, config.patch) == ("eps", 1)

"""Growing keeps the function, and what is new can learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer import kernels
from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN2Config
from explorer.networks.growing import grow_asleep, grow_discriminator, grow_generator
from explorer.networks.layers import upsample_image


def generator(channels: tuple[int, ...], seed: int = 0, **changes: Any) -> StyleGAN2:
    torch.manual_seed(seed)
    made = StyleGAN2(StyleGAN2Config(2 << len(channels), channels, 8, w_dim=8, mapping_layers=2, **changes))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def discriminator(channels: tuple[int, ...], seed: int = 0, **changes: Any) -> Discriminator:
    torch.manual_seed(seed)
    made = Discriminator(DiscriminatorConfig(2 << len(channels), channels, **changes))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def pictures(network: StyleGAN2) -> Tensor:
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(7))
    return network.synthesis(network.mapping(z), "const")


@pytest.mark.parametrize("channels", [(6, 5, 4), (9, 5, 4), (6, 8, 5)])
def test_a_wider_generator_makes_the_same_pictures(channels: tuple[int, ...]) -> None:
    small, large = generator((6, 5, 4)), generator(channels, seed=1)
    grow_generator(small, large)
    torch.testing.assert_close(pictures(large), pictures(small), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [(6, 5, 4, 3), (9, 8, 7, 6)])
def test_a_generator_of_more_resolutions_makes_the_same_pictures_enlarged(channels: tuple[int, ...]) -> None:
    small, large = generator((6, 5, 4)), generator(channels, seed=1)
    grow_generator(small, large)
    enlarged = upsample_image(pictures(small), kernels.setup_filter((1, 3, 3, 1)))
    torch.testing.assert_close(pictures(large), enlarged, rtol=1e-4, atol=1e-5)


def test_a_picture_is_seen_on_its_way() -> None:
    """What a grown generator shows at the small one's side is the small one's picture."""
    small, large = generator((6, 5, 4)), generator((6, 5, 4, 3), seed=1)
    grow_generator(small, large)
    with torch.no_grad():
        large.get_parameter("synthesis.b32.torgb.weight").normal_()
    codes = large.mapping(torch.randn(4, 8, generator=torch.Generator().manual_seed(7)))
    assert large.sides == (4, 8, 16, 32)
    torch.testing.assert_close(large.coarse(codes, 16), pictures(small), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(large.coarse(codes, 32), large.synthesize(codes), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"seen at sides of \(4, 8, 16, 32\), got 64"):
        large.coarse(codes, 64)
    assert generator((6, 5, 4), architecture="orig").sides == (16,)


def test_a_wider_discriminator_says_the_same() -> None:
    small, large = discriminator((6, 5, 4)), discriminator((6, 9, 7), seed=1)
    grow_discriminator(small, large)
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(large(images), small(images), rtol=1e-4, atol=1e-5)


def test_a_discriminator_of_more_resolutions_judges_smooth_pictures_as_before() -> None:
    small, large = discriminator((6, 5, 4)), discriminator((6, 7, 5, 4), seed=1)
    grow_discriminator(small, large)
    smooth = F.interpolate(torch.randn(16, 3, 4, 4), size=32, mode="bicubic")
    reduced = F.interpolate(smooth, size=16, mode="area")
    with torch.no_grad():
        before, after = small(reduced), large(smooth)
    assert float((after - before).square().mean()) < 0.02 * float(before.var())


def test_everything_new_learns() -> None:
    """One step away from the start every weight has a gradient: zeros meet zeros nowhere."""
    small, large = generator((6, 5, 4)), generator((7, 6, 5, 4), seed=1)
    grow_generator(small, large)
    critic = discriminator((6, 5, 4, 4), seed=1)
    grow_discriminator(discriminator((6, 5, 4)), critic)
    for network in (large, critic):
        optimiser = torch.optim.SGD(network.parameters(), 0.01)
        for _ in range(2):
            optimiser.zero_grad()
            critic(pictures(large)).square().sum().backward()
            optimiser.step()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        (generator((6, 5, 4)), generator((6, 5)), "can only grow"),
        (generator((6, 5, 4)), generator((6, 5, 3)), "can only grow"),
        (generator((6, 5, 4), c_dim=3), generator((6, 5, 4)), "c_dim cannot change"),
        (generator((6, 5), architecture="orig"), generator((6, 5, 4), architecture="orig"), "one ToRGB"),
    ],
)
def test_what_does_not_fit_is_said(small: StyleGAN2, large: StyleGAN2, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grow_generator(small, large)


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        (discriminator((6, 5)), discriminator((7, 5)), "4 px cannot change"),
        (discriminator((6, 5)), discriminator((6, 5, 4)), "as wide as its first layer, 5"),
        (discriminator((6, 5), architecture="skip"), discriminator((6, 5, 5), architecture="skip"), "more resolutions"),
    ],
)
def test_what_a_discriminator_has_no_room_for_is_said(small: Discriminator, large: Discriminator, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grow_discriminator(small, large)


@pytest.mark.parametrize("architecture", ["skip", "orig"])
def test_channels_asleep_change_no_picture_and_wake_along_a_direction(architecture: str) -> None:
    small = generator((6, 5, 4), architecture=architecture)
    large, new = grow_asleep(small, 0.5)
    assert large.config.channels == (16, 8, 8)
    learnable, generated = large.learnable(), torch.Generator().manual_seed(3)
    affine = {f"{layer.name}.{kind}" for layer in large.style_layers() for kind in ("weight", "bias")}
    assert new.keys() == learnable.keys() - affine
    with torch.no_grad():
        for name, mask in new.items():  # whatever new weights become
            assert mask.sum() == mask.numel() - small.learnable()[name].numel()
            learnable[name][mask] = torch.randn(int(mask.sum()), generator=generated)
        torch.testing.assert_close(pictures(large), pictures(small), rtol=1e-4, atol=1e-5)
        direction = torch.zeros(8)
        direction[5] = 1
        mean = small.mean
        for layer, awake in zip(large.style_layers(), small.style_layers(), strict=True):
            asleep = torch.arange(len(layer.bias)) >= len(awake.bias)
            added = torch.randn(int(asleep.sum()), generator=generated)[:, None] * direction
            layer.weight[asleep] += added
            layer.bias[asleep] -= layer.weight_gain / layer.bias_gain * (added @ mean)
        codes = small.draw(torch.randn(4, 8, generator=generated))
        codes[..., 5] = mean[5]
        torch.testing.assert_close(large.synthesize(codes), small.synthesize(codes), rtol=1e-4, atol=1e-5)
        codes[..., 5] += 3
        assert (large.synthesize(codes) - small.synthesize(codes)).abs().mean() > 0.05


def test_channels_cannot_sleep_where_skips_pass_them_on() -> None:
    with pytest.raises(ValueError, match="only a StyleGAN2 of the architecture skip or orig"):
        grow_asleep(generator((6, 5, 4), architecture="resnet"), 0.5)

"""Activation checkpointing: the same pictures, logits and gradients, of both orders, and less that is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN2Config
from explorer.networks.recompute import recompute
from explorer.training import losses
from explorer.training.draws import Draws


@pytest.fixture(params=["skip", "resnet"])
def generator(request: pytest.FixtureRequest) -> StyleGAN2:
    torch.manual_seed(0)
    config = StyleGAN2Config(16, (8, 6, 4), z_dim=8, w_dim=8, mapping_layers=1, architecture=request.param)
    generator = StyleGAN2(config)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    return generator


def again(network: torch.nn.Module) -> torch.nn.Module:
    copied = copy.deepcopy(network)
    recompute(copied)
    return copied


def pictures(generator: torch.nn.Module, ws: Tensor, source: str) -> Tensor:
    assert isinstance(generator, StyleGAN2)
    torch.manual_seed(3)
    seeds = {"draws": Draws(0, 0, len(ws), torch.arange(len(ws))).noise, "number": 5, "global": None}
    return generator.synthesis(ws, "random", seeds[source])


@pytest.mark.parametrize("source", ["draws", "number", "global"])
def test_noise_is_the_same_in_the_second_pass(generator: StyleGAN2, source: str) -> None:
    """Whatever it is drawn from: the gradient of a noise's strength is a sum over the noise that was seen."""
    ws = torch.randn(4, generator.num_ws, 8)
    found = []
    for network in (generator, again(generator)):
        images = pictures(network, ws, source)
        parameters = list(network.synthesis.parameters())  # type: ignore[union-attr]
        found.append([images, *torch.autograd.grad(images.square().sum(), parameters)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=0)


def test_path_lengths_are_differentiated_twice(generator: StyleGAN2) -> None:
    ws = torch.randn(4, generator.num_ws, 8, requires_grad=True)
    found = []
    for network in (generator, again(generator)):
        images = pictures(network, ws, "draws")
        lengths = losses.path_lengths(images, ws, torch.ones_like(images))
        weights = [p for name, p in network.named_parameters() if "conv" in name and name.endswith("weight")]
        found.append(torch.autograd.grad(lengths.square().sum(), weights))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize(
    "loss", [lambda D, x: D(x).square().sum(), lambda D, x: losses.gradient_penalty(D, x)], ids=["logits", "R1"]
)
def test_a_discriminator_learns_the_same(loss: Callable[[torch.nn.Module, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    critic, images = Discriminator(DiscriminatorConfig(16, (8, 6, 4))), torch.randn(4, 3, 16, 16)
    found = []
    for network in (critic, again(critic)):
        found.append(torch.autograd.grad(loss(network, images), list(network.parameters()), allow_unused=True))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one)


def test_only_the_inputs_of_blocks_are_kept() -> None:
    """What autograd holds for the second pass: without checkpointing, several features a block."""
    torch.manual_seed(0)
    critic, images = Discriminator(DiscriminatorConfig(32, (8, 8, 8, 8))), torch.randn(4, 3, 32, 32)

    def kept(network: torch.nn.Module) -> int:
        held: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = network(images)
        assert logits.requires_grad
        return sum(held.values())

    assert kept(again(critic)) < kept(critic) / 3

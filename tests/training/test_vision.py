"""The critic that sees through an ImageNet network; in CI its packages are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from skimage import data

from explorer.recipes.vision import Backbone, VisionCritic
from explorer.weights import CheckpointError
from explorer.weights.imagenet import MEAN, STD, load_imagenet
from tests.training.tiny import config, differences, train, write_pictures

NAME = "efficientnet-lite0"
pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


CATS = slice(281, 286)  # ImageNet's five of them
TORCHVISION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@torch.no_grad()
def test_pictures_are_prepared_as_the_network_learned_to_see_them() -> None:
    """Crops of a cat's photo are cats to it, and less surely so as most other networks' pictures are prepared."""
    network = load_imagenet(NAME)
    photo = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None].float() / 255
    crops = [photo[:, :, top : top + 260, left : left + 260] for left in range(0, 190, 30) for top in (0, 20, 40)]
    pictures = F.interpolate(torch.cat(crops), size=224, mode="bilinear", antialias=True)
    sure = []
    for mean, std in ((MEAN, STD), TORCHVISION):
        x = (pictures - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
        sure.append(network(x).softmax(dim=1)[:, CATS].sum(dim=1).mean().item())
    assert sure[0] > 0.9
    assert sure[0] > sure[1] + 0.02


@pytest.fixture(scope="module")
def critic() -> VisionCritic:
    torch.manual_seed(0)
    return VisionCritic(NAME, 64, torch.float32)


def test_features_are_those_of_the_network_before_each_halving() -> None:
    backbone, network = Backbone(NAME, 64, torch.float32), load_imagenet(NAME)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    x = (images / 2 + 0.5 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    seen = []
    x = network._swish(network._conv_stem(x))
    for block in network._blocks:
        if len(seen) and seen[-1].shape[2:] == x.shape[2:]:
            seen.pop()
        seen.append(x)
        x = block(x)
    by_size = {features.shape[-1]: features for features in seen}
    found = backbone(images)
    assert [features.shape[-1] for features in found] == [16, 8, 4]
    for features in found:
        expected = by_size[features.shape[-1]]
        scale = expected.square().mean(dim=1, keepdim=True).sqrt()
        torch.testing.assert_close(features * scale, expected, rtol=1e-3, atol=1e-3)


def test_only_the_heads_learn_and_are_saved(critic: VisionCritic) -> None:
    assert len(list(critic.parameters())) == len(critic.state_dict()) == 18
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    logits = critic(images)
    assert [tuple(part.shape) for part in logits] == [(2, 1, 16, 16), (2, 1, 8, 8), (2, 1, 4, 4)]
    torch.stack([part.sum() for part in logits]).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_a_run_with_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pictures.zip")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = {"vision": NAME, "vision_px": 32, "path_weight": 0.0}
    train(tmp_path / "run", config(data, 2, **settings))
    resumed = train(tmp_path / "run", config(data, 4, **settings))
    assert differences(train(tmp_path / "whole", config(data, 4, **settings)), resumed) == []
    torch.set_num_threads(before)


def test_missing_packages_and_unknown_networks_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="efficientnet-lite4"):
        load_imagenet("resnet50")
    monkeypatch.setitem(sys.modules, "efficientnet_lite3_pytorch_model", None)
    with pytest.raises(CheckpointError, match="pip install efficientnet_lite_pytorch efficientnet_lite3_pytorch_model"):
        load_imagenet("efficientnet-lite3")

"""Laws of the searches, on tiny real networks."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from tiny_networks import make_networks, samples

from explorer.inversion import METHODS, SPACES, InversionError, Networks, Settings, defaults, invert, search
from explorer.inversion.augment import COPIES, CORNERS, augment, homography
from explorer.inversion.methods import without_encoder
from explorer.inversion.objective import embed, perceptual_to
from explorer.inversion.results import Figures
from explorer.metrics.perceptual import clip_distance
from explorer.networks.clip import ClipConfig, build_clip, folded


@pytest.fixture(scope="module")
def networks() -> Networks:
    return make_networks()


@pytest.fixture(scope="module")
def photos(networks: Networks) -> torch.Tensor:
    return samples(networks, 3)


def mean(figures: list[Figures], name: str) -> float:
    return sum(float(figure[name]) for figure in figures) / len(figures)


def short(method: str, **changes: object) -> Settings:
    settings = defaults(method)  # type: ignore[arg-type]
    return replace(settings, steps=min(settings.steps, 12), **changes)  # type: ignore[arg-type]


# The methods for generators of styles; that of diffusion autoencoders has tests of its own.
STYLES = [method for method in METHODS if method != "ddim"]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", STYLES)
def test_every_method_gives_the_same_kind_of_result(method: str, space: str, networks: Networks, photos: torch.Tensor):
    result = invert(networks, photos, short(method, space=space, lr=0.05))
    assert result.ws.shape == (3, 6, 24)
    assert result.images.shape == photos.shape
    assert torch.allclose(result.images, networks.generator.synthesize(result.ws))
    assert {len(values) for values in result.trace.values()} == {1 if method == "encoder" else 13}
    assert (space == "w") == bool((result.ws == result.ws[:, :1]).all())
    for image, photo, figures in zip(result.images, photos, result.figures, strict=True):
        mse = (image.clamp(-1, 1) - photo).square().mean().item()
        assert figures["mse"] == pytest.approx(mse, rel=1e-4)
        assert figures["psnr"] == pytest.approx(10 * np.log10(4 / mse), rel=1e-4)
        assert figures["perceptual_network"] == "tiny"
        assert -1 <= float(figures["clip_similarity"]) <= 1.001
    if method != "encoder":
        assert (result.trace["total"].min(dim=0).values < result.trace["total"][0]).all()


@pytest.mark.parametrize("method", ["in_domain", "clip_guided"])
def test_a_photo_is_found_alike_alone_and_in_a_batch(method: str, networks: Networks, photos: torch.Tensor) -> None:
    settings = short(method, lr=0.05)
    together = invert(networks, photos, settings)
    for i in range(len(photos)):
        alone = invert(networks, photos[i : i + 1], settings)
        # Adam divides small gradients by their size, and their last digits with them.
        moved = (alone.ws - networks.mean).abs().mean()
        assert (together.ws[i] - alone.ws[0]).abs().mean() < 0.01 * moved
        assert torch.allclose(together.trace["total"][:, i], alone.trace["total"][:, 0], rtol=1e-2)


def test_stopping_keeps_the_best_so_far(networks: Networks, photos: torch.Tensor) -> None:
    """Steps far too large, so that the last code is not the best."""
    settings = short("in_domain", lr=3.0)
    states = list(search(networks, photos, settings))
    for stop in (1, 5, 12):
        stopped = invert(networks, photos, settings, watch=lambda state, stop=stop: state.step == stop)
        assert torch.equal(stopped.ws, states[stop].ws)
        totals = stopped.trace["total"]
        assert len(totals) == stop + 1
        best = invert(networks, photos, replace(settings, steps=0))
        kept = torch.stack([state.losses["total"] for state in states[: stop + 1]]).argmin(dim=0)
        for i, step in enumerate(kept.tolist()):
            assert torch.equal(stopped.ws[i], states[step].ws[i])
            assert step > 0 or torch.equal(stopped.ws[i], best.ws[i])
    assert (states[-1].losses["total"] > torch.stack([s.losses["total"] for s in states]).min(dim=0).values).any()


@pytest.mark.parametrize("method", STYLES)
def test_the_shared_networks_stay_as_they_are(method: str, networks: Networks, photos: torch.Tensor) -> None:
    modules = [m for m in (networks.generator, networks.clip, networks.encoder) if m is not None]
    before = [{name: value.clone() for name, value in module.state_dict().items()} for module in modules]
    invert(networks, photos, short(method, text="a cat"))
    for module, state in zip(modules, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_the_seed_alone_fixes_a_clip_guided_search(networks: Networks, photos: torch.Tensor) -> None:
    settings = short("clip_guided", lr=0.05)
    first = invert(networks, photos, settings)
    torch.manual_seed(99)
    assert torch.equal(first.ws, invert(networks, photos, settings).ws)
    assert not torch.equal(first.ws, invert(networks, photos, replace(settings, seed=1)).ws)


def test_a_larger_domain_weight_trades_pixels_for_the_encoders_agreement(photos: torch.Tensor) -> None:
    """The ablation of arXiv 2004.00049, table 4: reconstruction falls, staying in the domain rises."""
    networks = make_networks(40)
    found = [
        invert(networks, photos, replace(defaults("in_domain"), steps=25, lambda_dom=weight, lr=0.05)).ws
        for weight in (0.0, 2.0, 50.0)
    ]
    with torch.no_grad():
        images = [networks.generator.synthesize(ws) for ws in found]
        pixels = [(image - photos).square().mean().item() for image in images]
        apart = [
            (ws[:, 0] - networks.encode(image)[0]).square().mean().item()
            for ws, image in zip(found, images, strict=True)
        ]
    assert pixels[0] < pixels[1] < pixels[2]
    assert apart[0] > apart[1] > apart[2]


def test_a_good_start_beats_three_times_the_steps_from_the_mean() -> None:
    networks = make_networks(120)
    photos = samples(networks, 4, seed=9)
    settings = replace(defaults("in_domain"), lr=0.003, steps=12)
    near = invert(networks, photos, settings)
    far = invert(without_encoder(networks), photos, replace(settings, steps=36))
    assert mean(near.figures, "perceptual") < mean(far.figures, "perceptual")


def test_offsets_are_drawn_to_one_code(networks: Networks, photos: torch.Tensor) -> None:
    spreads = []
    for weight in (0.0, 10.0):
        found = invert(networks, photos, short("in_domain", space="w+offsets", lr=0.05, lambda_offsets=weight))
        spreads.append((found.ws - found.ws.mean(dim=1, keepdim=True)).square().mean().item())
    assert spreads[0] > spreads[1] > 0


def test_text_pulls_the_picture_towards_the_words(networks: Networks, photos: torch.Tensor) -> None:
    last = []
    for weight in (1e-6, 1e4):
        found = invert(networks, photos, short("clip_guided", lr=0.1, text="a smiling cat", text_weight=weight))
        last.append(found.trace["text"][-1])  # under the same augmentations
    assert (last[1] < last[0]).all()


def test_without_an_encoder_the_search_starts_at_the_mean(photos: torch.Tensor) -> None:
    networks = make_networks(None)
    state = next(search(networks, photos, defaults("in_domain")))
    assert torch.equal(state.ws, networks.mean.expand(3, 6, -1))
    assert "domain" not in state.losses
    with pytest.raises(InversionError, match="encoder"):
        invert(networks, photos, defaults("encoder"))


def test_clip_guided_needs_a_clip(networks: Networks, photos: torch.Tensor) -> None:
    with pytest.raises(InversionError, match="CLIP"):
        invert(replace(networks, clip=None), photos, defaults("clip_guided"))


def test_all_eight_augmentations_differ(photos: torch.Tensor) -> None:
    views = augment(photos[:1], seed=0, step=0)
    assert len(views) == COPIES == 8
    for a, b in combinations(views, 2):
        assert (a - b).abs().mean() > 0.05
    assert torch.equal(views, augment(photos, 0, 0).unflatten(0, (COPIES, 3))[:, 0])
    assert not torch.equal(views, augment(photos[:1], 0, 1))


def test_a_homography_takes_each_point_to_its_own() -> None:
    target = CORNERS * torch.tensor([0.5, 0.8]) + torch.tensor([[0.1, 0], [0, 0.2], [0.1, 0.1], [0, 0]])
    matrix = homography(CORNERS[None], target[None])[0]
    moved = torch.cat([CORNERS, torch.ones(4, 1)], dim=1) @ matrix.t()
    assert torch.allclose(moved[:, :2] / moved[:, 2:], target, atol=1e-5)


def test_kept_features_give_the_same_distance(networks: Networks, photos: torch.Tensor) -> None:
    assert networks.clip is not None
    expected = clip_distance(networks.clip)(photos, photos.flip(0))
    assert networks.own_perceptual
    assert torch.allclose(perceptual_to(networks, photos.flip(0))(photos), expected, atol=1e-5)
    assert embed(networks.clip, photos).ndim == 2


def test_a_folded_clip_gives_the_same_vectors_and_gradients(photos: torch.Tensor) -> None:
    torch.manual_seed(0)
    clip = build_clip(ClipConfig(32, (1, 1, 1, 1), 8, embed_dim=16, context_length=16, text_width=16), "residual")
    with torch.no_grad():
        clip.encode_image(torch.rand(8, 3, 32, 32))  # statistics of its own for every normalisation
        for norm in (m for m in clip.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
    clip.eval().requires_grad_(False)
    before = {name: value.clone() for name, value in clip.state_dict().items()}
    fast, found = folded(clip), []
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.model.visual.modules())
    for one in (clip, fast):
        images = photos.clone().requires_grad_()
        directions = one.encode_image(images)
        (gradient,) = torch.autograd.grad(directions[:, 0].sum(), images)
        found.append([directions.detach(), gradient, *one.features(photos)])
    for slow, quick in zip(*found, strict=True):
        assert torch.allclose(slow, quick, rtol=1e-3, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in clip.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"method": "magic"}, "method"),
        ({"space": "z"}, "space"),
        ({"steps": -1}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"tune_steps": 10**6}, "tune_steps"),
        ({"lr": 0.0}, "lr"),
        ({"lambda_dom": float("nan")}, "lambda_dom"),
        ({"lambda_pixel": -1.0}, "lambda_pixel"),
        ({"lambda_clip": True}, "lambda_clip"),
        ({"text": "x" * 1000}, "text"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(changes: dict, word: str) -> None:
    with pytest.raises(InversionError, match=word):
        Settings(**changes)


def test_photos_of_another_size_are_refused(networks: Networks) -> None:
    with pytest.raises(InversionError, match="16"):
        search(networks, torch.zeros(1, 3, 8, 8), Settings())

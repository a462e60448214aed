"""Figures of an expanded generator: exact on cases made by hand, and moving the right way on pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from generators import make_generator
from torch import Tensor

from explorer.latents import Expansion, factorize, sample_codes
from explorer.metrics import expansion as figures
from explorer.metrics import report
from explorer.metrics.frechet import Features
from explorer.networks import StyleGAN2
from explorer.networks.clip import ClipConfig, build_clip

DOMAINS = ("red", "green", "blue")
COLOURS = torch.eye(3) * 2 - 1  # [3, RGB]
TEXTURES = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5


def render(strengths: Mapping[str, float]) -> Tensor:
    """Grey textures; at strength 1 a domain is its colour, with half of the texture left."""
    images = TEXTURES * (1 - 0.5 * min(sum(strengths.values()), 1))
    for name, strength in strengths.items():
        images = images + strength * COLOURS[DOMAINS.index(name)].view(3, 1, 1)
    return images


def scorer(images: Tensor) -> Tensor:  # -> [N, 4]: the colours, then grey
    prototypes = torch.cat([COLOURS, torch.zeros(1, 3)])
    return (-10 * torch.cdist(images.mean(dim=(2, 3)), prototypes)).softmax(dim=1)


def spread(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))


def one_hot(*labels: int, classes: int = 4) -> Tensor:
    return F.one_hot(torch.tensor(labels), classes).float()


def test_psnr_is_exact_and_sees_what_is_shown() -> None:
    a = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(figures.psnr(a, a + 0.2), torch.full((2,), 20.0))
    assert figures.psnr(a, a).tolist() == [100, 100]
    assert figures.psnr(a + 1, a + 3).tolist() == [100, 100], "beyond white is white"


def test_arrival_counts_the_samples_that_a_domain_wins() -> None:
    base = one_hot(3, 3, 0, 3)
    alone = torch.stack([one_hot(0, 0, 0, 0), one_hot(1, 1, 3, 0), one_hot(3, 3, 3, 3)])
    at_one, at_zero = figures.arrival(base, alone)
    assert at_one.tolist() == [1, 0.5, 0]
    assert at_zero.tolist() == [0.25, 0, 0]


def test_separation_has_the_slider_in_rows_and_the_score_in_columns() -> None:
    base = one_hot(3, 3)
    alone = torch.stack([one_hot(0, 0), one_hot(0, 1), one_hot(3, 3)])  # the second slider moves the first domain too
    assert figures.separation(base, alone).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]


def test_composition_needs_both_domains_among_the_best_three() -> None:
    scores = torch.tensor([[0.4, 0.3, 0.2, 0.06, 0.04], [0.04, 0.4, 0.3, 0.2, 0.06]])
    assert figures.composition(scores, (0, 2)) == 0.5
    assert figures.composition(scores, (1, 2)) == 1
    assert figures.composition(scores, (0, 4)) == 0


def test_diversity_is_one_for_the_source_and_scales_with_its_differences() -> None:
    assert figures.diversity(TEXTURES, TEXTURES, spread) == 1
    assert figures.diversity(0.3 * TEXTURES + 0.4, TEXTURES, spread) == pytest.approx(0.3, rel=1e-5)
    assert figures.diversity(TEXTURES[:1].expand(24, -1, -1, -1), TEXTURES, spread) == 0
    with pytest.raises(ValueError, match="more than 4 pictures, got 3"):
        figures.mean_distance(TEXTURES[:3], spread)


def test_pairs_are_all_of_them_or_a_fixed_few() -> None:
    assert figures.pairs(3, 45) == [(0, 1), (0, 2), (1, 2)]
    few = figures.pairs(30, 45)
    assert len(set(few)) == 45
    assert few == figures.pairs(30, 45)
    assert all(0 <= i < j < 30 for i, j in few)


def test_a_perfect_generator_gets_perfect_figures() -> None:
    found = report.domain_figures(render, TEXTURES, DOMAINS, {"eye": scorer}, spread)
    assert found["arrival"]["eye"] == {name: {"at 1": 1.0, "at 0": 0.0} for name in DOMAINS}
    assert found["diversity"] == pytest.approx(dict.fromkeys(DOMAINS, 0.5))
    assert found["composition"]["eye"] == {"red + green": 1.0, "red + blue": 1.0, "green + blue": 1.0}
    matrix = found["separation"]["eye"]
    assert all(matrix[a][a] > 0.9 for a in DOMAINS)
    assert all(abs(matrix[a][b]) < 0.01 for a in DOMAINS for b in DOMAINS if a != b)
    json.dumps(found, allow_nan=False)


def test_figures_fall_where_a_slider_does_nothing_or_the_wrong_thing() -> None:
    def broken(strengths: Mapping[str, float]) -> Tensor:
        kinds = {"red": "red", "green": "red"}  # green makes red, blue nothing at all
        return render({kinds[name]: strength for name, strength in strengths.items() if name in kinds})

    found = report.domain_figures(broken, TEXTURES, DOMAINS, {"eye": scorer}, spread)
    assert [found["arrival"]["eye"][name]["at 1"] for name in DOMAINS] == [1, 0, 0]
    assert found["separation"]["eye"]["green"]["red"] > 0.9
    assert found["diversity"]["blue"] == 1


def test_compared_puts_generators_side_by_side() -> None:
    images = {"expanded": render({"red": 1}), "adapted": render({"green": 1})}
    found = figures.compared(0, images, {"expanded": 60.0, "adapted": 12.0}, TEXTURES, scorer, spread)
    assert found["expanded"]["arrival"] == 1
    assert found["adapted"]["arrival"] == 0
    assert found["expanded"]["diversity"] == pytest.approx(0.5)
    assert found["expanded"]["perceptual"] == pytest.approx(spread(images["expanded"], TEXTURES).mean().item())


def test_a_scorer_by_texts_has_the_domains_then_the_source() -> None:
    torch.manual_seed(0)
    clip = build_clip(ClipConfig(32, (1,), 32, 8, 32, 16, 16, 1), "tiny").eval()
    images = torch.rand(60, 3, 32, 32) * 2 - 1
    found = report.clip_scorer(clip, ("sketch", "moon"), {"sketch": ["a drawing", "a sketch"]}, ["a photo"])(images)
    directions = clip.encode_prompts([["a drawing", "a sketch"], ["moon"], ["a photo"]])
    torch.testing.assert_close(found, clip.scores(images, directions))
    assert found.shape == (60, 3)


def subject(expanded: StyleGAN2, dims: tuple[int, ...] = (23, 22)) -> report.Subject:
    source = make_generator()
    expansion = Expansion(factorize(source), dims, 4.0, ("a", "b")[: len(dims)], source.mapping.w_avg)
    return report.Subject(expanded, source, expansion, sample_codes(source, 40))


def test_replay_uses_the_same_codes_and_the_same_noise() -> None:
    assert report.replay(subject(make_generator())) == {"psnr": 100, "worst psnr": 100}
    changed = make_generator()
    with torch.no_grad():
        changed.synthesis.b16.torgb.bias += 8 / 127.5  # type: ignore[union-attr]
    found = report.replay(subject(changed))
    exact = 10 * math.log10(4 / (8 / 127.5) ** 2)
    assert exact - 0.01 <= found["worst psnr"] <= found["psnr"] < exact + 6, "white hides some of the offset"


def test_only_the_base_subspace_is_replayed_and_the_original_is_not_projected() -> None:
    seen = subject(make_generator())
    torch.testing.assert_close(seen({}), seen.replayed())
    assert (seen.original() - seen.replayed()).abs().max() > 1e-3
    assert (seen({"a": 1.0}) - seen({})).abs().max() > 1e-3


def test_preservation_is_the_ratio_of_two_frechet_distances() -> None:
    features = Features("means", lambda images: images.mean(dim=(2, 3)))
    real = [torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1]
    same = report.preservation(subject(make_generator(), ()), features, real)
    assert same["ratio"] == 1
    changed = make_generator()
    with torch.no_grad():
        changed.synthesis.b16.torgb.bias += 0.7  # type: ignore[union-attr]
    found = report.preservation(subject(changed, ()), features, real)
    assert found["source"] == same["source"]
    assert math.isclose(found["ratio"], found["expanded"] / found["source"])
    assert found["ratio"] > 1.2


def test_adaptation_compares_on_the_same_codes() -> None:
    seen = subject(make_generator())
    score = report._in_batches(lambda images: one_hot(*[1] * len(images), classes=3))
    found = report.adaptation(seen, {"b": make_generator(1)}, seen.original(), ("a", "b"), score, spread)
    assert found["b"]["adapted"]["arrival"] == found["b"]["expanded"]["arrival"] == 1
    assert found["b"]["adapted"]["perceptual"] > found["b"]["expanded"]["perceptual"]
    assert found["b"]["expanded"]["preserved"] == 100, "its base subspace is the source's"
    assert found["b"]["adapted"]["preserved"] < 20, "nothing else is left of it"
    with pytest.raises(ValueError, match="other codes"):
        report.adaptation(seen, {"b": make_generator(w_dim=16)}, seen.original(), ("a", "b"), score, spread)

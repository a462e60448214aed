"""How much each loss counts, when it is due, and how fast the average follows: the figures of a step add up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_expansion import NADA, SETTINGS, config, fixtures, train, trainer_of
from torch import Tensor

from explorer.expansion import mining
from explorer.expansion.config import config_from
from explorer.expansion.tasks import nada
from explorer.expansion.trainer import Trainer
from explorer.training import losses

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
TWO = [{"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon", "weight": 3.0}]
FOLDER_WEIGHTS = {"lambda_expand": 0.7, "lambda_src": 0.4, "source_every": 3}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


def parts_of(trainer: Trainer) -> tuple[Tensor, dict[str, Tensor], Tensor, dict[str, Tensor], dict[str, float]]:
    """The generator's total and figures, the critics' total and figures, each domain's part of the batch."""
    batch = trainer.sample(trainer.shares[0])
    pictures = trainer.render(batch)
    shown = trainer.shown(batch, pictures)
    logits = trainer.judged(batch, pictures)
    total, figures = trainer.generator_loss(batch, pictures, shown, logits)
    d_total, d_figures = trainer.critics_loss(batch, shown, logits)
    fractions = {name: len(mine) / len(batch.base) for name, mine in zip(trainer.plan.new, batch.members, strict=True)}
    return total, figures, d_total, d_figures, fractions


def test_a_step_is_the_weighted_sum_of_its_losses(files: dict[str, Path], tmp_path: Path) -> None:
    trainer = trainer_of(files["source"], config(files["clip"], *TWO, **FOLDER_WEIGHTS), tmp_path)
    with torch.no_grad():
        for weight in trainer.weights:
            weight.mul_(1.05)  # away from the source, so that replay is not zero
    total, figures, d_total, d_figures, fractions = parts_of(trainer)
    domains = sum(0.7 * fractions[name] * figures[name] for name in ("a", "b"))
    assert sum(fractions.values()) == 1
    assert figures["replay"] > 0.01
    torch.testing.assert_close(total, domains + figures["replay"] + 0.4 * 3 * figures["source"])
    # r1_gamma 0.1, every 2 of the discriminator's steps
    torch.testing.assert_close(d_total, d_figures["D"] + d_figures["R1"] * (0.1 / 2 * 2))


def test_losses_are_due_when_the_settings_say(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What costs most is replaced: whether it is asked for is the matter, not what it is."""
    trainer = trainer_of(files["source"], config(files["clip"], *TWO, batch=4, r1_every=3, **FOLDER_WEIGHTS), tmp_path)
    nothing = [None] * len(trainer.weights)
    monkeypatch.setattr(trainer, "path_gradient", lambda batch: (nothing, torch.zeros(())))
    monkeypatch.setattr(losses, "gradient_penalty", lambda critic, real: 0 * critic(real).sum())
    monkeypatch.setattr(nada.Nada, "loss", lambda self, shown: shown.images.mean())
    monkeypatch.setattr(trainer, "embeddings", lambda images, numbers: [torch.zeros(1, len(images), 1)])
    due: dict[str, list[int]] = {"source": [], "R1": [], "path": []}
    for step in range(13):
        trainer.step = step
        figures = trainer.gradients(trainer.shares[0])[2]
        for name in due:
            if name in figures:
                due[name].append(step)
    assert due == {"source": [0, 3, 6, 9, 12], "R1": [0, 9], "path": [0, 3, 6, 9, 12]}


def test_kept_domains_count_as_if_all_samples_showed_them(files: dict[str, Path], tmp_path: Path) -> None:
    train(files["source"], config(files["clip"], steps=1), tmp_path / "one")
    second = config(files["clip"], {"name": "neon", **NADA, "target": "neon"}, distance=0.0, lambda_src=0.0)
    trainer = trainer_of(tmp_path / "one" / "network.safetensors", second, tmp_path / "two")
    with torch.no_grad():
        for weight in trainer.weights:
            weight.mul_(1.05)
    total, figures, _, _, fractions = parts_of(trainer)
    batch = trainer.sample(trainer.shares[0])
    assert len(batch.old) == len(batch.base) / 2, "every other sample"
    expected = fractions["neon"] * figures["neon"] + figures["replay"] + figures["kept domains"]
    torch.testing.assert_close(total, expected)


def test_replay_weighs_the_perceptual_and_the_squared_distance(files: dict[str, Path], tmp_path: Path) -> None:
    settings = config(files["clip"], lambda_lpips=3.0, lambda_l2=7.0)
    trainer = trainer_of(files["source"], settings, tmp_path)
    images, truth = torch.rand(2, 2, 3, 16, 16).unbind()
    perceptual = trainer.studio.perceptual_to(truth)(images).mean()
    expected = 3 * perceptual + 7 * (images - truth).square().mean()
    torch.testing.assert_close(trainer.replay(images, truth), expected)


def test_domains_are_drawn_by_their_weights(files: dict[str, Path], tmp_path: Path) -> None:
    trainer = trainer_of(files["source"], config(files["clip"], *TWO, batch=400), tmp_path)
    members = trainer.sample(trainer.shares[0]).members
    assert [len(mine) for mine in members] == pytest.approx([100, 300], abs=40)


def test_a_tasks_critic_counts_by_its_part_of_the_batch(files: dict[str, Path], tmp_path: Path) -> None:
    folder = {"name": "x", "type": "image_folder", "folder": str(files["pictures"])}
    trainer = trainer_of(files["plain"], config(files["clip"], TWO[0], folder, lambda_src=0.0), tmp_path)
    _, _, d_total, d_figures, fractions = parts_of(trainer)
    assert 0 < fractions["x"] < 1
    torch.testing.assert_close(d_total, fractions["x"] * d_figures["x, critic"])


@pytest.mark.parametrize(("step", "half_life"), [(2, 16 * 0.05), (10_000, 100.0)])
def test_the_average_follows_by_its_half_life(
    files: dict[str, Path], tmp_path: Path, step: int, half_life: float
) -> None:
    """A run younger than 20 half-lives follows faster: at most ema_ramp of its age."""
    trainer = trainer_of(files["source"], config(files["clip"], ema_ramp=0.05), tmp_path)
    trainer.step = step
    before = [weight.clone() for weight in trainer.ema.learnable().values()]
    with torch.no_grad():
        for weight in trainer.weights:
            weight.add_(1.0)
    trainer.update_ema()
    moved = 1 - 0.5 ** (trainer.config.batch / half_life)
    for old, new in zip(before, trainer.ema.learnable().values(), strict=True):
        torch.testing.assert_close(new - old, torch.full_like(old, moved), rtol=1e-3, atol=1e-4)


def test_the_rate_falls_over_the_end_of_the_run(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(files["clip"], steps=10, anneal=0.5, lr=0.01, warmup=2, warmup_lr=0.04, lambda_src=0.0)
    trainer, rates = trainer_of(files["plain"], settings, tmp_path), []
    monkeypatch.setattr("explorer.expansion.trainer.descend", lambda *arguments: rates.append(arguments[3]))
    for _ in range(10):
        trainer.train_step()
    assert rates == pytest.approx([0.04, 0.04, *[0.01] * 4, 0.01 * 0.8, 0.01 * 0.6, 0.01 * 0.4, 0.01 * 0.2][:10])


def test_smoothness_punishes_what_became_rougher_only() -> None:
    """NADA's own weights: each term by itself, on pictures where the others vanish."""
    smooth, rough = torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16)
    rough[..., ::2] = 1.0
    assert nada.variation(rough).mean() > nada.variation(smooth).mean() == 0
    assert nada.roughness(rough, smooth) == pytest.approx(float(nada.variation(rough).mean()))
    assert nada.roughness(smooth, rough) == 0


def test_edges_count_by_where_they_are_and_not_by_how_many() -> None:
    """A map of edges and the same with every edge twice as strong, or with even texture added, are alike."""
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., 20:40, 20:40] = 1.0
    elsewhere = torch.zeros(1, 3, 64, 64)
    elsewhere[..., :20, :20] = 1.0
    texture = 0.05 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert nada.unlikeness(0.5 * picture, picture) < 0.01
    assert nada.unlikeness(picture + texture, picture) < 0.1
    assert nada.unlikeness(elsewhere, picture) > 0.9


def test_mining_weighs_the_domain_the_offset_and_the_distance_from_the_mean() -> None:
    """With published weights 1, 0.8 and 0.5 (arXiv 2108.00946's code and section 4.3), each by itself."""

    class Blind:
        weight = 2.0

        def __call__(self, images: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]])

    mean = torch.zeros(4)
    ws = torch.ones(1, 3, 4)
    images = torch.zeros(1, 3, 8, 8)

    def loss(moved: Tensor, target: Tensor) -> float:
        return float(mining.mining_loss(ws, moved, images, [(Blind(), target)], mean))  # type: ignore[list-item]

    seen, unseen = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert loss(ws, seen) == 0
    assert loss(ws, unseen) == pytest.approx(2.0)
    assert loss(-ws, seen) == pytest.approx(0.8 * 4)  # as far from the mean, elsewhere
    assert loss(3 * ws, seen) == pytest.approx(0.8 * 4 + 0.5 * 4)


def test_settings_that_are_published_stay() -> None:
    settings = config_from({"clip": ["x"], "domain": [{"name": "a", **NADA}]})
    weights: dict[str, Any] = {"lambda_expand": 1.0, "lambda_lpips": 10.0, "lambda_l2": 10.0, "lambda_src": 1.0}
    assert {name: getattr(settings, name) for name in weights} == weights
    assert SETTINGS.keys() <= vars(settings).keys()

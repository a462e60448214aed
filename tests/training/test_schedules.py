"""How much the trainers' losses count, when R1 and path length are due, how rates and averages follow a run's age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from explorer.recipes import encoder, gan
from explorer.training import losses
from explorer.training.augment import adapted
from explorer.weights import Checkpoint
from tests.generators import make_generator
from tests.training.tiny import config as gan_config
from tests.training.tiny import write_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's own
REAL = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(Checkpoint(make_generator()).save(tmp_path_factory.mktemp("source") / "tiny.safetensors"))


def make_gan(data: Path, **changes: Any) -> gan.Trainer:
    quiet = {"path_weight": 0.0, "style_decay": 1.0, "style_threshold": 0.0, "mirror": False, "style_mixing": 0.0}
    return gan.Trainer(gan_config(data, 100, **(quiet | changes)), ("a", "b", "c"), Accelerator(cpu=True))


def make_encoder(data: Path, source: str, **changes: Any) -> encoder.Trainer:
    settings = {"channels": (8, 8, 8), "batch": 8, "precision": "fp32", "mirror": False, "generated": 0.5}
    tiny = encoder.Config(data=str(data), generator=source, **(settings | changes))
    trainer = encoder.Trainer(tiny, Accelerator(cpu=True))
    trainer.perceptual = lambda a, b: (a - b).abs().mean(dim=(1, 2, 3))  # type: ignore[assignment]
    return trainer


@pytest.fixture
def descents(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, float]]:
    """Gradient and rate of every descent, in place of the descent."""
    calls: list[tuple[Tensor, float]] = []

    def record(_: Any, weights: Any, gradient: Any, rate: float, accelerator: Any) -> None:
        parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradient, strict=True)]
        calls.append((torch.cat([part.flatten() for part in parts]), rate))

    for module in (gan, encoder):
        monkeypatch.setattr(module, "descend", record)
    return calls


def flat_gradient(loss: Tensor, weights: Any) -> Tensor:
    gradient = torch.autograd.grad(loss, list(weights), allow_unused=True)
    parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradient, strict=True)]
    return torch.cat([part.flatten() for part in parts])


# --- R1 ---------------------------------------------------------------------------------------------------------------


def test_r1_counts_half_of_gamma_for_all_steps_between(data: Path, descents: list) -> None:
    trainer = make_gan(data, r1_gamma=6.0, r1_every=5)
    real = REAL / 127.5 - 1
    expected = flat_gradient(6 / 2 * 5 * losses.gradient_penalty(trainer.D, real), list(trainer.D.parameters()))
    due = [step for step in range(11) for trainer.step in [step] if "R1" in trainer.train_step(REAL, LABELS)]
    assert due == [0, 5, 10]
    trainer = make_gan(data, r1_gamma=0.0, r1_every=5)
    trainer.train_step(REAL, LABELS)
    with_r1, without = descents[1][0], descents[-1][0]  # the generator descends first
    assert expected.norm() > 1e-3
    torch.testing.assert_close(with_r1 - without, expected, rtol=1e-3, atol=1e-6)


def test_the_encoders_critic_pays_half_of_gamma_for_all_steps_between(data: Path, source: str) -> None:
    trainer = make_encoder(data, source, r1_gamma=6.0, r1_every=5)
    real = REAL / 127.5 - 1
    weights = list(trainer.D.parameters())

    def gradient() -> tuple[Tensor, dict[str, Tensor]]:
        figures = {"D": trainer.D(real, None, torch.float32).mean()}
        parts = trainer.critic_gradient(figures, weights, real)
        return torch.cat([part.flatten() for part in parts]), figures

    found = []
    for trainer.step in range(11):
        parts, figures = gradient()
        found.append((parts, "R1" in figures))
    assert [step for step, (_, due) in enumerate(found) if due] == [0, 5, 10]
    expected = flat_gradient(6 / 2 * 5 * losses.gradient_penalty(trainer.D, real), weights)
    assert expected.norm() > 1e-3
    torch.testing.assert_close(found[5][0] - found[1][0], expected, rtol=1e-3, atol=1e-6)
    trainer.step, trainer.config = 0, replace(trainer.config, r1_gamma=0.0)
    assert "R1" not in gradient()[1]


def test_path_length_is_lazy_and_counts_for_the_steps_between(data: Path, descents: list) -> None:
    trainer = make_gan(data, path_weight=2.0, path_every=3, r1_gamma=0.0)
    due = [step for step in range(7) for trainer.step in [step] if "path" in trainer.train_step(REAL, LABELS)]
    assert due == [0, 3, 6]
    gradients = []
    for weight, every in ((2.0, 1), (0.5, 4), (1.0, 1)):
        trainer.config = replace(trainer.config, path_weight=weight, path_every=every)
        trainer.path_mean = torch.zeros(())
        parts, mean = trainer.path_gradient([(trainer.share, None)], list(trainer.G.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts if part is not None]))
    assert gradients[0].norm() > 0
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(2 * gradients[2], gradients[0])
    first = float(mean)
    trainer.path_mean = torch.ones(())
    _, mean = trainer.path_gradient([(trainer.share, None)], list(trainer.G.parameters()))
    assert float(mean) == pytest.approx(0.99 + first, abs=1e-4)


# --- Rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kimg", "rates"),
    [
        (0.0, (0.0, 0.5)),
        (9.0, (0.0, 0.5)),
        (15.0, (0.25, 0.5)),
        (20.0, (0.5, 0.5)),
        (30.0, (1.0, 0.5)),
        (80.0, (1.0, 0.5)),
        (90.0, (0.5, 0.25)),
        (100.0, (0.0, 0.0)),
    ],
)
def test_the_gans_rates_sleep_rise_stay_and_fall(data: Path, kimg: float, rates: tuple[float, float]) -> None:
    trainer = make_gan(data, freeze_kimg=10.0, ramp_kimg=20.0, anneal_kimg=20.0, g_lr=1.0, d_lr=0.5)
    trainer.config = replace(trainer.config, kimg=100.0)
    trainer.step = round(1000 * kimg / 8)
    assert trainer.rates() == pytest.approx(rates)


def test_without_schedule_both_rates_stay(data: Path, descents: list) -> None:
    trainer = make_gan(data, g_lr=0.3, d_lr=0.7, r1_gamma=0.0)
    for trainer.step in (0, 90):
        trainer.train_step(REAL, LABELS)
    assert [rate for _, rate in descents] == [0.3, 0.7, 0.3, 0.7]


def test_a_generator_that_sleeps_takes_no_step(data: Path, descents: list) -> None:
    trainer = make_gan(data, freeze_kimg=0.1, d_lr=0.7, r1_gamma=0.0)
    trainer.train_step(REAL, LABELS)
    assert [rate for _, rate in descents] == [0.7]


@pytest.mark.parametrize(("kimg", "rate"), [(0.0, 1.0), (80.0, 1.0), (90.0, 0.5), (95.0, 0.25)])
def test_the_encoders_rates_fall_at_the_end(data: Path, source: str, descents: list, kimg: float, rate: float) -> None:
    trainer = make_encoder(data, source, kimg=100.0, anneal_kimg=20.0, lr=0.3, d_lr=0.7)
    trainer.step = round(1000 * kimg / 8)
    trainer.train_step(REAL)
    assert [found for _, found in descents] == pytest.approx([0.3 * rate, 0.7 * rate])


# --- Averages ---------------------------------------------------------------------------------------------------------


def moved_by(average: torch.nn.Module, weights: torch.nn.Module, update: Callable[[], None]) -> float:
    """How far an average goes towards weights that are 1 away from it."""
    with torch.no_grad():
        for mine, theirs in zip(average.parameters(), weights.parameters(), strict=True):
            theirs.copy_(mine + 1)
    before = [parameter.clone() for parameter in average.parameters()]
    update()
    parts = [float((now - old).mean()) for now, old in zip(average.parameters(), before, strict=True)]
    assert max(parts) - min(parts) < 1e-4
    return parts[0]


@pytest.mark.parametrize(
    ("kimg", "ramp", "freeze", "half_life"),
    [(1.0, 0.05, 0.0, 50.0), (1.0, 0.05, 0.4, 30.0), (1.0, 0.0, 0.0, 200.0), (100.0, 0.05, 0.0, 200.0)],
)
def test_the_gans_average_follows_by_its_half_life(
    data: Path, kimg: float, ramp: float, freeze: float, half_life: float
) -> None:
    """A young run follows faster: at most `ramp` of the age since its generator awoke."""
    trainer = make_gan(data, ema_kimg=0.2, ema_ramp=ramp, freeze_kimg=freeze)
    trainer.step = round(1000 * kimg / 8)
    found = moved_by(trainer.ema, trainer.G, trainer.update_ema)
    assert found == pytest.approx(1 - 0.5 ** (8 / half_life), rel=1e-3)


@pytest.mark.parametrize(("kimg", "half_life"), [(1.0, 50.0), (100.0, 200.0)])
def test_the_encoders_average_follows_by_its_half_life(data: Path, source: str, kimg: float, half_life: float) -> None:
    trainer = make_encoder(data, source, ema_kimg=0.2)
    trainer.step = round(1000 * kimg / 8)
    found = moved_by(trainer.ema, trainer.E, trainer.update_ema)
    assert found == pytest.approx(1 - 0.5 ** (8 / half_life), rel=1e-3)


def test_the_mean_code_follows_slowly(data: Path, descents: list) -> None:
    trainer = make_gan(data)
    before = trainer.G.mapping.w_avg.clone()
    codes = trainer.sample_codes(gan.Draws(trainer.config.seed, 0, 8, trainer.share), None)[1]
    trainer.train_step(REAL, LABELS)
    torch.testing.assert_close(trainer.G.mapping.w_avg, before.lerp(codes, 0.002))


# --- The encoder's losses ---------------------------------------------------------------------------------------------


WEIGHTS = {"pixel": 0.3, "perceptual": 0.7, "offsets": 1.1, "code": 1.3}


def test_the_encoders_losses_count_by_their_weights(
    data: Path, source: str, descents: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "generator_loss", lambda logits: 0 * logits.sum() + 5.0)
    trainer = make_encoder(data, source, lambda_adv=0.2, **{f"lambda_{k}": v for k, v in WEIGHTS.items()})
    torch.nn.init.normal_(trainer.E.to_offsets.weight)
    figures = trainer.train_step(REAL)
    assert min(float(figures[name]) for name in WEIGHTS) > 1e-4
    expected = sum(weight * figures[name] for name, weight in WEIGHTS.items()) + 0.2 * 5
    torch.testing.assert_close(figures["loss"], expected)


def test_codes_and_offsets_are_measured_in_units_of_w(data: Path, source: str, descents: list) -> None:
    figures = []
    for scale in (1.0, 2.0):
        trainer = make_encoder(data, source, lambda_adv=0.0)
        torch.nn.init.constant_(trainer.E.to_w.weight, 0.0)
        torch.nn.init.constant_(trainer.E.to_offsets.bias, 1.0)
        with torch.no_grad():
            trainer.E.scale.mul_(scale)
        figures.append(trainer.train_step(REAL))
    torch.testing.assert_close(figures[0]["code"], 4 * figures[1]["code"])
    torch.testing.assert_close(figures[0]["offsets"], figures[1]["offsets"])


@pytest.mark.parametrize(("sign", "part"), [(0.9, 0.5 + 0.01), (0.1, 0.5 - 0.01)], ids=["memorised", "not"])
def test_the_augmented_part_goes_towards_its_target_step_by_step(sign: float, part: float) -> None:
    found = adapted(torch.tensor(0.5), torch.tensor(sign), 0.6, 0.01)
    assert float(found) == pytest.approx(part)
    assert float(adapted(torch.tensor(0.0), torch.tensor(0.1), 0.6, 0.01)) >= 0
    assert float(adapted(torch.tensor(1.0), torch.tensor(0.9), 0.6, 0.01)) <= 1

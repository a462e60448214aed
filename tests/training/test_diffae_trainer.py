"""The trainer of diffusion autoencoders: what its step learns, resumed and killed runs, two processes, its file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from explorer.networks.diffae import DiffAE
from explorer.networks.diffusion import linear_schedule
from explorer.recipes import diffae
from explorer.refused import Refused
from explorer.training.run import Folder
from explorer.weights import load
from tests.training.tiny import differences, write_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}
BATCH = 8
SETTINGS: dict[str, Any] = {
    "resolution": 16,
    "net_ch": 8,
    "net_ch_mult": (1, 2),
    "enc_ch_mult": (1, 2, 2),
    "attention": (4,),
    "embed_dim": 16,
    "z_dim": 12,
    "latent_layers": 2,
    "latent_hidden": 16,
    "batch": BATCH,
    "precision": "fp32",
    "anneal_kimg": 0.0,
    "ema_kimg": 0.1,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that these tests start: bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_pictures(tmp_path_factory.mktemp("diffae") / "pictures.zip"))


def config(data: str, steps: int, **changes: Any) -> diffae.Config:
    return diffae.Config(data=data, kimg=steps * BATCH / 1000, **(SETTINGS | changes))


def train(run: Path, settings: diffae.Config) -> dict[str, Any]:
    diffae.train(Folder(run), settings, Accelerator(cpu=True))
    state = Folder(run).load()
    assert state is not None
    return state


@pytest.fixture(scope="module")
def eight_steps(data: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train(tmp_path_factory.mktemp("whole"), config(data, 8))


def cats(count: int = BATCH) -> Tensor:
    """Pictures that have little to tell: four colours each."""
    colours = torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    return (255 * F.interpolate(colours, scale_factor=8)).to(torch.uint8)


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.2, "predicts": "eps", "style_decay": 0.0}])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(data: str, changes: dict[str, Any], tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", config(data, 5, **changes))
    train(tmp_path / "parts", config(data, 2, **changes))
    assert differences(whole, train(tmp_path / "parts", config(data, 5, **changes))) == []


def test_two_processes_equal_one_with_the_same_whole_batch(
    data: str, eight_steps: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "explorer", "train", "diffae", str(tmp_path / "two"), "--data", data, "--cpu"]
    command += ["--kimg", str(8 * BATCH / 1000)]
    for name, value in SETTINGS.items():
        command += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    state = Folder(tmp_path / "two").load()
    assert state is not None
    for name, value in eight_steps["ema"].items():
        torch.testing.assert_close(state["ema"][name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize("predicts", ["v", "eps"])
def test_it_learns_to_see_noise_by_the_code_and_codes_of_noise(predicts: str, data: str) -> None:
    settings = config(data, 1000, predicts=predicts, lr=0.003, latent_lr=0.005, mirror=False, style_decay=0.0)
    trainer = diffae.Trainer(settings, Accelerator(cpu=True))
    figures = [trainer.train_step(cats()) for _ in range(60)]
    for name, most in (("loss", 0.8), ("codes", 0.95)):
        first, last = (sum(float(f[name]) for f in part) for part in (figures[:10], figures[-10:]))
        assert last < most * first, name


def test_codes_tell_the_pictures_apart(data: str) -> None:
    """A flow hears them at once; the noise that is to be predicted says little of the picture."""
    settings = config(data, 1000, lr=0.003, mirror=False, style_decay=0.0)
    trainer = diffae.Trainer(settings, Accelerator(cpu=True))
    for _ in range(100):
        trainer.train_step(cats())
    real = cats().float() / 127.5 - 1
    with torch.no_grad():
        z = trainer.normalized(trainer.G.encode(real))
        own, other = (
            float(trainer.denoising(real, F.silu(codes), diffae.Draws(0, 0, BATCH, trainer.share)))
            for codes in (z, z.roll(1, 0))
        )
    assert own < 0.97 * other


def test_a_flow_learns_the_way_from_noise_to_the_picture(data: str) -> None:
    """`(1 - t) x0 + t noise` and `noise - x0`, whatever the network."""
    trainer = diffae.Trainer(config(data, 10), Accelerator(cpu=True))
    real = cats().float() / 127.5 - 1
    seen: list[tuple[Tensor, Tensor]] = []

    def perfect(x: Tensor, t: Tensor, u: Tensor) -> Tensor:
        seen.append((x, t))
        return (x - real) / t[:, None, None, None]

    trainer.G.velocity = perfect  # type: ignore[method-assign, assignment]
    draws = diffae.Draws(0, 0, BATCH, trainer.share)
    assert float(trainer.denoising(real, torch.zeros(BATCH, 12), draws)) < 1e-8
    (_, t), *_ = seen
    assert 0 < t.min() < t.max() < 1


def test_noise_is_learned_at_the_published_levels(data: str) -> None:
    trainer = diffae.Trainer(config(data, 10, predicts="eps"), Accelerator(cpu=True))
    real = cats().float() / 127.5 - 1
    schedule = torch.tensor(linear_schedule())

    def perfect(x: Tensor, t: Tensor, u: Tensor) -> Tensor:
        level = schedule[t].float().view(-1, 1, 1, 1)
        return (x - level.sqrt() * real) / (1 - level).sqrt()

    trainer.G.net = perfect  # type: ignore[method-assign, assignment]
    assert float(trainer.denoising(real, torch.zeros(BATCH, 12), diffae.Draws(0, 0, BATCH, trainer.share))) < 1e-6


def test_codes_are_normalised_and_the_encoder_in_the_file_makes_them_so(data: str) -> None:
    trainer = diffae.Trainer(config(data, 10), Accelerator(cpu=True))
    said = 3 + 0.02 * torch.randn(1000, 12, generator=torch.Generator().manual_seed(0))
    z = said
    for trainer.step in range(400):
        z = trainer.normalized(said)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(12), rtol=0, atol=0.05)
    torch.testing.assert_close(z.std(dim=0), torch.ones(12), rtol=0, atol=0.05)
    torch.testing.assert_close(trainer.u_mean, F.silu(z).mean(dim=0), rtol=0, atol=0.01)

    network, real = trainer.network(), cats().float() / 127.5 - 1
    torch.testing.assert_close(network.encode(real), (trainer.ema.encode(real) - trainer.mean) / trainer.std())
    assert torch.equal(network.mean, trainer.u_mean)


def test_the_loss_does_not_see_how_codes_are_normalised(data: str) -> None:
    """Else the encoder could lower it by its spread alone."""
    trainer = diffae.Trainer(config(data, 10), Accelerator(cpu=True))
    said = torch.randn(8, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(trainer.normalized(said).sum(), said)
    torch.testing.assert_close(gradient, (1 / trainer.std()).expand(8, 12))


def test_styles_begin_at_zero_and_shrink(data: str) -> None:
    trainer = diffae.Trainer(config(data, 10, style_decay=0.5, lr=0.0), Accelerator(cpu=True))
    assert not any(weight.any() for weight in trainer.styles)
    for weight in trainer.styles:
        weight.data.fill_(1.0)
    trainer.train_step(cats())
    assert all((weight == 0.5).all() for weight in trainer.styles)
    plain = diffae.Trainer(config(data, 10, style_decay=0.0), Accelerator(cpu=True))
    assert all(layer.weight.any() for layer in plain.G.style_layers()), "as published, they begin at random"


def test_long_gradients_are_shortened(data: str) -> None:
    moved = []
    for max_norm in (1e-9, 1.0):
        trainer = diffae.Trainer(config(data, 10, max_norm=max_norm, lr=1e-3, style_decay=0.0), Accelerator(cpu=True))
        before = [weight.detach().clone() for weight in trainer.weights]
        trainer.train_step(cats())
        moved.append(max(float((a - b).abs().max()) for a, b in zip(trainer.weights, before, strict=True)))
    assert moved[0] < 0.2 * moved[1]  # Adam's own smallest number, 1e-8, is then larger than the gradient


def test_rates_fall_at_the_end(data: str) -> None:
    trainer = diffae.Trainer(config(data, 10, anneal_kimg=4 * BATCH / 1000), Accelerator(cpu=True))
    rates = []
    for trainer.step in (0, 6, 8, 10):
        rates.append(trainer.rate())
    assert rates == pytest.approx([1, 1, 0.5, 0])


def test_the_file_holds_the_average_and_opens(data: str, eight_steps: dict[str, Any], tmp_path: Path) -> None:
    train(tmp_path, config(data, 8))
    checkpoint = load(tmp_path / "network.safetensors")
    assert isinstance(checkpoint.generator, DiffAE)
    changed = differences(eight_steps["ema"], dict(checkpoint.generator.state_dict()))
    assert sorted(changed) == [".encoder.out.3.bias", ".encoder.out.3.weight", ".u_mean"]
    assert checkpoint.generator.config == config(data, 8).shape()
    assert checkpoint.meta["pictures_seen"] == 8 * BATCH
    (sheet,) = (tmp_path / "samples").iterdir()
    assert sheet.name == "00000064.png"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predicts": "x0"}, "--predicts is v or eps"),
        ({"resolution": 20, "patch": 3}, "20 px in patches of 3"),
        ({"net_ch": 33}, "cannot be normalised"),
        ({"dropout": 1.0}, "below 1"),
        ({"latent_draws": 0}, "--latent-draws must be 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str, data: str) -> None:
    with pytest.raises(Refused, match=words):
        diffae.Trainer(config(data, 1, **changes), Accelerator(cpu=True))

"""The GAN trainer as a whole: resumed, killed, interrupted, diverged, in two processes, conditional, augmented."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from explorer import cli, weights
from explorer.recipes import gan
from explorer.recipes.gan import Config
from explorer.training import losses
from explorer.training.data import Order, Pictures
from explorer.training.run import Diverged, Folder, RunError
from tests.training.tiny import config, differences, flags, train, write_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that these tests start: bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


@pytest.fixture(scope="module")
def eight_steps(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The checkpoint of an uninterrupted run of eight steps."""
    return train(tmp_path_factory.mktemp("whole"), config(data, 8))


ADAPTIVE: dict[str, Any] = {"augment": "color,translation", "augment_target": 0.01, "augment_kimg": 0.05}


def trainer_after(data: Path, steps: int, **changes: Any) -> gan.Trainer:
    settings = config(data, steps, **changes)
    pictures = Pictures(data, 16, settings.held_out)
    trainer = gan.Trainer(settings, pictures.classes, Accelerator(cpu=True))
    order = Order(len(pictures), settings.batch, settings.seed)
    for step in range(steps):
        real, labels = zip(*(pictures[int(i)] for i in order.at(step)), strict=True)
        trainer.train_step(torch.stack(real), torch.tensor(labels))
    return trainer


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    data: Path, eight_steps: dict[str, Any], tmp_path: Path
) -> None:
    first = train(tmp_path, config(data, 5))
    assert first["step"] == 5
    resumed = train(tmp_path, config(data, 8))
    assert resumed["step"] == 8
    assert differences(eight_steps, resumed) == []


def test_a_resumed_run_augments_as_the_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", config(data, 6, **ADAPTIVE))
    assert 0 < train(tmp_path / "parts", config(data, 4, **ADAPTIVE))["augmented"] < 1
    assert differences(whole, train(tmp_path / "parts", config(data, 6, **ADAPTIVE))) == []


def test_a_killed_run_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "explorer", "train", "gan", str(tmp_path / "killed")]
    command += flags(data, 100_000, checkpoint_minutes=0)
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "killed" / "checkpoint-1.pt").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no second checkpoint: {process.communicate()[1]}")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    state = Folder(tmp_path / "killed").load()
    assert state is not None
    steps = state["step"] + 3
    resumed = train(tmp_path / "killed", config(data, steps))
    assert differences(train(tmp_path / "whole", config(data, steps)), resumed) == []


def test_ctrl_c_saves_after_the_step(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = gan.Trainer.train_step

    def interrupted(self: gan.Trainer, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *batch)

    monkeypatch.setattr(gan.Trainer, "train_step", interrupted)
    assert train(tmp_path, config(data, 50))["step"] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exit_code_tells_that_a_signal_ended_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    step = gan.Trainer.train_step

    def interrupted(self: gan.Trainer, *batch: torch.Tensor) -> dict[str, torch.Tensor]:
        signal.raise_signal(number)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(gan.Trainer, "train_step", interrupted)
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", "gan", str(tmp_path), *flags(data, 3)])
    assert ended.value.code == 128 + number
    assert "8 of 24 images" in capsys.readouterr().out
    assert cli.main(["train", "gan", str(tmp_path), "--resume"]) == 0
    assert "24 of 24 images" in capsys.readouterr().out


def test_nan_stops_with_a_word_and_keeps_the_last_good_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = train(tmp_path, config(data, 2))
    monkeypatch.setattr(losses, "generator_loss", lambda logits: logits.mean() * torch.nan)
    with pytest.raises(Diverged, match="no longer finite after 3 steps"):
        train(tmp_path, config(data, 50, checkpoint_minutes=0))
    kept = Folder(tmp_path).load()
    assert kept is not None
    assert differences(good, kept) == []


def test_two_processes_equal_one_with_the_same_whole_batch(
    data: Path, eight_steps: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "explorer", "train", "gan", str(tmp_path / "two"), *flags(data, 8)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    state = Folder(tmp_path / "two").load()
    assert state is not None
    assert state["step"] == 8
    for network in ("generator", "discriminator", "ema"):
        for name, value in eight_steps[network].items():
            torch.testing.assert_close(state[network][name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    "changes", [{"accumulate": 2}, {"checkpointing": True}, {"accumulate": 2, "checkpointing": True}]
)
def test_less_memory_takes_the_same_steps(data: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Parts of a batch, and features that are computed again: with noise, R1, path lengths, labels and what adapts."""
    others: dict[str, Any] = ADAPTIVE | {"batch": 16, "labels": True, "r1_every": 2, "path_every": 2}
    whole = train(tmp_path / "whole", config(data, 4, **others))
    saving = train(tmp_path / "saving", config(data, 4, **others, **changes))
    for network in ("generator", "discriminator", "ema"):
        for name, value in whole[network].items():
            torch.testing.assert_close(saving[network][name], value, rtol=1e-3, atol=2e-4, msg=name)
    torch.testing.assert_close(saving["path_mean"], whole["path_mean"])
    torch.testing.assert_close(saving["augmented"], whole["augmented"])


def test_one_forward_pass_gives_both_networks_their_own_gradient(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step equals two separate ones from the same weights: D on detached fakes, G through a frozen D."""
    trainer = trainer_after(data, 0, r1_gamma=0, path_weight=0, style_decay=1, style_threshold=0, mirror=False)
    seen: list[list[torch.Tensor]] = []
    monkeypatch.setattr(gan, "descend", lambda _, __, gradient, *___: seen.append(list(gradient)))
    real = torch.randint(0, 255, (8, 3, 16, 16), dtype=torch.uint8)
    trainer.train_step(real, torch.zeros(8, dtype=torch.int64))
    draws = gan.Draws(0, 0, 8, trainer.share)
    ws, _ = trainer.sample_codes(draws, None)
    fake = trainer.G.synthesis(ws, "random", draws.noise)
    d_loss = losses.discriminator_loss(trainer.D(real / 127.5 - 1), trainer.D(fake.detach()))
    expected = torch.autograd.grad(d_loss, list(trainer.D.parameters()))
    torch.testing.assert_close(seen[1], list(expected))
    g_loss = losses.generator_loss(trainer.D(fake))
    torch.testing.assert_close(seen[0], list(torch.autograd.grad(g_loss, list(trainer.G.parameters()))))


def test_ema_follows_its_half_life_with_ramp_up(data: Path) -> None:
    trainer = trainer_after(data, 3, ema_ramp=0.5)
    before = {name: value.clone() for name, value in trainer.ema.named_parameters()}
    trainer.step = 4  # 32 images old: half-life 16 images, batch 8
    trainer.update_ema()
    weight = 1 - 0.5 ** (8 / 16)
    for (name, value), live in zip(trainer.ema.named_parameters(), trainer.G.parameters(), strict=True):
        torch.testing.assert_close(value, before[name].lerp(live, weight))
    trainer.step = 10_000  # old: half-life 100 images
    middle = {name: value.clone() for name, value in trainer.ema.named_parameters()}
    trainer.update_ema()
    weight = 1 - 0.5 ** (8 / 100)
    for (name, value), live in zip(trainer.ema.named_parameters(), trainer.G.parameters(), strict=True):
        torch.testing.assert_close(value, middle[name].lerp(live, weight))


def test_rates_freeze_ramp_and_anneal(data: Path) -> None:
    settings = config(data, 1000, freeze_kimg=0.8, ramp_kimg=1.6, anneal_kimg=4.0, g_lr=1.0, d_lr=1.0)
    trainer = gan.Trainer(settings, (), Accelerator(cpu=True))
    found = []
    for trainer.step in (0, 100, 200, 300, 500, 750, 1000):
        found.append(trainer.rates())
    expected = [(0, 1), (0, 1), (0.5, 1), (1, 1), (1, 1), (0.5, 0.5), (0, 0)]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected, dtype=torch.float32))


def test_a_frozen_generator_stays_while_the_discriminator_learns(data: Path) -> None:
    start, end = trainer_after(data, 0), trainer_after(data, 2, freeze_kimg=1.0)
    for name, value in end.G.named_parameters():
        assert torch.equal(value, start.G.get_parameter(name)), name
    assert any(not torch.equal(value, start.D.get_parameter(name)) for name, value in end.D.named_parameters())


def test_augmentation_adapts_to_how_sure_the_discriminator_is(data: Path) -> None:
    """Sure of real pictures: more of them are augmented each step, from none on; unsure: fewer, down to none."""
    trainer, found = trainer_after(data, 0, **ADAPTIVE), []
    real = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    for logit in (1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0):
        trainer.D.b4.out.bias.data.fill_(100 * logit)
        figures = trainer.train_step(real, torch.zeros(8, dtype=torch.int64))
        found.append(float(figures["augmented"]))
    torch.testing.assert_close(found, [0.16, 0.32, 0.48, 0.32, 0.16, 0.0, 0.0])


def test_conditional_and_augmented_runs_export_what_they_are(data: Path, tmp_path: Path) -> None:
    train(tmp_path, config(data, 2, labels=True, augment="color,translation,cutout"))
    checkpoint = weights.load(tmp_path / "network.safetensors")
    assert checkpoint.generator.config.c_dim == 3
    assert checkpoint.discriminator is not None
    assert checkpoint.meta["classes"] == ["a", "b", "c"]
    assert checkpoint.meta["images_seen"] == 16


def test_a_run_starts_from_a_checkpoint(data: Path, tmp_path: Path) -> None:
    train(tmp_path, config(data, 2))
    checkpoint = weights.load(tmp_path / "network.safetensors")
    begun = trainer_after(data, 0, start_from=str(tmp_path / "network.safetensors"), seed=5)
    assert differences(checkpoint.generator.state_dict(), begun.G.state_dict()) == []
    assert checkpoint.discriminator is not None
    assert differences(checkpoint.discriminator.state_dict(), begun.D.state_dict()) == []


def test_a_run_of_larger_pictures_starts_from_a_smaller_one(data: Path, tmp_path: Path) -> None:
    train(tmp_path / "small", config(data, 2))
    small = str(tmp_path / "small" / "network.safetensors")
    grown = config(data, 2, start_from=small, resolution=32, g_channels=(8, 8, 6, 4), d_channels=(8, 8, 4, 4))
    train(tmp_path / "large", grown)
    assert weights.load(tmp_path / "large" / "network.safetensors").generator.resolution == grown.resolution
    with pytest.raises(RunError, match="can only grow"):
        trainer_after(data, 0, start_from=str(tmp_path / "large" / "network.safetensors"))


def test_commands_that_cannot_work_say_why(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    cases = [
        ([run, "--resume", "--cpu"], "no run to resume"),
        ([run, "--cpu"], "--data"),
        ([run, "--cpu", "--data", str(data), "--augment", "magic"], "augmentations are"),
        ([run, "--cpu", "--data", str(data), "--augment-target", "0.6"], "needs --augment"),
        ([run, "--cpu", "--data", str(data), "--augment-target", "1.6"], "below 1"),
        ([run, "--cpu", "--data", str(data), "--resolution", "48"], "power of two"),
        ([run, "--cpu", "--data", str(data), "--d-channels", "8", "8"], "--d-channels needs 5 widths"),
        ([run, "--cpu", "--data", str(data), "--g-channels", "0", "8", "8", "8", "8"], "--g-channels needs 5 widths"),
        ([run, "--cpu", "--data", str(data), "--style-mixing", "2"], "probability"),
        ([run, "--cpu", "--data", str(data), "--style-keep", "513"], "of the 512"),
        ([run, *flags(data, 1, batch=6)], "groups of 4"),
        ([run, *flags(data, 1, accumulate=4)], "a multiple of 16"),
        ([run, *flags(write_pictures(tmp_path / "plain.zip", labels=False), 1), "--labels"], "holds no labels"),
    ]
    for arguments, words in cases:
        assert cli.main(["train", "gan", *arguments]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "setting",
    [
        {"batch": 0},
        {"accumulate": 0},
        {"r1_every": 0},
        {"path_every": 0},
        {"kimg": -1.0},
        {"kimg": math.inf},
        {"g_lr": math.nan},
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting)).replace("_", "-")):
        Config(**setting)  # type: ignore[arg-type]


def test_a_run_resumed_in_vain_stays_as_it_was(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "gan", str(tmp_path), *flags(data, 1)]) == 0
    before = (tmp_path / "config.json").read_bytes()
    resume = [str(tmp_path), "--resume", "--cpu"]
    changes = {"--w-dim 24": "stays 16", "--batch 4": "stays 8", "--data no-such.zip": "no-such.zip"}
    for change, words in ((change.split(), words) for change, words in changes.items()):
        capsys.readouterr()
        assert cli.main(["train", "gan", *resume, *change]) == 2
        assert words in capsys.readouterr().err
        assert (tmp_path / "config.json").read_bytes() == before
    assert cli.main(["train", "gan", *resume, "--kimg", "0.016"]) == 0
    assert Folder(tmp_path).read_config()["kimg"] == 0.016


@pytest.mark.parametrize("text", ["[]", '{"batch": "many"}', '{"batch": 2.5}', '{"g_channels": 8}'])
def test_a_damaged_configuration_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(text)
    assert cli.main(["train", "gan", str(tmp_path), "--resume", "--cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_checkpoint_of_other_networks_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "gan", str(tmp_path), *flags(data, 1)]) == 0
    folder = Folder(tmp_path)
    folder.write_config(folder.read_config() | {"w_dim": 24})
    assert cli.main(["train", "gan", str(tmp_path), "--resume", "--cpu"]) == 2
    assert "of other networks than these settings ask for" in capsys.readouterr().err


def test_a_run_does_not_lie_among_its_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "cat.png")
    assert cli.main(["train", "gan", str(tmp_path / "run"), *flags(tmp_path, 1)]) == 2
    assert "lies among the pictures" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_widths_follow_the_resolution() -> None:
    assert (Config().g_channels, Config().d_channels) == ((192, 192, 128, 64, 32), (256, 256, 128, 64, 32))
    assert Config(resolution=128).g_channels == (192, 192, 192, 128, 64, 32)
    assert Config(resolution=4).d_channels == (32,)


def test_paths_are_saved_so_that_they_hold_from_everywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    assert cli.main(["train", "gan", str(tmp_path / "run"), *flags(Path(data.name), 1)]) == 0
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "gan", str(tmp_path / "run"), "--resume", "--cpu", "--kimg", "0.016"]) == 0


def test_one_process_at_a_time_trains_in_a_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Folder(tmp_path).held():
        assert cli.main(["train", "gan", str(tmp_path), *flags(data, 1)]) == 2
        assert "another process is training in" in capsys.readouterr().err
    assert cli.main(["train", "gan", str(tmp_path), *flags(data, 1)]) == 0


def test_a_start_that_failed_does_not_hold_its_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.create({"data": "nope.zip"})
    folder.create({"data": "right.zip"})
    folder.save({"step": 1})
    with pytest.raises(RunError, match="already holds a run"):
        folder.create({})


@pytest.mark.parametrize("damage", [b"", b"a picture", None])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path)
    for step in (1, 2):
        folder.save({"step": step, "weights": torch.randn(1000)})
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:2000] if damage is None else damage)
    state = folder.load()
    assert state is not None
    assert state["step"] == 1
    assert "checkpoint.pt is damaged" in capsys.readouterr().err
    (tmp_path / "checkpoint-1.pt").write_bytes(b"")
    with pytest.raises(RunError, match="no checkpoint"):
        folder.load()

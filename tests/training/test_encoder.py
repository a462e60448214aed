"""The encoder's trainer: what its step learns, resumed and killed runs, two processes, its file, its words."""

from __future__ import annotations

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

from explorer import cli
from explorer.inversion import gather
from explorer.networks import Discriminator, DiscriminatorConfig, Encoder, EncoderConfig
from explorer.recipes import encoder
from explorer.training.run import Folder, RunError
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.parts import load_discriminator, load_encoder, part_of, save_part
from tests.generators import make_generator, stylegan2
from tests.training.tiny import differences, write_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}
BATCH = 8
SETTINGS: dict[str, Any] = {
    "channels": (8, 8, 8),
    "batch": BATCH,
    "precision": "fp32",
    "r1_every": 3,
    "anneal_kimg": 0.0,
    "generated": 0.5,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that these tests start: bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pictures, and a tiny generator to encode them for."""
    folder = tmp_path_factory.mktemp("encoder")
    generator = Checkpoint(make_generator()).save(folder / "tiny.safetensors")
    return {"data": str(write_pictures(folder / "pictures.zip")), "generator": str(generator)}


def config(files: dict[str, str], steps: int, **changes: Any) -> encoder.Config:
    return encoder.Config(**files, kimg=steps * BATCH / 1000, **(SETTINGS | changes))


def flags(files: dict[str, str], steps: int, **changes: Any) -> list[str]:
    out = ["--cpu", "--kimg", str(steps * BATCH / 1000)]
    for name, value in (files | SETTINGS | changes).items():
        out += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return out


def train(run: Path, settings: encoder.Config) -> dict[str, Any]:
    encoder.train(Folder(run), settings, Accelerator(cpu=True))
    state = Folder(run).load()
    assert state is not None
    return state


@pytest.fixture(scope="module")
def eight_steps(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train(tmp_path_factory.mktemp("whole"), config(files, 8))


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    files: dict[str, str], eight_steps: dict[str, Any], tmp_path: Path
) -> None:
    assert train(tmp_path, config(files, 5))["step"] == 5
    assert differences(eight_steps, train(tmp_path, config(files, 8))) == []


def test_a_killed_run_goes_on_bit_for_bit(files: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "explorer", "train", "encoder", str(run)]
    command += flags(files, 100_000, checkpoint_minutes=0)
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while not (run / "checkpoint-1.pt").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no second checkpoint: {process.communicate()[1]}")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    state = Folder(run).load()
    assert state is not None
    steps = state["step"] + 3
    resumed = train(run, config(files, steps))
    assert differences(train(tmp_path / "whole", config(files, steps)), resumed) == []


def test_two_processes_equal_one_with_the_same_whole_batch(
    files: dict[str, str], eight_steps: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "explorer", "train", "encoder", str(tmp_path / "two"), *flags(files, 8)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    state = Folder(tmp_path / "two").load()
    assert state is not None
    for name, value in eight_steps["encoder"].items():
        torch.testing.assert_close(state["encoder"][name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_the_encoder_learns_codes_and_pictures_and_leaves_the_generator(files: dict[str, str], tmp_path: Path) -> None:
    trainer = encoder.Trainer(config(files, 100, mirror=False, lambda_adv=0.0, lr=0.01), Accelerator(cpu=True))
    before = {name: value.clone() for name, value in trainer.G.state_dict().items()}
    with torch.no_grad():
        z = torch.randn(BATCH, trainer.G.codes.z_dim, generator=torch.Generator().manual_seed(0))
        images = trainer.G.synthesize(trainer.G.draw(z))
    real = (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    figures = [trainer.train_step(real) for _ in range(30)]
    for name in ("pixel", "perceptual", "code"):
        first, last = (sum(float(f[name]) for f in part) for part in (figures[:5], figures[-5:]))
        assert last < 0.8 * first, name
    assert differences(before, trainer.G.state_dict()) == []


def test_half_of_a_batch_is_decoded_without_offsets(files: dict[str, str]) -> None:
    """Were all of it decoded in W+, the code of W alone would never be asked to give the picture."""
    trainer = encoder.Trainer(config(files, 1, lambda_adv=0.0, lambda_code=0.0), Accelerator(cpu=True))
    with torch.no_grad():  # rows differ where offsets are used
        trainer.E.to_offsets.bias[: trainer.G.w_dim] = 5.0
    seen: list[torch.Tensor] = []
    synthesis = stylegan2(trainer.G).synthesis.forward

    def recording(ws: torch.Tensor, *arguments: Any, **settings: Any) -> torch.Tensor:
        seen.append(ws.detach())
        return synthesis(ws, *arguments, **settings)

    trainer.G.synthesis.forward = recording  # type: ignore[method-assign]
    trainer.train_step(torch.randint(0, 255, (BATCH, 3, 16, 16), dtype=torch.uint8))
    spread = seen[-1].std(dim=1).amax(dim=1)
    assert (spread[: BATCH // 2] == 0).all()
    assert (spread[BATCH // 2 :] > 1).all()


def test_a_run_starts_from_what_another_encoder_sees(files: dict[str, str], tmp_path: Path) -> None:
    other = Encoder(EncoderConfig(16, SETTINGS["channels"], 24, 6))
    path = save_part(other, tmp_path / "other.safetensors", {}, half=False)
    begun = encoder.Trainer(config(files, 1, start_from=str(path)), Accelerator(cpu=True))
    for found in (begun.E, begun.ema):
        changed = differences(other.state_dict(), found.state_dict())
        assert sorted(changed) == [".scale", ".to_w.weight", ".w_avg"]  # fresh biases and offsets are zeros in both
        assert torch.equal(found.w_avg, begun.G.mean)

    kept = encoder.Trainer(config(files, 1, start_from=str(path), keep_heads=True), Accelerator(cpu=True))
    assert sorted(differences(other.state_dict(), kept.E.state_dict())) == [".scale", ".w_avg"]

    small = save_part(Encoder(EncoderConfig(8, (8, 4), 24, 4)), tmp_path / "small.safetensors", {})
    with pytest.raises(RunError, match="another shape"):
        encoder.Trainer(config(files, 1, start_from=str(small)), Accelerator(cpu=True))


def test_a_run_starts_from_an_encoder_for_pictures_half_as_large(files: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(1)
    small = Encoder(EncoderConfig(8, (8, 6), 24, 4))
    torch.nn.init.normal_(small.to_offsets.weight)
    path = save_part(small, tmp_path / "small.safetensors", {}, half=False)
    settings = {"start_from": str(path), "channels": (8, 6, 6)}
    grown = encoder.Trainer(config(files, 1, keep_heads=True, **settings), Accelerator(cpu=True)).E
    plain = torch.rand(2, 6, 1, 1).expand(2, 6, 16, 16)
    with torch.no_grad():
        halved = grown.blocks[0](plain)[..., 1:-1, 1:-1]  # beyond a border there is black
    torch.testing.assert_close(halved, plain[..., :6, :6])
    assert torch.equal(grown.get_parameter("blocks.1.conv0.weight"), small.get_parameter("blocks.0.conv0.weight"))
    assert torch.equal(grown.to_offsets.weight[: 4 * 24], small.to_offsets.weight)
    assert not grown.to_offsets.weight[4 * 24 :].any()
    with pytest.raises(RunError, match="another shape"):
        encoder.Trainer(config(files, 1, **settings | {"channels": (8, 6, 4)}), Accelerator(cpu=True))


def test_an_encoder_is_used_with_its_own_generator_only(files: dict[str, str], tmp_path: Path) -> None:
    own = encoder.Trainer(config(files, 1, channels=()), Accelerator(cpu=True)).ema
    assert own.config.channels == (128, 64, 32)
    checkpoint = Checkpoint(load(files["generator"]).generator)
    path = checkpoint.save(tmp_path / "cats.safetensors")
    save_part(own, tmp_path / "cats-encoder.safetensors", {})
    assert gather(load(path)).encoder is not None
    checkpoint.generator.mean.add_(own.scale)
    checkpoint.save(path)
    with pytest.raises(CheckpointError, match="made for another generator"):
        gather(load(path))


def test_a_generator_with_classes_has_no_encoder(files: dict[str, str], tmp_path: Path) -> None:
    path = Checkpoint(make_generator(c_dim=2)).save(tmp_path / "classes.safetensors")
    with pytest.raises(RunError, match="2 classes"):
        encoder.Trainer(config(files | {"generator": str(path)}, 1), Accelerator(cpu=True))


def test_a_file_gives_the_encoder_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Encoder(EncoderConfig(16, (8, 8, 8), w_dim=24, num_ws=6))
    torch.nn.init.normal_(made.to_offsets.weight)
    path = save_part(made, tmp_path / "tiny-encoder.safetensors", {"data": "none"}, half=False)
    read, meta = load_encoder(path)
    assert meta == {"data": "none"}
    x = torch.randn(2, 3, 16, 16)
    w, offsets = read(x)
    assert w.shape == (2, 24)
    assert offsets.shape == (2, 6, 24)
    torch.testing.assert_close((w, offsets), made(x))
    assert all(not parameter.requires_grad for parameter in read.parameters())
    with pytest.raises(CheckpointError, match="no discriminator file"):
        load_discriminator(path)
    with pytest.raises(ValueError, match=r"\[N, 3, 16, 16\]"):
        read(torch.zeros(1, 3, 8, 8))


def test_parts_lie_beside_their_checkpoint(tmp_path: Path) -> None:
    checkpoint = load(Checkpoint(make_generator()).save(tmp_path / "tiny.safetensors"))
    assert part_of(checkpoint, "discriminator") is None
    path = save_part(Discriminator(DiscriminatorConfig(16, (8, 8, 4))), tmp_path / "tiny-discriminator.safetensors", {})
    assert part_of(checkpoint, "discriminator") == path
    critic = encoder.critic_of(checkpoint)
    assert critic is not None
    assert critic.config.channels == (8, 8, 4)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    made = Encoder(EncoderConfig(16, (8, 8, 8), w_dim=24, num_ws=6))
    path = save_part(made, tmp_path / "a-encoder.safetensors", {})
    data = path.read_bytes()
    cases = {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "text": b"no encoder at all",
        "another shape": data.replace(b'\\"w_dim\\": 24', b'\\"w_dim\\": 25'),
        "another kind": data.replace(b"domain-explorer-encoder", b"domain-explorer-decoder"),
        "odd widths": data.replace(b'\\"img_resolution\\": 16', b'\\"img_resolution\\": 99'),
    }
    for name, content in cases.items():
        assert content != data, name
        bad = tmp_path / "bad.safetensors"
        bad.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
            load_encoder(bad)


def test_commands_that_cannot_work_say_why(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    data = files["data"]
    for arguments, words in (
        ([run, "--cpu"], "--data"),
        ([run, "--cpu", "--data", data, "--generator", str(tmp_path / "none.pkl")], "none.pkl"),
        ([run, "--cpu", "--data", data, "--precision", "fp8"], "--precision"),
    ):
        assert cli.main(["train", "encoder", *arguments]) == 2
        assert words in capsys.readouterr().err

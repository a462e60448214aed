"""Runs of domain expansion as a whole: resumed, killed, stopped, diverged, in two processes, and what they report."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_expansion import NADA, SETTINGS, config, differences, fixtures, train

from explorer import Engine, cli
from explorer.expansion import expand, trainer
from explorer.expansion.config import read_config, to_toml
from explorer.latents import factorize
from explorer.training.run import Diverged, Folder, RunError
from explorer.weights import load
from explorer.weights.parts import load_mapper

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that these tests start: bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def whole(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of two domains."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(files["source"], two_domains(files), folder)
    return folder


def two_domains(files: dict[str, Path], **changes: Any) -> Any:
    return config(files["clip"], {"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon"}, **changes)


def state_of(folder: Path) -> dict[str, Any]:
    state = Folder(folder).load()
    assert state is not None
    return state


def interrupt_after(steps: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    step = trainer.Trainer.train_step

    def interrupted(self: trainer.Trainer) -> dict[str, torch.Tensor]:
        if self.step == steps - 1:
            signal.raise_signal(number)
        return step(self)

    monkeypatch.setattr(trainer.Trainer, "train_step", interrupted)


def test_the_exit_code_tells_that_a_signal_ended_it(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = two_domains(files)
    told = replace(told, domains=(replace(told.domains[0], about="Lines on paper"), *told.domains[1:]))
    (tmp_path / "domains.toml").write_text(to_toml(told))
    command = ["expand", str(files["source"]), "--config", str(tmp_path / "domains.toml"), "--out", str(tmp_path / "x")]
    with monkeypatch.context() as patch:
        interrupt_after(2, patch, signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            cli.main([*command, "--cpu"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert "--resume" in capsys.readouterr().out
    assert cli.main(["expand", "--resume", "--out", str(tmp_path / "x"), "--cpu"]) == 0
    assert Engine(load(tmp_path / "x" / "network.safetensors"), "cpu").direction("a").about == "Lines on paper"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_goes_on_bit_for_bit(
    files: dict[str, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Even where its source is gone, and with a basis that could not be computed again."""
    source = tmp_path / "source.safetensors"
    source.write_bytes(files["source"].read_bytes())
    with monkeypatch.context() as patch:
        interrupt_after(3, patch, number)
        assert train(source, two_domains(files), tmp_path / "run")["step"] == 3
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["state"] == "stopped"
    source.unlink()
    monkeypatch.setattr("explorer.expansion.run.factorize", lambda _: torch.eye(24))
    resumed = train(None, None, tmp_path / "run", resume=True)  # type: ignore[arg-type]
    assert resumed["step"] == 6
    assert differences(state_of(whole), resumed) == []
    a, b = (load(folder / "network.safetensors") for folder in (whole, tmp_path / "run"))
    assert differences(a.generator.state_dict(), b.generator.state_dict()) == []
    assert a.expansion is not None
    assert b.expansion is not None
    assert torch.equal(a.expansion.basis, b.expansion.basis)
    assert (a.expansion.domains, a.expansion.dims) == (b.expansion.domains, b.expansion.dims)


def test_a_killed_run_goes_on_bit_for_bit(files: dict[str, Path], whole: Path, tmp_path: Path) -> None:
    (tmp_path / "domains.toml").write_text(to_toml(two_domains(files, checkpoint_minutes=0.0)))
    out = ["--out", str(tmp_path / "run"), "--cpu"]
    command = [sys.executable, "-m", "explorer", "expand", str(files["source"])]
    command += ["--config", str(tmp_path / "domains.toml"), "--steps", "100000", *out]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "checkpoint-1.pt").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no second checkpoint: {process.communicate()[1]}")
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    steps = state_of(tmp_path / "run")["step"] + 2
    # both with the rates of a run of 100000 steps: the resumed one is stopped where the other ends
    for folder, source in ((tmp_path / "run", None), (tmp_path / "other", files["source"])):
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(steps, patch)
            settings = None if source is None else two_domains(files, steps=100_000)
            train(source, settings, folder, resume=source is None)  # type: ignore[arg-type]
    assert differences(state_of(tmp_path / "other"), state_of(tmp_path / "run")) == []


def test_two_processes_equal_one_and_share_the_basis(files: dict[str, Path], whole: Path, tmp_path: Path) -> None:
    """The second process would compute a basis turned the other way round; it must use the first one's."""
    (tmp_path / "domains.toml").write_text(to_toml(two_domains(files)))
    program = f"""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from explorer.expansion import run
        compute = run.factorize
        run.factorize = lambda g: compute(g) * (-1 if os.environ["RANK"] == "1" else 1)
        run.expand({str(files["source"])!r}, {str(tmp_path / "domains.toml")!r}, {str(tmp_path / "two")!r}, cpu=True)
    """
    (tmp_path / "two.py").write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "two.py")], env=ENVIRONMENT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    one, two = state_of(whole), state_of(tmp_path / "two")
    assert two["step"] == 6
    assert torch.equal(two["basis"], factorize(load(files["source"]).generator))
    for network in ("generator", "ema", "discriminator"):
        for name, value in one[network].items():
            torch.testing.assert_close(two[network][name], value, rtol=1e-3, atol=1e-3, msg=name)


def test_a_run_reports_what_a_page_shows(whole: Path, files: dict[str, Path]) -> None:
    progress = json.loads((whole / "progress.json").read_text())
    assert progress["state"] == "done"
    assert (progress["step"], progress["steps"]) == (6, 6)
    assert progress["images_per_second"] > 0
    assert {"a", "b", "replay", "source"} <= progress["losses"].keys()
    lines = [json.loads(line) for line in (whole / "losses.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 6
    assert {"a", "b", "replay", "source"} <= set().union(*(line["losses"] for line in lines))
    assert sorted(path.name for path in (whole / "samples").iterdir()) == ["a.png", "b.png"]
    assert read_config(whole / "config.toml").domains[0].dim == 23, "the resolved configuration names the directions"
    expanded = load(whole / "network.safetensors")
    assert expanded.expansion is not None
    assert expanded.expansion.domains == ("a", "b")
    assert (whole / "network-discriminator.safetensors").is_file()
    assert [path.name for path in whole.iterdir() if path.name.startswith(".")] == [".lock"]


def test_the_network_is_there_before_the_first_step(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def look(self: trainer.Trainer) -> dict[str, torch.Tensor]:
        seen.append(load(tmp_path / "run" / "network.safetensors").expansion)
        seen.append(json.loads((tmp_path / "run" / "progress.json").read_text())["state"])
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "train_step", look)
    with pytest.raises(KeyboardInterrupt):
        expand(files["source"], two_domains(files), tmp_path / "run", cpu=True)
    assert seen[0].domains == ("a", "b")
    assert seen[1] == "training"
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["state"] == "stopped"


def test_nan_stops_with_a_word_and_keeps_the_last_good_checkpoint(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = trainer.Trainer.train_step

    def poisoned(self: trainer.Trainer) -> dict[str, torch.Tensor]:
        return {name: v * torch.nan if self.step == 3 else v for name, v in step(self).items()}

    monkeypatch.setattr(trainer.Trainer, "train_step", poisoned)
    with pytest.raises(Diverged, match="no longer finite after 3 steps"):
        train(files["source"], two_domains(files, checkpoint_minutes=0.0), tmp_path / "run")
    assert state_of(tmp_path / "run")["step"] == 2
    told = json.loads((tmp_path / "run" / "progress.json").read_text())
    assert told["state"] == "failed"
    assert "no longer finite" in told["message"]


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on_from_it(
    files: dict[str, Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file may grow beyond a few kilobytes from step 3 on: the system refuses to write, as on a full disk."""
    step, room = trainer.Trainer.train_step, resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(self: trainer.Trainer) -> dict[str, torch.Tensor]:
        if self.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, room[1]))
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", filling)
        try:
            with pytest.raises(RunError, match="cannot be written, the one before stays: is the disk full"):
                train(files["source"], two_domains(files, checkpoint_minutes=0.0), tmp_path / "run")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert state_of(tmp_path / "run")["step"] == 3
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == [".lock"]
    resumed = train(None, None, tmp_path / "run", resume=True)  # type: ignore[arg-type]
    assert differences(state_of(whole), resumed) == []


def test_a_domain_adapted_alone_is_held_against_the_expanded_one(
    files: dict[str, Path], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "domains.toml").write_text(to_toml(two_domains(files)))
    command = ["expand", str(files["plain"]), "--config", str(tmp_path / "domains.toml"), "--cpu"]
    assert cli.main([*command, "--alone", "c", "--out", str(tmp_path / "c")]) == 2
    assert "has no domain 'c' to adapt to; it has: a, b" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert cli.main([*command, "--alone", "b", "--out", str(tmp_path / "b")]) == 0
    assert "adapted" in capsys.readouterr().out
    adapted = tmp_path / "b" / "network.safetensors"
    assert load(adapted).expansion is None
    assert state_of(tmp_path / "b")["step"] == state_of(whole)["step"], "as many steps as the expanded one"
    flags = ["--source", str(files["source"]), "--clip", str(files["clip"]), "--count", "6"]
    measure = ["measure", "expansion", str(whole / "network.safetensors"), *flags]
    assert cli.main([*measure, "--adapted", f"b={adapted}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["adaptation"]
    assert told.keys() == {"b"}
    assert told["b"]["expanded"].keys() == told["b"]["adapted"].keys()
    assert {"arrival", "diversity", "preserved"} <= told["b"]["adapted"].keys()
    assert told["b"]["adapted"]["preserved"] != told["b"]["expanded"]["preserved"]
    assert cli.main([*measure, "--adapted", f"b={adapted}"]) == 0
    assert "## Against adaptation: b" in capsys.readouterr().out


def test_mappers_are_mined_once_at_the_end(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: torch.Tensor, moved: torch.Tensor, *__: Any) -> torch.Tensor:
        signal.raise_signal(signal.SIGINT)
        return moved.sum()

    domains = [{"name": "a", **NADA, "mine_steps": 3}, {"name": "b", **NADA, "target": "neon"}]
    settings = config(files["clip"], *domains, steps=2)
    with monkeypatch.context() as patch:
        patch.setattr("explorer.expansion.mining.mining_loss", interrupted)
        train(files["source"], settings, tmp_path)
    assert json.loads((tmp_path / "progress.json").read_text())["state"] == "stopped"
    assert not (tmp_path / "mappers").exists()
    train(None, None, tmp_path, resume=True)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "progress.json").read_text())["state"] == "done"
    assert [path.name for path in (tmp_path / "mappers").iterdir()] == ["a.safetensors"]
    assert (tmp_path / "samples" / "a, mined.png").is_file()
    mapper, meta = load_mapper(tmp_path / "mappers" / "a.safetensors")
    assert meta == {"domain": "a", "steps": 3}
    ws = torch.randn(2, 6, 24)
    assert 0 < (mapper(ws) - ws).abs().max() < 1
    monkeypatch.setattr("explorer.expansion.mining.mine", lambda *_: pytest.fail("mined once more"))
    train(None, None, tmp_path, resume=True, steps=3)  # type: ignore[arg-type]


def test_settings_survive_their_file(files: dict[str, Path], tmp_path: Path) -> None:
    settings = two_domains(files, data=str(files["pictures"]))
    (tmp_path / "config.toml").write_text(to_toml(settings))
    assert read_config(tmp_path / "config.toml") == settings
    assert settings.steps == SETTINGS["steps"]


def test_a_new_run_takes_nothing_from_a_start_that_failed(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("incoming", "source-discriminator"):
        shutil.copyfile(files["source"], tmp_path / f"{name}.safetensors")
    train(files["plain"], config(files["clip"], {"name": "x", **NADA}, steps=1, lambda_src=0.0), tmp_path)
    assert not (tmp_path / "incoming.safetensors").exists()
    assert not (tmp_path / "source-discriminator.safetensors").exists()


def test_a_resumed_run_keeps_its_length_and_refuses_another_source(files: dict[str, Path], tmp_path: Path) -> None:
    settings = config(files["clip"], {"name": "x", **NADA}, steps=1, lambda_src=0.0)
    train(files["plain"], settings, tmp_path)
    train(None, None, tmp_path, resume=True, steps=2)  # type: ignore[arg-type]
    assert train(None, None, tmp_path, resume=True)["step"] == 2  # type: ignore[arg-type]
    assert read_config(tmp_path / "config.toml").steps == 2
    with pytest.raises(RunError, match="--resume alone"):
        train(files["plain"], settings, tmp_path, resume=True)

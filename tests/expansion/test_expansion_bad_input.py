"""What cannot be expanded says why in one line, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_expansion import NADA, config, fixtures, train

from explorer import cli
from explorer.expansion import trainer
from explorer.expansion.config import read_config
from explorer.training.run import Folder, RunError

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def expanded(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expanded") / "run"
    train(files["source"], config(files["clip"], steps=1), folder)
    return folder / "network.safetensors"


SKETCH = '[[domain]]\nname = "new"\ntype = "nada"\ntarget = "sketch"\n'
CASES = {
    "no toml": ("steps =", "is no TOML"),
    "backslashes": ('data = "C:\\Users"\n' + SKETCH, "a backslash is written twice"),
    "no domain": ("steps = 3", "names no domain"),
    "unknown key": ("stepz = 3\n" + SKETCH, "unknown setting 'stepz'"),
    "ill typed": ('steps = "3"\n' + SKETCH, "steps must be a whole number"),
    "negative": ("lr = -1.0\n" + SKETCH, "lr must be a number of at least 0"),
    "single brackets": ('[domain]\nname = "x"', "two brackets"),
    "nameless": ('[[domain]]\ntype = "nada"', "domain 1 has no name"),
    "a path for a name": (SKETCH.replace("new", "../new"), "a name is letters"),
    "unknown task": (SKETCH.replace("nada", "magic"), "type must be one of nada"),
    "a sentence of two lines": (SKETCH + 'about = "a\\nb"', "about must be one sentence of at most 200 characters"),
    "unknown argument": (SKETCH + "colour = 1", "unknown setting 'colour'"),
    "missing argument": ('[[domain]]\nname = "x"\ntype = "mystyle"', "folder is missing"),
    "twice": (SKETCH * 2, "two domains are called 'new'"),
    "empty prompt": (SKETCH.replace('"sketch"', '" "'), "the prompt is empty"),
    "same prompts": (SKETCH + 'source = "sketch"', "source and target are the same"),
    "direction out of range": (SKETCH + "dim = 24", "directions are 0 to 23"),
    "occupied direction": (SKETCH + "dim = 3\n" + SKETCH.replace("new", "two") + "dim = 3", "occupied by 'new'"),
    "too many": ("".join(SKETCH.replace("new", f"d{i}") for i in range(24)), "24 domains are too many"),
    "missing folder": ('[[domain]]\nname = "x"\ntype = "mystyle"\nfolder = "nowhere"', "nowhere"),
    "missing folder of a kind": ('[[domain]]\nname = "x"\ntype = "image_folder"\nfolder = "nowhere"', "nowhere"),
    "unreadable image": ('[[domain]]\nname = "x"\ntype = "one_shot_clip"\nimage = "domains.toml"', "picture"),
    "missing data": ('data = "nowhere"\n' + SKETCH, "nowhere is neither a folder nor a zip"),
    "clips and weights": ("clip_weights = [1.0, 2.0]\n" + SKETCH, "clip_weights"),
    "no number for a weight": ("clip_weights = nan\n" + SKETCH, "clip_weights"),
    "no number for an argument": (SKETCH + "lambda_content = inf", "lambda_content must be a number"),
    "a figure's name": (SKETCH.replace("new", "replay"), "the run has a figure of that name"),
    "unknown clip": ('clip = ["nothing"]\n' + SKETCH, "nothing"),
    "batch": ("batch = 6\n" + SKETCH, "batch of 6"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_configuration_that_cannot_work_says_why(
    case: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(trainer.Trainer, "train_step", lambda _: pytest.fail("training started"))
    text, words = CASES[case]
    (tmp_path / "domains.toml").write_text(text if "clip =" in text else f'clip = ["{files["clip"]}"]\n{text}')
    arguments = ["expand", str(files["source"]), "--config", str(tmp_path / "domains.toml")]
    assert cli.main([*arguments, "--out", str(tmp_path / "run"), "--cpu"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]


def test_a_source_without_discriminator_says_what_to_do(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--discriminator FILE, or set lambda_src = 0"):
        train(files["plain"], config(files["clip"]), tmp_path / "a")
    settings = config(files["clip"], steps=1, discriminator=str(files["source"]))
    assert train(files["plain"], settings, tmp_path / "b")["discriminator"], "another checkpoint may bring it"
    assert not train(files["plain"], config(files["clip"], steps=1, lambda_src=0.0), tmp_path / "c")["discriminator"]


def test_an_expanded_source_refuses_what_does_not_fit(files: dict[str, Path], expanded: Path, tmp_path: Path) -> None:
    clip = files["clip"]
    cases = [
        (config(clip, distance=0.0), "already has a domain 'sketch'"),
        (config(clip, {"name": "new", **NADA, "dim": 23}, distance=0.0), "direction 23 is occupied by 'sketch'"),
        (config(clip, {"name": "new", **NADA}, distance=5.0), "leave distance out"),
        (config(clip, {"name": "new", **NADA}, distance=0.0, remove=["x"]), "'x' is no domain of the source"),
        (config(clip, {"name": "new", **NADA}, distance=0.0, replace=["sketch"]), "needs a \\[\\[domain\\]\\]"),
    ]
    for settings, words in cases:
        with pytest.raises(ValueError, match=words):
            train(expanded, settings, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_folder_with_a_run_is_not_written_over(files: dict[str, Path], expanded: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="already holds a run"):
        train(files["source"], config(files["clip"]), expanded.parent)
    with pytest.raises(ValueError, match="holds no run to resume"):
        train(None, None, tmp_path, resume=True)  # type: ignore[arg-type]


def test_one_process_at_a_time_teaches_in_a_folder(files: dict[str, Path], expanded: Path) -> None:
    with Folder(expanded.parent).held(), pytest.raises(RunError, match="another process is training"):
        train(None, None, expanded.parent, resume=True)  # type: ignore[arg-type]


def test_the_mark_of_windows_editors_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "domains.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SKETCH.encode())
    assert read_config(path).domains[0].name == "new"

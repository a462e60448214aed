"""Without the extras: sliders and photos work, what needs more says how to get it."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from installation import ROOT

from explorer import extras
from explorer.engine import Engine
from explorer.shipped import DEFAULT
from explorer.ui.answers import answered
from explorer.ui.jobs import Jobs
from explorer.ui.tabs.teach import Classroom
from explorer.weights import load

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What pip would not have installed cannot be imported.
SLIM = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sum(extras.MODULES.values(), ())}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
MAIN = "from explorer.__main__ import main; sys.exit(main(sys.argv[1:]))"


def slim(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SLIM + code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_page_and_photos_need_no_extra() -> None:
    run = slim("import explorer.app, explorer.ui, explorer.engine.inverting, explorer.cli_invert")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", ["train gan runs/x", "measure expansion x.pkl"])
def test_a_command_says_which_extra_it_needs(command: str) -> None:
    run = slim(MAIN, *command.split())
    assert run.returncode == 2
    assert run.stderr == f"error: {extras.MissingExtra('train')}\n"
    assert 'pip install "domain-explorer[train]"' in run.stderr


def test_another_missing_module_is_no_extra() -> None:
    run = slim("sys.modules['numpy'] = None\n" + MAIN, "render", "--out", "x.png")
    assert "Traceback" in run.stderr


def test_teach_says_which_extra_it_needs(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`find_spec` is replaced: the packages are installed where the tests run."""
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == "accelerate" else object())
    classroom = Classroom(Engine(load(DEFAULT), "cpu", "fp32"), "cats", Jobs(tmp_path))
    answer = answered(classroom.teach, {"kind": "words", "name": "x", "steps": 1, "source": "a", "target": "b"})
    assert answer["error"].rstrip(".").lower() == str(extras.MissingExtra("train")).lower()
    assert Jobs(tmp_path).all() == []


def lines(name: str) -> set[str]:
    """The requirements of a file, without what it includes."""
    text = (ROOT / name).read_text().splitlines()
    return {line for line in text if line and not line.startswith(("#", "-r"))}


def test_requirements_are_those_of_the_package() -> None:
    parts = PROJECT["optional-dependencies"]
    assert lines("requirements.txt") == {*PROJECT["dependencies"], *parts["train"]}
    assert lines("requirements-serve.txt") == set(parts["serve"])
    assert lines("requirements-dev.txt") == set(parts["dev"])
    assert lines("requirements-bench.txt") == set(parts["bench"])
    for name in ("requirements-serve.txt", "requirements-dev.txt", "requirements-bench.txt"):
        assert "-r requirements.txt" in (ROOT / name).read_text().splitlines()


def test_every_module_that_an_extra_names_is_brought_by_it() -> None:
    distributions = {"sklearn": "scikit-learn", "ray": "ray[serve]"}
    for extra, modules in extras.MODULES.items():
        brought = {line.partition(">=")[0] for line in PROJECT["optional-dependencies"][extra]}
        assert {distributions.get(module, module) for module in modules} == brought

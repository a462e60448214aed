"""The house rules that a machine can hold: arrows between packages, tree, links, front matter, the name `kernels`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

import kernels
from explorer import kernels as program_kernels

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# What each package may import of ours; the arrows go one way.
ALLOWED: dict[str, set[str]] = {
    "kernels": set(),
    "explorer.refused": set(),
    "explorer.shipped": set(),
    "explorer.extras": set(),
    "explorer.edit": set(),
    "explorer.photos": set(),
    "explorer.styles": set(),
    "explorer.networks": {"kernels"},
    "explorer.latents": {"kernels", "explorer.networks", "explorer.edit"},
    "explorer.weights": {"kernels", "explorer.networks", "explorer.latents", "explorer.edit"},
}
FLOOR = {"explorer.refused", "explorer.shipped", "explorer.extras"}  # whoever wants may import these
ALLOWED["explorer.metrics"] = ALLOWED["explorer.weights"] | {"explorer.weights"}
ALLOWED["explorer.training"] = ALLOWED["explorer.metrics"] | {"explorer.metrics", "explorer.photos"}
ALLOWED["explorer.inversion"] = ALLOWED["explorer.metrics"] | {"explorer.metrics", "explorer.photos"}
ALLOWED["explorer.expansion"] = ALLOWED["explorer.training"] | {"explorer.training", "explorer.inversion"}
# The phrases of a style belong into a CLIP's own file; until one is trained that has them, `nada` reads the recipe's.
ALLOWED["explorer.expansion"] |= {"explorer.recipes", "explorer.styles"}
ALLOWED["explorer.recipes"] = ALLOWED["explorer.training"] | {"explorer.training", "explorer.styles"}
ALLOWED["explorer.engine"] = ALLOWED["explorer.inversion"] | {"explorer.inversion"}
ALLOWED["explorer.keep"] = ALLOWED["explorer.export"] = {"explorer.edit"}
ALLOWED["explorer.actions"] = {"explorer.engine", "explorer.edit", "explorer.weights", "explorer.inversion"} | {
    "explorer.keep",
    "explorer.export",
    "explorer.photos",
}
ALLOWED["explorer.ui"] = ALLOWED["explorer.actions"] | {"explorer.actions", "explorer.styles"}
for allowed in ALLOWED.values():
    allowed.add("explorer.refused")  # the base of every error that a user can cause


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == "explorer" else parts[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", sources("kernels", "explorer"), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_packages_go_one_way(path: Path) -> None:
    package = package_of(path)
    allowed = ALLOWED.get(package)
    if allowed is None:  # explorer/__init__.py, __main__.py, app.py and cli.py sit on top of everything
        return
    ours = {name for name in imports(path) if name.split(".")[0] == "explorer"}
    for name in ours - {"explorer"}:
        target = ".".join(name.split(".")[:2])
        target = "kernels" if target == "explorer.kernels" else target
        if target in FLOOR:
            continue
        if (ROOT / target.replace(".", "/")).exists() or target in ALLOWED:
            assert target == package or target in allowed, f"{package} must not import {target}"


def test_the_kernels_have_one_name_inside_the_program() -> None:
    """In a wheel there is no package `kernels` of ours; and a module reached by two names would exist twice."""
    for path in sources("kernels", "explorer"):
        names = imports(path) if path != ROOT / "explorer" / "kernels.py" else set()
        assert "kernels" not in {name.split(".")[0] for name in names}, path
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("explorer.kernels.")), path


def test_kernels_are_those_of_the_checkout() -> None:
    """Hugging Face publishes a package `kernels` too."""
    assert Path(kernels.__file__ or "").parent == ROOT / "kernels"
    assert program_kernels is kernels


def test_gradio_is_imported_by_the_interface_only() -> None:
    users = {
        package_of(path)
        for path in sources("kernels", "explorer")
        if {"gradio"} & {n.split(".")[0] for n in imports(path)}
    }
    assert users <= {"explorer.ui"}


def test_actions_know_neither_the_command_line_nor_the_page() -> None:
    assert not {"argparse", "gradio"} & {name.split(".")[0] for name in imports(ROOT / "explorer" / "actions.py")}


def test_help_comes_without_torch() -> None:
    code = "import sys, explorer.cli; explorer.cli.parser(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_interface_does_not_import_torch() -> None:
    for path in sources("explorer/ui"):
        assert "torch" not in {name.split(".")[0] for name in imports(path)}, path


def test_the_tree_in_contributing_is_the_tree() -> None:
    """Every path in it exists, and every folder of the program is in it."""
    tree = re.search(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert tree, "CONTRIBUTING.md needs a ```text block with the tree"
    listed, parents = set(), []
    for line in tree.group(1).splitlines():
        entry = re.match(r"( *)(\S+)  +\S", line)
        assert entry, f"a line of the tree is 'path  purpose': {line!r}"
        depth, name = len(entry.group(1)) // 2, entry.group(2)
        parents = [*parents[:depth], name.rstrip("/")]
        path = "/".join(parents)
        assert (ROOT / path).exists(), f"{path} is in the tree but not in the project"
        listed.add(path)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {path.split("/")[0] for path in tracked}
    packages = {
        str(Path(path).parent)
        for path in tracked
        if path.startswith(("explorer/", "kernels/")) and path.endswith(".py")
    }
    missing = {path for path in (top | packages) if path not in listed and not path.startswith(".")}
    assert not missing, f"not in the tree: {sorted(missing)}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "checkpoints/README.md"])
def test_links_between_texts_lead_somewhere(name: str) -> None:
    """Those within `docs/` are checked by `make docs`."""
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{name} links to {target}, which is not there"


def test_the_readme_is_short_and_its_film_small() -> None:
    assert len(README.split("---\n", 2)[2].splitlines()) <= 80
    film = ROOT / "docs" / "drag.webp"
    assert film.stat().st_size < 3 * 2**20
    with Image.open(film) as frames:
        assert getattr(frames, "n_frames", 1) > 20


def test_readme_starts_with_a_valid_hugging_face_space() -> None:
    """The fields and values that huggingface.co/docs/hub/spaces-config-reference allows, and the versions we pin."""
    front = yaml.safe_load(README.split("---\n")[1])
    assert front.keys() >= {"title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file"}
    assert {front["colorFrom"], front["colorTo"]} <= {
        "red",
        "yellow",
        "green",
        "blue",
        "indigo",
        "purple",
        "pink",
        "gray",
    }
    assert front["sdk"] == "gradio"
    assert len(front["short_description"]) <= 60
    assert (ROOT / front["app_file"]).is_file()
    assert isinstance(front["python_version"], str)
    wanted = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("gradio"))
    assert Requirement(wanted).specifier.contains(front["sdk_version"])


def test_every_dependency_is_pinned_to_a_range() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-serve.txt", "requirements-bench.txt"):
        for line in (ROOT / name).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                operators = {clause.operator for clause in Requirement(line).specifier}
                assert operators & {"<", "<="}, line
                assert operators & {">=", ">"}, line

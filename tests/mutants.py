"""How many small breaks of the core the tests notice: a seeded sample of cosmic-ray's mutants for each module.

    python -m tests.mutants --sample 12 --seed 0 explorer/latents    # make mutants

cosmic-ray makes the mutants (its own runner starts a Python for each, which takes longer here than most tests); what is
mutated, and which tests are the nearest, stands in pyproject.toml. Everything runs on a copy of the tree, so a break
never reaches the files that somebody works on. At most one mutant a place is drawn. Left out is what changes nothing
that runs: annotations, and what cannot be compiled.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cosmic-ray"]
HEAVY = ("torch", "torchvision", "numpy", "PIL.Image", "hypothesis", "open_clip", "accelerate", "sklearn.svm")
REWRITTEN = "ignore:Module already imported"  # pytest's, of what is in HEAVY


class Plain(ast.NodeTransformer):
    """Code without its annotations, which are never evaluated here."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def meaning(code: str) -> str:
    """What of a module's text is run. Raises SyntaxError where it cannot be."""
    with warnings.catch_warnings(action="ignore"):  # of `is` with a literal
        compile(code, "mutant", "exec")
    return ast.dump(Plain().visit(ast.parse(code)))


def mutants(module: str, sample: int, seed: int) -> Iterator[tuple[MutationSpec, str]]:
    """Of places drawn at random one mutant each, and the module's text with it."""
    paths = sorted((ROOT / module).rglob("*.py")) if (ROOT / module).is_dir() else [ROOT / module]
    with use_db(":memory:", WorkDB.Mode.create) as db:
        init(paths, db, {})
        specs = [item.mutations[0] for item in db.work_items]
    specs = [spec for spec in specs if not spec.operator_name.endswith(tuple(SETTINGS["excluded-operators"]))]
    specs.sort(key=lambda spec: (str(spec.module_path), spec.start_pos, spec.operator_name, spec.occurrence))
    random.Random(seed).shuffle(specs)
    places: set[tuple] = set()
    for spec in specs:
        place = spec.module_path, spec.start_pos
        if len(places) < sample and place not in places and (mutant := mutated(spec)) is not None:
            places.add(place)
            yield spec, mutant


def mutated(spec: MutationSpec) -> str | None:
    """A module's text with one mutation; None where nothing that runs is another."""
    code = spec.module_path.read_text()
    try:
        mutant = mutate_code(code, get_operator(spec.operator_name)(), spec.occurrence)
        return None if mutant is None or meaning(mutant) == meaning(code) else mutant
    except (SyntaxError, AttributeError):  # the second: cosmic-ray 8.7 trips over some tuples of exceptions
        return None


def passes(tree: Path, tests: Sequence[str]) -> bool:
    """Whether tests of the copy pass, in a child that has the heavy libraries already; a test that hangs does not."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(tree)
        sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        os.environ["PYTHONPATH"] = str(tree)
        output = os.open(tree / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", REWRITTEN, *tests])))
    deadline = time.monotonic() + SETTINGS["timeout"]
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def score(tree: Path, module: str, tests: Sequence[str], sample: int, seed: int) -> tuple[int, int]:
    """Mutants noticed, and drawn; prints each that was not."""
    if not passes(tree, tests):
        sys.exit(f"{(tree / 'output.txt').read_text()}\n{module}: {' '.join(tests)} do not pass as they are")
    noticed = drawn = 0
    for spec, mutant in mutants(module, sample, seed):
        place = spec.module_path.relative_to(ROOT)
        (tree / place).write_text(mutant)
        drawn += 1
        if passes(tree, tests):
            line = mutant.splitlines()[spec.start_pos[0] - 1].strip()
            print(f"  unseen: {place}:{spec.start_pos[0]} {spec.operator_name.split('/')[1]}: {line}", flush=True)
        else:
            noticed += 1
        shutil.copy2(ROOT / place, tree / place)  # its time too, so that its bytecode counts again
    return noticed, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description="Break the core in small ways and see which breaks the tests notice.")
    parser.add_argument("modules", nargs="*", default=list(SETTINGS["modules"]), help="of those in pyproject.toml")
    parser.add_argument("--sample", type=int, default=20, help="mutants a module")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    arguments = parser.parse_args()
    for name in HEAVY:
        importlib.import_module(name)
    noticed = drawn = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in files.splitlines():
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, Path(folder) / name)
        for module in arguments.modules:
            began = time.monotonic()
            part = score(Path(folder), module, SETTINGS["modules"][module], arguments.sample, arguments.seed)
            noticed, drawn = noticed + part[0], drawn + part[1]
            print(f"{module}: {part[0]} of {part[1]} noticed, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{noticed} of {drawn} noticed, {100 * noticed / max(drawn, 1):.0f} %")


if __name__ == "__main__":
    main()

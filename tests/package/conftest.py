"""The wheel, installed as a user has it, in a folder that is not the repository."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from installation import OFFLINE, ROOT, Installed


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Only the program itself is installed; torch and the rest are those of the tests' own environment."""
    place = Installed(tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("elsewhere"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place.environment)], check=True, timeout=300)
    packages = next(place.environment.glob("**/site-packages"))
    (packages / "offline.py").write_text(OFFLINE)
    (packages / "others.pth").write_text(f"{sysconfig.get_paths()['purelib']}\nimport offline\n")
    place.pip("install", "--no-deps", "--no-index", str(wheel))
    return place

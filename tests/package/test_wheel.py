"""The wheel elsewhere: its commands, its page, and Hugging Face's package `kernels` beside it."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from installation import ROOT, Installed
from PIL import Image

import explorer
from explorer import shipped

THEIRS = ROOT / ".venv" / "wheels"
WHOSE = "import kernels; print(kernels.__file__)"
READY_SECONDS = 120


def test_the_wheel_has_every_shipped_file_and_takes_no_name_but_its_own(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"explorer/checkpoints/{file}" for file in shipped.FILES} <= names
    assert {"explorer/kernels/csrc/cpu_synthesis.cpp", "explorer/ui/assets/invert/chelsea.jpg"} <= names
    top = {name.partition("/")[0] for name in names}
    assert top == {"explorer", f"domain_explorer-{explorer.__version__}.dist-info"}
    assert f"domain_explorer-{explorer.__version__}.dist-info/licenses/LICENSE" in names
    assert wheel.stat().st_size < 100 * 2**20, "PyPI takes no larger file"


def works(installed: Installed, picture: str) -> None:
    """The commands that touch the models, the kernels and the devices."""
    rendered = installed.run("domain-explorer", "render", "--seed", "3", "--device", "cpu", "--out", picture)
    assert rendered.returncode == 0, rendered.stderr
    with Image.open(installed.folder / picture) as image:
        assert image.size == (128, 128)
    report = installed.run("domain-explorer", "doctor")
    assert report.returncode == 0, report.stderr
    assert "WRONG" not in report.stdout


def test_it_lives_beside_hugging_faces_kernels_and_outlives_them(installed: Installed) -> None:
    if not list(THEIRS.glob("kernels-*.whl")):
        pytest.fail(f"`make test` puts the wheel of Hugging Face's kernels into {THEIRS}")
    installed.pip("install", "--no-deps", "--no-index", "--find-links", str(THEIRS), "kernels")
    assert "site-packages/kernels" in installed.run("python", "-c", f"import explorer.networks; {WHOSE}").stdout
    works(installed, "beside.png")
    installed.pip("uninstall", "-y", "kernels")
    assert "No module named 'kernels'" in installed.run("python", "-c", WHOSE).stderr
    works(installed, "after.png")
    beside, after = (
        np.asarray(Image.open(installed.folder / name)).astype(int) for name in ("beside.png", "after.png")
    )
    assert np.abs(beside - after).max() <= 6  # the first picture may come before the CPU's kernel is built


def test_help_and_version_come_at_once(installed: Installed) -> None:
    """Half a second on an idle machine; three times that is allowed here, where torch alone takes longer."""
    for flag, word in (("--help", "render"), ("--version", explorer.__version__)):
        start = time.monotonic()
        answer = installed.run("domain-explorer", flag)
        assert word in answer.stdout
        assert time.monotonic() - start < 1.5
    loaded = installed.run("python", "-X", "importtime", "-m", "explorer", "--help").stderr
    assert "explorer.cli" in loaded
    assert "torch" not in loaded


def test_alone_it_opens_the_page_with_the_default(installed: Installed) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen(
        [str(installed.bin / "domain-explorer"), "--port", str(port)],
        cwd=installed.folder,
        env=installed.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        page = answer_of(f"http://127.0.0.1:{port}/", app)
    finally:
        app.kill()
        app.communicate()
    assert "Domain Explorer: cats128" in page
    assert "pencil sketch" in page


def answer_of(address: str, app: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            if app.poll() is not None or time.monotonic() > deadline:
                app.kill()
                assert app.stderr
                raise AssertionError(f"the page did not open: {app.stderr.read()}") from None
            time.sleep(0.1)


def test_a_shipped_file_that_is_missing_is_said(installed: Installed) -> None:
    file = next(installed.environment.glob("**/explorer/checkpoints/cats64-clip.safetensors"))
    hidden = file.rename(file.with_suffix(".hidden"))
    try:
        answer = installed.run("domain-explorer", "measure", "effects", "--device", "cpu")
    finally:
        hidden.rename(file)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: cats64-clip.safetensors comes with the program and is not in ")
    assert answer.stderr.count("\n") == 1

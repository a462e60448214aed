"""`make docs`: the docstrings become a page for every public package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_has_a_page_for_every_package_that_make_docs_names(tmp_path: Path) -> None:
    command = re.search(r"\$\(BIN\)/pdoc -o docs/api (.+)", (ROOT / "Makefile").read_text())
    assert command, "the Makefile's target docs runs pdoc"
    packages = command.group(1).split()
    subprocess.run([sys.executable, "-m", "pdoc", "-o", str(tmp_path), *packages], cwd=ROOT, check=True, timeout=600)
    for package in packages:
        page = (tmp_path / package.replace(".", "/")).with_suffix(".html").read_text()
        assert f"<title>{package} API documentation</title>" in page
    assert "The picture of an edit, uint8" in (tmp_path / "explorer.html").read_text()

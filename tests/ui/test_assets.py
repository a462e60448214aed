"""Modules put together as one script: imports first, each once, no name twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.ui import assets


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "base.js").write_text("export const one = 1;\n")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "two.js").write_text('import { one } from "../base.js";\n\nexport const two = one + 1;\n')
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    assets.script.cache_clear()
    yield tmp_path
    assets.script.cache_clear()


def test_a_script_is_its_modules_in_the_order_of_their_imports(folder: Path) -> None:
    imports = ['import "./base.js";', 'import { two } from "./part/two.js";', 'import { one } from "./base.js";']
    (folder / "main.js").write_text("\n".join([*imports, "", "start(one, two);", ""]))
    lines = [line for line in assets.script("main.js").splitlines() if line]
    assert lines == ["const one = 1;", "const two = one + 1;", "start(one, two);"]


def test_one_name_for_two_things_is_refused(folder: Path) -> None:
    (folder / "main.js").write_text('import { two } from "./part/two.js";\n\nasync function one() {}\n')
    with pytest.raises(ValueError, match=r"define \['one'\]"):
        assets.script("main.js")


def test_every_import_of_the_page_is_one_that_is_put_together() -> None:
    """An import over several lines, or under another name, would stay in the script, where no browser takes it."""
    for path in Path(assets.__file__).parent.rglob("*.js"):
        rest = assets._IMPORT.sub("", path.read_text())
        assert not [line for line in rest.splitlines() if line.startswith(("import", "export {", "export default"))], (
            path
        )

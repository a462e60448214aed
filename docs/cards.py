"""A hook of MkDocs: the cards lie beside the models, in `checkpoints/`, and are pages of the site all the same."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[1] / "checkpoints"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the texts and pictures of FOLDER below `checkpoints/`; the models themselves stay where they are."""
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in (".md", ".jpg", ".png", ".toml"):
            files.append(File.generated(config, f"checkpoints/{path.name}", abs_src_path=str(path)))
    return files

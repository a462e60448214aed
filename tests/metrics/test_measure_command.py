"""`measure expansion` from files to tables and JSON, on tiny networks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explorer import DEFAULT, cli, load
from explorer.metrics import report
from explorer.metrics.frechet import Features
from explorer.metrics.perceptual import Perceptual
from explorer.networks.clip import ClipConfig, build_clip
from explorer.networks.judge import Judge, JudgeConfig
from explorer.recipes import figures
from explorer.recipes.captions import style_prompts
from explorer.training.data import Pictures
from explorer.weights.clip import save_clip
from explorer.weights.parts import save_part

DISTANCE = Perceptual("pixels", lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))
FIXTURE = Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An expanded generator, its source, an adapted one, a judge, a CLIP and pictures: all random."""
    path = tmp_path_factory.mktemp("measure")
    expanded = load(FIXTURE)
    assert expanded.expansion
    source = replace(expanded, expansion=None, critic=None)
    expanded.save(path / "expanded.safetensors")
    source.save(path / "source.safetensors")
    torch.manual_seed(0)
    classes = ("photo", "nothing", *expanded.expansion.domains)
    save_part(Judge(JudgeConfig(classes, 32, (8, 8))).eval(), path / "expanded-judge.safetensors", {})
    config = ClipConfig(32, (1, 1, 1, 1), 8, embed_dim=32, context_length=16, text_width=16, text_layers=1)
    save_clip(build_clip(config, "tiny"), path / "clip.safetensors", {})
    (path / "data").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path / "data" / f"{i}.png")
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances and features that need no files."""
    monkeypatch.setattr(figures, "load_perceptual", lambda: DISTANCE)
    means = Features("means", lambda images: images.mean(dim=(2, 3)))
    monkeypatch.setitem(figures.FEATURES, "imagenet", lambda: means)


def flags(folder: Path, *more: str) -> list[str]:
    named = [f"--{name}={folder / name}.safetensors" for name in ("source", "clip")]
    return ["measure", "expansion", str(folder / "expanded.safetensors"), *named, "--count", "6", *more]


def numbers(data: object) -> list[float]:
    children = data.values() if isinstance(data, dict) else ()
    return [data] if isinstance(data, float) else [number for child in children for number in numbers(child)]


def test_all_figures_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    domains = load(FIXTURE).expansion.domains  # type: ignore[union-attr]
    adapted = f"--adapted={domains[0]}={folder / 'source.safetensors'}"
    data = ["--data", str(folder / "data"), "--frechet-count", "40"]
    assert cli.main(flags(folder, "--json", adapted, *data)) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["arrival"]) == ["judge", "tiny"], "the judge, and beside it the CLIP of training"
    assert found["replay"] == {"psnr": 100, "worst psnr": 100}, "an untouched generator replays its source exactly"
    assert list(found["diversity"]) == list(domains)
    assert found["distance"] == "pixels"
    for scorer in ("judge", "tiny"):
        assert list(found["separation"][scorer]) == list(found["arrival"][scorer]) == list(domains)
        assert len(found["composition"][scorer]) == 3
    assert found["frechet"]["ratio"] > 0
    assert found["frechet"]["features"] == "means"
    assert found["adaptation"][domains[0]]["adapted"]["diversity"] == pytest.approx(1)
    assert found["adaptation"][domains[0]]["adapted"]["perceptual"] == pytest.approx(0)
    assert found["diversity of photos"] == {}, "no domain of this generator is called like a style"
    assert found["composition of photos"] == {}
    assert found["bars"]["at 1"] == 0.8
    assert all(math.isfinite(number) for number in numbers(found))


def test_tables_come_with_the_definitions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(flags(folder)) == 0
    text = capsys.readouterr().out
    for line in (
        "## Arrival",
        "For each domain the fraction of samples that it wins",
        "## Separation by judge",
        "## Composition",
        "Mean pairwise distance of a domain's pictures",
        "| domain | judge at 1 | judge at 0 | tiny at 1 | tiny at 0 | diversity |",
        "6 codes, perceptual distance: pixels",
    ):
        assert line in text
    assert "Frechet" not in text, "what was not measured is not printed"
    assert "No judge" not in text
    assert all(len(row.split("|")) == 8 for row in text.splitlines() if row.startswith("| bar"))


def test_the_diversity_of_photos_in_a_style_stands_beside_a_domains_own(folder: Path) -> None:
    pictures = Pictures(folder / "data", 32)
    names = {"grey": "black and white", "same": "photo", "zombie": "zombie"}
    found = figures.photos_diversity(pictures, names, 12, DISTANCE)
    assert list(found) == ["grey"], "only domains that are called like a style"
    assert 0 < found["grey"] < 0.9, "noise without its colours differs less"
    measured = {"count": 12, "distance": "pixels", "replay": {"psnr": 1.0, "worst psnr": 1.0}, "separation": {}}
    measured |= {"arrival": {"judge": {"grey": {"at 1": 1.0, "at 0": 0.0}}}, "diversity": {"grey": 0.25}}
    text = report.text(measured | {"composition": {}, "diversity of photos": {"grey": 0.5}})
    assert "| grey | 1.00 | 0.00 | 0.25 | 0.50 |" in text


def test_the_composition_of_photos_in_two_styles_stands_beside_the_domains_own(folder: Path) -> None:
    pictures = Pictures(folder / "data", 32)
    names = {"grey": "black and white", "zombie": "zombie", "old": "sepia", "odd": "x ray"}
    seen: list[torch.Tensor] = []

    def warm(images: torch.Tensor) -> torch.Tensor:  # [N, 3, H, W] -> [N, 6]
        """Ranks grey, old and the source first where red exceeds blue, as in sepia; else what is no domain here."""
        seen.append(images)
        sepia = (images[:, 0] - images[:, 2]).mean(dim=(1, 2)) > 0.05
        return torch.where(sepia[:, None], torch.tensor([3.0, 0, 2, 0, 1, 0]), torch.tensor([0.0, 3, 0, 0, 2, 1]))

    found = figures.photos_composition(pictures, names, 6, warm)
    assert found == {"grey + old": 1.0, "grey + odd": 0.0, "old + odd": 0.0}, "only pairs of styles; one way is enough"
    first, second, mean = seen[:3]
    assert not torch.equal(first, second), "the order matters"
    photos = figures.spread(pictures, 6)
    both = [figures.signals(figures.drawn(style, photos)) for style in ("black and white", "sepia")]
    torch.testing.assert_close(mean, (both[0] + both[1]) / 2)
    measured = {"count": 6, "distance": "pixels", "replay": {"psnr": 1.0, "worst psnr": 1.0}, "separation": {}}
    measured |= {"arrival": {}, "diversity": {}, "composition": {"judge": {"grey + zombie": 0.75, "grey + old": 0.25}}}
    text = report.text(measured | {"composition of photos": found})
    assert "| pair | judge | judge, photos in both styles |" in text
    assert "| grey + zombie | 0.75 |  |" in text
    assert "| grey + old | 0.25 | 1.00 |" in text
    assert "judge, photos in both styles: 1 of 3 pairs at 0.5 or more" in text


def test_without_a_judge_the_text_says_so(folder: Path) -> None:
    checkpoint = replace(load(folder / "expanded.safetensors"), path=None)
    found = figures.measure(checkpoint, load(folder / "source.safetensors"), clip=folder / "clip.safetensors", count=5)
    assert list(found["arrival"]) == ["tiny"]
    assert "No judge was at hand" in report.text(found)


def test_the_same_codes_give_the_same_figures(folder: Path) -> None:
    checkpoint, source = load(folder / "expanded.safetensors"), load(folder / "source.safetensors")
    twice = [
        figures.measure(
            checkpoint,
            source,
            clip=folder / "clip.safetensors",
            count=5,
            perceptual=DISTANCE,
        )
        for _ in range(2)
    ]
    assert twice[0] == twice[1]


def test_only_the_domains_asked_for_are_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(flags(folder, "--json", "--domain", "zombie", "--domain", "sketch")) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["diversity"]) == list(found["arrival"]["judge"]) == ["zombie", "sketch"]
    assert list(found["composition"]["judge"]) == ["zombie + sketch"]


def test_domains_are_called_by_what_they_were_taught() -> None:
    taught = {"moon": "a cat of cheese", "ink": "woodcut"}
    learned = {name: {"arguments": {"target": text}} for name, text in taught.items()}
    found = figures.taught(learned, ("moon", "ink", "mosaic", "tom"))
    assert found["moon"] == ["a cat of cheese"]
    assert found["ink"] == style_prompts("woodcut")
    assert found["mosaic"] == style_prompts("mosaic")
    assert found["tom"] == ["tom"]
    assert figures.taught({"tom": {"arguments": "damaged"}}, ("tom",)) == {"tom": ["tom"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--judge", "source"), "it is no judge"),
        (("--class", "nobody=photo"), "'nobody' is no domain"),
        (("--adapted", "nobody=source"), "'nobody' is no domain to measure"),
        (("--domain", "nobody"), "'nobody' is no domain to measure"),
        (("--prompt", "nobody=a ghost"), "'nobody' is no domain to measure"),
        (("--class", "zombie=photo"), "a class of its own"),
        (("--data", "nowhere"), "neither a folder nor a zip"),
        (("--count", "3"), "more than 4 pictures, got 3"),
        (("--count", "-5"), "2 samples or more"),
        (("--frechet-count", "0"), "2 samples or more"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, change: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flag, value = change
    value = value.replace("source", str(folder / "source.safetensors"))
    assert cli.main(flags(folder, flag, value)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_plain_generator_and_a_foreign_source_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(folder / "source.safetensors")
    assert cli.main(["measure", "expansion", source, "--source", source]) == 2
    assert "has no domains" in capsys.readouterr().err
    assert cli.main(["measure", "expansion", str(folder / "expanded.safetensors"), "--source", str(DEFAULT)]) == 2
    assert "takes other codes" in capsys.readouterr().err

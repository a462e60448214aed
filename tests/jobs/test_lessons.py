"""What a visitor may ask for: everything else ends in one sentence, and what is written down reads back the same."""

from __future__ import annotations

import base64
import io
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.expansion.config import read_config
from explorer.ui.lessons import FEWEST, MAX_SIDE, Lesson, LessonError

WORDS = {"kind": "words", "source": "photo", "target": "pencil sketch", "name": "Sketch", "dim": None, "steps": 10}


def uri(size: tuple[int, int] = (20, 12), kind: str = "PNG", colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def noise(size: tuple[int, int]) -> str:
    """A picture that no format makes smaller."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_pictures_within_the_limits_are_read() -> None:
    read(kind="picture", pictures=[uri((2048, 8))])
    read(kind="picture", pictures=[noise((900, 900))])


def read(**changes: object) -> Lesson:
    return Lesson.read(WORDS | changes, taken=["Neon"], free=[61, 60])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "music"}, "Choose a style, words"),
        ({"kind": "style", "target": "cubism"}, "Choose one of the styles"),
        ({"kind": "style", "target": ["mosaic"]}, "Choose one of the styles"),
        ({"source": "  "}, "show now"),
        ({"target": None}, "should become"),
        ({"target": "Photo"}, "nothing to learn"),
        ({"target": "x" * 201}, "at most 200"),
        ({"target": "a\x00b"}, "at most 200"),
        ({"name": ""}, "Give the domain a name"),
        ({"name": "neon"}, "already has a domain “neon”"),
        ({"name": "12"}, "not a number alone"),
        ({"name": "../up"}, "letters, digits and spaces"),
        ({"name": "x" * 41}, "up to 40"),
        ({"steps": 0}, "whole number"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"steps": 10**9}, "whole number"),
        ({"dim": 3}, "Direction 3 is not free"),
        ({"dim": [61]}, "is not free"),
        ({"kind": "picture", "pictures": []}, "Choose one picture"),
        ({"kind": "picture", "pictures": [uri(), uri()]}, "Choose one picture"),
        ({"kind": "individual", "pictures": [uri()]}, "at least 3 pictures; there are 1"),
        ({"kind": "kind", "pictures": [uri()] * 201}, "at most 200"),
        ({"kind": "picture", "pictures": ["data:image/png;base64,abcd"]}, "Picture 1 cannot be read"),
        ({"kind": "picture", "pictures": ["file:///etc/passwd"]}, "Picture 1 cannot be read"),
        ({"kind": "picture", "pictures": [None]}, "Picture 1 cannot be read"),
        ({"kind": "picture", "pictures": [uri((2100, 4))]}, "Picture 1 cannot be read"),
        ({"kind": "picture", "pictures": [noise((1200, 1200))]}, "Picture 1 cannot be read"),
        ({"kind": "picture", "pictures": [uri(kind="GIF").replace("gif", "png")]}, "Picture 1 cannot be read"),
    ],
)
def test_what_cannot_be_learned_ends_in_one_sentence(changes: dict, words: str) -> None:
    with pytest.raises(LessonError, match=words):
        read(**changes)


def test_every_size_of_pictures_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read(kind="picture", pictures=[noise((1000, 1000))]).pictures) == 1
    with pytest.raises(LessonError, match="Picture 1 cannot be read"):
        read(kind="picture", pictures=[noise((1030, 1030))])  # 4.2 MB as text
    assert len(read(kind="picture", pictures=[uri((MAX_SIDE, 4))]).pictures) == 1
    for size in ((MAX_SIDE + 1, 1), (1, MAX_SIDE + 1)):
        with pytest.raises(LessonError, match="Picture 1 cannot be read"):
            read(kind="picture", pictures=[uri(size)])
    monkeypatch.setattr("explorer.ui.lessons.MAX_TOTAL", 3 * len(uri()))
    assert len(read(kind="individual", pictures=[uri()] * 3).pictures) == 3
    with pytest.raises(LessonError, match="together: choose fewer"):
        read(kind="individual", pictures=[uri()] * 4)


def test_a_full_generator_says_so() -> None:
    with pytest.raises(LessonError, match="no room"):
        Lesson.read(WORDS, taken=[], free=[])


@pytest.mark.parametrize("request_", [None, [], "words", {"kind": ["words"]}])
def test_nonsense_is_refused(request_: object) -> None:
    with pytest.raises(LessonError):
        Lesson.read(request_, taken=[], free=[1])


def test_a_style_reaches_the_settings_and_the_judge(tmp_path: Path) -> None:
    lesson = read(kind="style", target="delft tile")
    job = lesson.job(tmp_path, tmp_path / "cats.safetensors", True, tmp_path, "cats.safetensors")
    (domain,) = read_config(tmp_path / "lesson.toml").domains
    assert (domain.name, domain.type, domain.arguments.style) == ("Sketch", "style", "delft tile")
    assert (job.about["what"], job.about["target"]) == ("the style “delft tile”", "delft tile")


def test_texts_reach_the_settings_as_they_are(tmp_path: Path) -> None:
    lesson = read(target='a "drawn" cat \\ naïve 🐈', dim=60)
    job = lesson.job(tmp_path, tmp_path / "cats.safetensors", True, tmp_path, "cats.safetensors")
    settings = tomllib.loads((tmp_path / "lesson.toml").read_text(encoding="utf-8"))
    assert settings["steps"] == 10
    assert "lambda_src" not in settings
    (domain,) = settings["domain"]
    asked = {"name": "Sketch", "type": "nada", "dim": 60, "source": "photo", "target": lesson.target}
    assert domain.items() >= asked.items()
    assert job.about["what"] == f"“photo” to “{lesson.target}”"
    assert str(tmp_path / "lesson.toml") in job.command


@pytest.mark.parametrize(("kind", "pictures"), FEWEST.items())
def test_every_kind_of_lesson_is_a_configuration_that_can_be_run(tmp_path: Path, kind: str, pictures: int) -> None:
    lesson = read(kind=kind, pictures=[uri()] * pictures)
    lesson.job(tmp_path, tmp_path / "cats.safetensors", True, tmp_path, "cats.safetensors")
    config = read_config(tmp_path / "lesson.toml")
    assert config.warmup == config.steps
    assert [domain.name for domain in config.domains] == ["Sketch"]


def test_a_source_without_discriminator_learns_without_it(tmp_path: Path) -> None:
    read().job(tmp_path, tmp_path / "cats.safetensors", False, tmp_path, "cats.safetensors")
    settings = tomllib.loads((tmp_path / "lesson.toml").read_text())
    assert settings["lambda_src"] == 0
    assert settings["domain"][0]["dim"] == 61  # the first of the free ones is the least effective


def test_pictures_are_written_as_pixels_alone(tmp_path: Path) -> None:
    lesson = read(kind="individual", pictures=[uri(), uri(kind="JPEG", colour="blue"), uri(kind="WEBP")])
    lesson.job(tmp_path, tmp_path / "cats.safetensors", True, tmp_path, "cats.safetensors")
    files = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in files] == ["001.png", "002.png", "003.png"]
    with Image.open(files[1]) as image:
        assert image.size == (20, 12)
        assert np.asarray(image)[0, 0, 2] > 240
    (domain,) = tomllib.loads((tmp_path / "lesson.toml").read_text())["domain"]
    assert domain["type"] == "mystyle"
    assert domain["folder"] == str(tmp_path / "pictures")

"""A photo by the generator's own encoder and its sampler backwards: laws, and that all doors carry its noise image."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import make_diffae, make_generator
from PIL import Image

from explorer import Edit, EditError, Engine, Noise, load
from explorer.actions import Animate, Invert, Render, between, run, steps
from explorer.cli import main
from explorer.engine import inverting
from explorer.inversion import InversionError, Settings, defaults
from explorer.keep import KeepError, Kept, Session, Snapshot, read_picture, write_link, write_picture
from explorer.metrics import Perceptual
from explorer.ui.api import Endpoints
from explorer.ui.tabs.invert import Studio, describe
from explorer.weights import Checkpoint

FILE = Path(__file__).parents[1] / "fixtures" / "diffae16_latent.ckpt"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared differences instead of the shipped CLIP's distance."""
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    for module in ("explorer.engine.engine", "explorer.inversion.networks"):
        monkeypatch.setattr(f"{module}.load_perceptual", lambda device: squared)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(FILE), "cpu", "fp32")


@pytest.fixture(scope="module")
def photo(engine: Engine) -> Image.Image:
    """A picture of the generator's own noise and code, with something of its own painted on it."""
    pixels = engine.render(Edit(seed=5, noise_mode="random", noise_seed=3)).copy()
    pixels[3:6, 4:9] = (200, 60, 90)
    return Image.fromarray(pixels)


def difference(a: np.ndarray, b: np.ndarray | Image.Image) -> float:
    return float(np.sqrt(((a.astype(float) - np.asarray(b).astype(float)) ** 2).mean()))


def inverted(engine: Engine, photo: Image.Image, count: int = 100) -> Edit:
    (result,) = run(Invert((photo,), Settings("ddim", steps=count), "centre"), engine)
    return result.edit


def test_it_is_the_way_unless_told(engine: Engine) -> None:
    assert inverting.settings_of(engine) == defaults("ddim")
    flow = Engine(Checkpoint(make_diffae(predicts="v", patch=2, net_ch_mult=(1,), enc_ch_mult=(1,))), "cpu", "fp32")
    assert inverting.settings_of(flow).steps == 50
    assert describe(engine, "x", None)["methods"].keys() == {"ddim"}
    stylegan = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    assert inverting.settings_of(stylegan).method == "in_domain"
    assert "ddim" not in describe(stylegan, "x", None)["methods"]
    with pytest.raises(InversionError, match="ddim is for diffusion autoencoders"):
        run(Invert((Image.new("RGB", (16, 16)),), Settings("ddim"), "centre"), stylegan)


def test_a_photo_is_made_again_nearer_with_more_steps(engine: Engine, photo: Image.Image) -> None:
    alone = engine.render(Edit(latent=inverted(engine, photo, 5).latent, project=False))
    errors = []
    for count in (5, 20, 100):
        edit = inverted(engine, photo, count)
        assert edit.noise_mode == "photo"
        errors.append(difference(engine.render(replace(edit, steps=count)), photo))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * difference(alone, photo)


def test_the_code_alone_is_shown_first_and_kept_by_a_stop(engine: Engine, photo: Image.Image) -> None:
    import threading

    stop = threading.Event()
    work = steps(Invert((photo,), Settings("ddim", steps=50), "centre"), engine, stop=stop)
    first = next(work)
    assert (first.step, first.noise, first.figures) == (0, None, None)
    stop.set()
    *_, last = work
    assert last.noise is None
    assert last.figures is not None
    assert last.edit.noise_mode == "const"
    assert first.latent == last.latent == inverted(engine, photo, 5).latent


def test_several_photos_have_each_its_own_noise(engine: Engine, photo: Image.Image) -> None:
    other = photo.rotate(90)
    results = run(Invert((photo, other), Settings("ddim", steps=20), "centre"), engine)
    for result, alone in zip(results, (photo, other), strict=True):
        assert difference(engine.render(result.edit), engine.render(inverted(engine, alone, 20))) < 1


def test_sliders_work_on_it_and_end_where_they_began(engine: Engine, photo: Image.Image) -> None:
    edit = inverted(engine, photo)
    still = engine.render(edit)
    assert np.array_equal(engine.render(edit.with_strength(0, 0)), still)
    moved = edit.with_strength(0, 2).with_strength(3, -1)
    assert not np.array_equal(engine.render(moved), still)
    assert np.array_equal(engine.render(edit.with_strength(3, -1).with_strength(0, 2)), engine.render(moved))
    other = Edit(seed=4)
    together = engine.render([edit, other, moved, edit])
    for one, picture in zip((edit, other, moved, edit), together, strict=True):
        assert np.abs(engine.render(one).astype(int) - picture).max() <= 1


def test_every_keeper_gives_it_back(engine: Engine, photo: Image.Image) -> None:
    edit = inverted(engine, photo, 20).with_strength(1, 0.5)
    assert Edit.from_json(json.loads(json.dumps(edit.to_json()))) == edit
    assert edit.to_json()["version"] == 2
    for kind in ("png", "webp"):
        assert read_picture(write_picture(engine.render(edit), kind, Kept(edit, "x"))).edit == edit
    session = Session("x", {"explore": edit}, [Snapshot(edit)])
    assert Session.from_text(session.to_text()) == Session("x", {"explore": edit}, (Snapshot(edit),))
    with pytest.raises(KeepError, match="noise image, which is too long for a link: send the picture instead"):
        write_link(edit)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise_mode": "photo"}, "noise_mode photo needs the noise image of a photo"),
        ({"noise": "AAAA"}, "noise must be a Noise, got str"),
    ],
)
def test_what_is_no_noise_is_refused(changes: dict, words: str) -> None:
    with pytest.raises(EditError, match=words):
        Edit(**changes)


def test_noise_of_other_sizes_and_for_other_kinds_is_refused(engine: Engine) -> None:
    with pytest.raises(EditError, match=r"a noise image of this generator is \(3, 16, 16\), got \(3, 8, 8\)"):
        engine.render(Edit(noise=Noise.of(np.zeros((3, 8, 8)))))
    with pytest.raises(EditError, match="leave noise away"):
        Engine(Checkpoint(make_generator()), "cpu", "fp32").render(Edit(noise=Noise.of(np.zeros((3, 16, 16)))))
    with pytest.raises(EditError, match="a noise image must be finite"):
        Noise.of(np.full((3, 2, 2), 1e9))
    for data in ({}, {"shape": [3, 2], "data": ""}, {"shape": [1, 1, 1], "data": "AAAA"}, 3):
        with pytest.raises(EditError, match="a noise image"):
            Edit.from_json({"noise": data})


def test_two_photos_blend_on_an_arc(engine: Engine, photo: Image.Image) -> None:
    first, last = inverted(engine, photo, 20), inverted(engine, photo.rotate(90), 20)
    way = between(engine, first, last, 5)
    assert np.array_equal(engine.render(way[0]), engine.render(first))
    assert np.array_equal(engine.render(way[-1]), engine.render(last))
    middle = way[2]
    codes = [engine.ws(edit) for edit in (first, middle, last)]
    torch.testing.assert_close(codes[1], (codes[0] + codes[2]) / 2)
    ends = [engine.noise(edit) for edit in (first, last)]
    halfway = engine.noise(middle)
    assert halfway is not None
    norms = [float(np.linalg.norm(image)) for image in (*ends, halfway) if image is not None]
    assert norms[2] == pytest.approx((norms[0] + norms[1]) / 2, rel=0.02)  # a mean of two would be shorter


def test_a_film_goes_from_a_photo_to_a_seed(engine: Engine, photo: Image.Image, tmp_path: Path) -> None:
    edits = (inverted(engine, photo, 20), Edit(seed=3, noise_mode="random", noise_seed=9))
    run(Animate(edits, frames=3, loop=False), engine, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert getattr(film, "n_frames", 1) == 4
        assert difference(np.asarray(film.convert("RGB")), engine.render(edits[0])) < 12  # a GIF's 256 colours


def test_command_endpoint_and_page_find_the_same(engine: Engine, photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "photo.png")
    expected = inverted(engine, photo, 20)
    flags = ["--checkpoint", str(FILE), "--precision", "fp32", "--steps", "20", "--crop", "centre", "--json"]
    assert main(["invert", *flags, str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]) == 0
    edit = Edit.from_json((tmp_path / "out" / "photo.json").read_text())
    assert edit == expected
    made = np.asarray(Image.open(tmp_path / "out" / "photo.png"))
    assert np.array_equal(made, run(Render(expected), engine).pixels)

    data = base64.b64encode((tmp_path / "photo.png").read_bytes()).decode()
    assert Edit.from_json(Endpoints(engine, "x").invert(data, steps=20)["edit"]) == expected

    studio = Studio(engine)
    uri = f"data:image/png;base64,{data}"
    box = studio.photo({"photo": uri})["centre"]
    begun = studio.start({"photo": uri, "box": box, "settings": {"method": "ddim", "steps": 20}})
    while (answer := studio.look({"id": begun["id"]}))["state"] in ("waiting", "working"):
        time.sleep(0.02)
    assert answer["state"] == "done"
    assert Edit.from_json(answer["result"]["edit"]) == expected
    shown = Image.open(io.BytesIO(base64.b64decode(answer["result"]["picture"].partition(",")[2])))
    assert np.array_equal(np.asarray(shown), engine.render(expected))
    asked = {"edits": [expected.to_json(), Edit(seed=1).to_json()], "count": 3}
    assert len(studio.between(asked)["edits"]) == 3
    with pytest.raises(EditError, match="2 to 16 pictures"):
        studio.between(asked | {"count": 1000})

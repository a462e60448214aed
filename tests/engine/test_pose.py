"""The pose of a generator's pictures: what turns and shifts mean, and how an edit carries them everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import make_generator, make_stylegan3
from PIL import Image

from explorer import Edit, EditError, Engine
from explorer.actions import Animate, Compose, Render, run
from explorer.cli import main
from explorer.export import along
from explorer.networks.stylegan3 import inverse_motion
from explorer.weights import Checkpoint

MOVED = Edit(seed=3, rotate=30.0, shift_x=0.1, shift_y=-0.05)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Checkpoint(make_stylegan3()), "cpu", "fp32")


def features(*pose: float) -> torch.Tensor:
    """What the input of a network draws, turned and shifted."""
    source = make_stylegan3().synthesis.input
    return source(torch.ones(1, 24), source.moved(torch.tensor([pose])))


def test_a_turn_is_counterclockwise() -> None:
    torch.testing.assert_close(features(90, 0, 0), features(0, 0, 0).rot90(1, (2, 3)), atol=1e-4, rtol=1e-4)


def test_shifts_go_to_the_right_and_down() -> None:
    one = 1 / make_stylegan3().synthesis.input.band.rate  # a pixel, in picture widths
    still = features(0, 0, 0)
    torch.testing.assert_close(features(0, one, 0)[..., 1:], still[..., :-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features(0, 0, one)[..., 1:, :], still[..., :-1, :], atol=1e-4, rtol=1e-4)


def test_a_turned_picture_is_shifted_as_it_is_seen() -> None:
    one = 1 / make_stylegan3().synthesis.input.band.rate
    turned = features(90, 0, 0)
    torch.testing.assert_close(features(90, one, 0)[..., 1:], turned[..., :-1], atol=1e-4, rtol=1e-4)


def test_a_motion_is_the_inverse_of_its_matrix() -> None:
    """The matrix of the motion itself, as StyleGAN3's authors write it."""
    a, x, y = np.deg2rad(25), 0.3, -0.2
    motion = np.array([[np.cos(a), np.sin(a), x], [-np.sin(a), np.cos(a), y], [0, 0, 1]])
    np.testing.assert_allclose(inverse_motion(torch.tensor([[25.0, x, y]]))[0], np.linalg.inv(motion), atol=1e-7)


def test_a_picture_moves_on_from_where_its_file_left_it() -> None:
    """The buffer of a file is one motion, the pose another after it."""
    generator = make_stylegan3()
    codes = generator.draw(torch.randn(1, generator.z_dim))
    whole = generator.decode(codes, pose=torch.tensor([[50.0, 0, 0]]))
    generator.synthesis.input.transform.copy_(inverse_motion(torch.tensor([[20.0, 0, 0]]))[0])
    torch.testing.assert_close(generator.decode(codes, pose=torch.tensor([[30.0, 0, 0]])), whole, atol=1e-4, rtol=1e-4)


def test_every_picture_of_a_batch_has_its_own_pose(engine: Engine) -> None:
    edits = [Edit(seed=3), MOVED, Edit(seed=3, rotate=-90), Edit(seed=4, shift_x=0.25)]
    together = engine.render(edits)
    for edit, picture in zip(edits, together, strict=True):
        assert np.abs(engine.render(edit).astype(int) - picture).max() <= 1
    assert not np.array_equal(together[0], together[1])
    assert np.array_equal(engine.render(Edit(seed=3, rotate=360)), together[0])


def test_a_generator_without_a_pose_refuses_one() -> None:
    engine = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    for edit in (Edit(rotate=1), Edit(shift_x=0.1), Edit(shift_y=0.1)):
        with pytest.raises(EditError, match="cannot turn or shift its pictures"):
            engine.render(edit)


@pytest.mark.parametrize("pose", [{"rotate": float("nan")}, {"shift_x": "left"}, {"shift_y": 1e9}, {"rotate": True}])
def test_what_is_no_pose_is_refused(pose: dict) -> None:
    with pytest.raises(EditError, match=f"{next(iter(pose))} must be a number"):
        Edit(**pose)


def test_a_film_turns_on_the_way(engine: Engine) -> None:
    def codes(edits: list[Edit]) -> list[np.ndarray]:
        return [engine.ws(edit).numpy() for edit in edits]

    film = along([Edit(seed=3), MOVED], codes, 4, loop=False)
    assert [film[0].pose, film[-1].pose] == [(0, 0, 0), MOVED.pose]
    assert film[2].rotate == pytest.approx(15)
    assert np.abs(engine.render(film[-1]).astype(int) - engine.render(MOVED)).max() <= 1


def test_python_and_command_line_make_the_same_picture(engine: Engine, tmp_path: Path) -> None:
    file, out = Checkpoint(make_stylegan3()).save(tmp_path / "g.safetensors"), tmp_path / "a.png"
    flags = ["--checkpoint", str(file), "--seed", "3", "--rotate", "30", "--shift", "0.1", "-0.05", "--out", str(out)]
    assert main(["render", *flags]) == 0
    expected = run(Render(MOVED), engine).pixels
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert main(["render", "--checkpoint", str(file), "--edit", str(out), "--out", str(tmp_path / "b.png")]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), expected)
    assert main(["compose", "0=1", *flags]) == 0
    composed = run(Compose({0: 1.0}, 3, rotate=30.0, shift_x=0.1, shift_y=-0.05), engine).pixels
    assert np.array_equal(np.asarray(Image.open(out)), composed)
    edits = [Edit(seed=3), MOVED]
    (tmp_path / "edits.json").write_text(json.dumps([edit.to_json() for edit in edits]))
    film = str(tmp_path / "film.gif")
    assert (
        main(["animate", str(tmp_path / "edits.json"), "--checkpoint", str(file), "--frames", "2", "--out", film]) == 0
    )
    run(Animate(tuple(edits), frames=2), engine, tmp_path / "again.gif")
    assert Path(film).read_bytes() == (tmp_path / "again.gif").read_bytes()


def test_the_command_line_refuses_a_pose_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--rotate", "10", "--out", str(tmp_path / "a.png")]) == 2
    assert "leave rotate and shift at 0" in capsys.readouterr().err

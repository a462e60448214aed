"""Every task learns on a tiny generator; and the laws of their losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import make_generator
from tiny_expansion import NADA, config, differences, fixtures, train, trainer_of, write_clip

from explorer.expansion import mining
from explorer.expansion.tasks import mystyle, nada, one_shot_clip
from explorer.expansion.tasks.task import Eye
from explorer.expansion.tasks.views import NUMBERS, views
from explorer.training.draws import Draws
from explorer.weights import Checkpoint, load
from explorer.weights.clip import load_clip

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


def domain(kind: str, files: dict[str, Path]) -> dict[str, Any]:
    folder = str(files["pictures"])
    return {
        "nada": {"name": "x", **NADA},
        "nada, pictures": {"name": "x", "type": "nada", "images": folder},
        "mystyle": {"name": "x", "type": "mystyle", "folder": folder, "invert_steps": 5, "lambda_near": 1.0},
        "one_shot_clip": {
            "name": "x",
            "type": "one_shot_clip",
            "image": f"{folder}/0.png",
            "search_steps": 3,
            "lambda_critic": 0.1,
        },
        "image_folder": {"name": "x", "type": "image_folder", "folder": folder},
        "style": {"name": "x", "type": "style", "style": "sepia", "lambda_lpips": 0.0, "lambda_texture": 1.0},
    }[kind]


KINDS = ("nada", "nada, pictures", "mystyle", "one_shot_clip", "image_folder", "style")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "image_folder"])
def test_a_task_lowers_its_loss(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Measured on the same samples before and after."""
    changes = {"lambda_src": 0.0, "lambda_l2": 0.1, "lr": 0.01, "steps": 30, "anneal": 0.0}
    trainer = trainer_of(files["plain"], config(files["clip"], domain(kind, files), **changes), tmp_path)

    def loss() -> float:
        step, trainer.step = trainer.step, 1_000  # a step at which the one picture is aligned
        found = float(trainer.gradients(trainer.shares[0])[2]["x"])
        trainer.step = step
        return found

    before = loss()
    for _ in range(30):
        trainer.train_step()
    assert loss() < 0.95 * before


def test_an_image_folder_draws_pictures_towards_it(files: dict[str, Path], tmp_path: Path) -> None:
    """An adversarial loss need not fall; the colours of the pictures must come nearer."""
    changes = {"lambda_src": 0.0, "lambda_l2": 0.1, "lr": 0.005, "d_lr": 0.005}
    settings = config(files["clip"], domain("image_folder", files), steps=60, anneal=0.0, **changes)
    trainer = trainer_of(files["plain"], settings, tmp_path)
    pictures = trainer.studio.photos(str(files["pictures"]))

    def distance() -> float:
        with torch.no_grad():
            ws = trainer.source.draw(torch.randn(16, 12, generator=torch.Generator().manual_seed(0)))
            images = trainer.G.synthesize(trainer.codes(ws, torch.zeros(16, dtype=torch.int64))[1])
        return float((images.mean(dim=(0, 2, 3)) - pictures.mean(dim=(0, 2, 3))).norm())

    before = distance()
    for _ in range(60):
        trainer.train_step()
    assert distance() < 0.8 * before


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_resumes_without_looking_again(
    files: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(files["clip"], domain(kind, files), steps=2, lambda_src=0.0)
    first = train(files["plain"], settings, tmp_path)
    monkeypatch.setattr("explorer.expansion.tasks.task.invert", lambda *_: pytest.fail("inverted once more"))
    monkeypatch.setattr("explorer.expansion.tasks.nada.Nada.prepare", lambda _: pytest.fail("prepared once more"))
    again = train(None, None, tmp_path, resume=True, steps=3)  # type: ignore[arg-type]
    assert again["step"] == 3
    moving = ("D.", "critic.")
    kept = {name: value for name, value in first["tasks"].items() if not any(part in name for part in moving)}
    assert differences(kept, {name: again["tasks"][name] for name in kept}) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_adapts_a_plain_generator_too(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    train(files["plain"], config(files["clip"], domain(kind, files), steps=2, plain=True), tmp_path)
    adapted = load(tmp_path / "network.safetensors")
    assert adapted.expansion is None
    source = load(files["plain"]).generator
    assert differences(source.learnable(), adapted.generator.learnable())


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_generator_learns_as_well(files: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Whoever looks at its pictures sees three channels."""
    grey = Checkpoint(make_generator(img_channels=1), meta={"name": "grey"}).save(tmp_path / "grey.safetensors")
    changes = {"steps": 1, "lambda_src": 0.0, "lambda_lpips": 1.0, "path_weight": 0.0}
    train(grey, config(files["clip"], domain(kind, files), **changes), tmp_path / "run")
    assert load(tmp_path / "run" / "network.safetensors").generator.channels == 1


def test_a_random_code_is_drawn_to_the_photo_of_the_nearest_anchor(files: dict[str, Path], tmp_path: Path) -> None:
    settings = config(files["clip"], domain("mystyle", files), lambda_src=0.0)
    task = trainer_of(files["plain"], settings, tmp_path).task(0)
    assert isinstance(task, mystyle.MyStyle)
    nearest = torch.arange(16) % len(task.anchors)
    ws = task.anchors[nearest] + 1e-3 * torch.randn(16, *task.anchors.shape[1:])
    codes = task.codes(ws, Draws(0, 0, 16, torch.arange(16)), 0)
    assert 0 < task.elsewhere.sum() < 16
    assert torch.equal(codes, torch.where(task.elsewhere[:, None, None], ws, task.anchors[task.chosen]))
    assert torch.equal(task.chosen[task.elsewhere], nearest[task.elsewhere])
    assert len(task.chosen[~task.elsewhere].unique()) > 1
    task.arguments = replace(task.arguments, lambda_near=0.0)
    task.codes(ws, Draws(0, 0, 16, torch.arange(16)), 0)
    assert not task.elsewhere.any()


@pytest.mark.parametrize("row", range(5))
def test_the_layer_whose_row_moves_most_is_the_one_that_learns(
    files: dict[str, Path], tmp_path: Path, row: int
) -> None:
    """Only one layer listens to its row of W+, so no other row can move."""
    settings = config(files["clip"], {"name": "x", **NADA, "layers": 1}, lambda_src=0.0)
    trainer = trainer_of(files["plain"], settings, tmp_path)
    source = trainer.source
    (listening,) = (layer for layer in source.style_layers() if layer.row == row and not layer.colors)
    with torch.no_grad():
        for layer in source.style_layers():
            if layer.name != listening.name:
                layer.weight.zero_()
    frozen = trainer.task(0).frozen(source.draw(torch.randn(3, 12)))
    assert source.learnable().keys() - frozen == {
        name for name in source.learnable() if name.startswith(f"{listening.feeds}.")
    }


def test_clip_models_count_by_their_weights(files: dict[str, Path], tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.safetensors", seed=5)
    domain = {"name": "x", **NADA, "lambda_content": 0.0, "lambda_smooth": 0.0}

    def loss(clips: list[Path], weights: tuple[float, ...]) -> torch.Tensor:
        changes = {"clip": tuple(map(str, clips)), "clip_weights": weights}
        settings = replace(config(files["clip"], domain, lambda_src=0.0), **changes)
        trainer = trainer_of(files["plain"], settings, tmp_path / "-".join(map(str, weights)))
        with torch.no_grad():
            for number, weight in enumerate(trainer.G.learnable().values()):
                weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        return trainer.gradients(trainer.shares[0])[2]["x"]

    first, second = files["clip"], other
    both = loss([first, second], (1.0, 3.0))
    torch.testing.assert_close(both, loss([first], (1.0,)) + loss([second], (3.0,)))
    torch.testing.assert_close(both, loss([first], (2.0,)) / 2 + 3 * loss([second], (1.5,)) / 1.5)


def test_mined_codes_look_more_like_the_domain_and_stay_near(files: dict[str, Path]) -> None:
    generator = load(files["plain"]).generator
    eye = Eye(load_clip(str(files["clip"])), 1.0)
    ws = generator.draw(torch.randn(16, 12, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        target = eye(generator.synthesize(ws))[3]
        mapper = mining.mine(generator, lambda codes: codes, [(eye, target)], 40)
        assert mapper is not None
        moved = mapper(ws)
        before, after = (float((eye(generator.synthesize(codes)) @ target).mean()) for codes in (ws, moved))
    assert after > before
    assert (moved - ws).square().mean() < (ws - generator.mean).square().mean()
    assert mining.mine(generator, lambda codes: codes, [(eye, target)], 40, asked=lambda: True) is None


def test_frozen_layers_get_no_gradient_of_the_task(files: dict[str, Path], tmp_path: Path) -> None:
    frozen = {"name": "x", **NADA, "layers": 1, "lambda_smooth": 0.0}
    changes = {"lambda_src": 0.0, "lambda_lpips": 0.0, "lambda_l2": 0.0, "path_weight": 0.0}
    trainer = trainer_of(files["plain"], config(files["clip"], frozen, **changes), tmp_path)
    gradient = trainer.gradients(trainer.shares[0])[0]
    moved = {name for name, g in zip(trainer.G.learnable(), gradient, strict=True) if g.any()}
    layers = {layer.feeds for layer in trainer.G.style_layers() if any(n.startswith(f"{layer.feeds}.") for n in moved)}
    assert len(layers) == 1
    assert all(name.startswith(f"{next(iter(layers))}.") for name in moved)


def test_the_directional_loss_is_zero_along_the_direction_alone() -> None:
    before, direction = torch.randn(5, 8), torch.nn.functional.normalize(torch.randn(8), dim=0)
    assert nada.directional(before + 0.3 * direction, before, direction) < 1e-5
    assert nada.directional(before - 0.3 * direction, before, direction) > 1.99


def test_views_of_two_pictures_are_the_same_and_differ_among_each_other() -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    numbers = torch.rand(2, 3, NUMBERS)
    seen = views(images, numbers, 32)
    assert seen.shape == (4, 2, 3, 16, 16)
    assert torch.equal(seen[0], images)
    assert torch.equal(seen, views(images, numbers, 32))
    apart = [(seen[a] - seen[b]).abs().mean() for a in range(4) for b in range(a)]
    assert min(apart) > 0.05
    both = views(images[:1].expand(2, -1, -1, -1), numbers[:1].expand(2, -1, -1), 32)
    torch.testing.assert_close(both[:, 0], both[:, 1])
    assert views(images, numbers, 8).shape[-1] == 8


def test_patches_are_cut_where_they_are_said_to_be(files: dict[str, Path], tmp_path: Path) -> None:
    settings = config(files["clip"], domain("one_shot_clip", files), lambda_src=0.0)
    task = trainer_of(files["plain"], settings, tmp_path).task(0)
    assert isinstance(task, one_shot_clip.OneShotClip)
    images = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    places = torch.tensor([[0.0, 0.0], [0.999, 0.5]]).expand(2, 2, 2)
    cut = task.cut(images, places)
    assert cut.shape == (4, 3, 4, 4)
    assert torch.equal(cut[0], images[0, :, :4, :4])
    assert torch.equal(cut[3], images[1, :, 12:16, 6:10])


def test_contrast_and_consistency_are_least_where_nothing_changed() -> None:
    crops = torch.nn.functional.normalize(torch.randn(2, 16, 32), dim=2)
    assert one_shot_clip.contrast(crops, crops) < 0.1
    assert one_shot_clip.contrast(crops.roll(1, dims=1), crops) > 2
    codes = crops[0]
    assert one_shot_clip.consistency(codes, codes) == 0
    assert one_shot_clip.consistency(codes, codes.roll(1, dims=0)) > 0

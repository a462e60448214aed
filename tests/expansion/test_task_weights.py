"""How much each term of a task's loss counts, and at which steps: every term computed by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_expansion import config, fixtures, trainer_of, write_clip
from torch import Tensor

from explorer.expansion.tasks import image_folder, mystyle, nada, one_shot_clip
from explorer.expansion.tasks.task import ExpansionError, Eye, Shown, Studio
from explorer.expansion.trainer import Trainer
from explorer.training import losses
from explorer.training.draws import Draws
from explorer.weights.clip import load_clip

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
COUNT = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def trainer(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return trainer_of(files["source"], config(files["clip"]), tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def studio(trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """With two CLIP models, of weights 1.5 and 0.5."""
    other = write_clip(tmp_path_factory.mktemp("clip") / "other.safetensors", seed=5)
    return replace(trainer.studio, eyes=(Eye(trainer.studio.eyes[0].clip, 1.5), Eye(load_clip(str(other)), 0.5)))


def scene(studio: Studio, step: int = 1) -> Shown:
    """Random pictures before and after; the same numbers each time."""
    rng = torch.Generator().manual_seed(0)
    images, before = (torch.rand(COUNT, 3, 16, 16, generator=rng) * 2 - 1 for _ in range(2))
    seen, still = ([torch.stack([eye(x), eye(x.flip(3))]) for eye in studio.eyes] for x in (images, before))
    draws = Draws(0, 0, COUNT, torch.arange(COUNT))
    return Shown(images, before, torch.zeros(COUNT, 6, 24), tuple(seen), tuple(still), draws, step)


def close(found: Tensor, expected: Any) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(expected).detach(), rtol=1e-4, atol=1e-5)


# --- nada -------------------------------------------------------------------------------------------------------------


def make_nada(studio: Studio, **changes: Any) -> nada.Nada:
    settings: dict[str, Any] = {"lambda_global": 0.0, "lambda_content": 0.0, "lambda_smooth": 0.0} | changes
    task = nada.Nada(nada.Arguments(target="pencil sketch", **settings), studio)
    task.prepare()
    return task


def test_nadas_terms_count_by_their_weights(studio: Studio) -> None:
    shown, plain = scene(studio), make_nada(studio)
    shown = replace(shown, before=0.5 * shown.before)  # smoother than what became of it
    base = plain.loss(shown)
    directional = [
        eye.weight * nada.directional(shown.seen[i], shown.seen_before[i], plain.get_buffer(f"direction{i}"))
        for i, eye in enumerate(studio.eyes)
    ]
    close(base, sum(directional))
    apart = [
        eye.weight * (1 - (shown.seen[i] @ plain.get_buffer(f"target{i}")).mean()) for i, eye in enumerate(studio.eyes)
    ]
    terms = {
        "lambda_global": sum(apart),
        "lambda_content": nada.unlikeness(shown.images, shown.before).mean(),
        "lambda_smooth": nada.roughness(shown.images, shown.before),
    }
    for name, term in terms.items():
        assert term > 0.01
        close(make_nada(studio, **{name: 0.7}).loss(shown) - base, 0.7 * term)


def test_nadas_direction_leads_from_the_source_to_the_target(studio: Studio) -> None:
    task = make_nada(studio)
    for i, (eye, target) in enumerate(task.targets()):
        texts = [nada.prompts(text, eye.clip.config is not None) for text in ("photo", "pencil sketch")]
        source, end = eye.clip.encode_prompts(texts)
        close(task.get_buffer(f"direction{i}"), torch.nn.functional.normalize(end - source, dim=0))
        close(target, torch.nn.functional.normalize(end, dim=0))


def test_nada_from_pictures_leads_from_samples_to_their_mean(studio: Studio, files: dict[str, Path]) -> None:
    task = nada.Nada(nada.Arguments(images=str(files["pictures"])), studio)
    task.prepare()
    photos = studio.photos(files["pictures"])
    for i, eye in enumerate(studio.eyes):
        step = eye(photos).mean(dim=0) - eye(studio.samples(16)).mean(dim=0)
        close(task.get_buffer(f"direction{i}"), torch.nn.functional.normalize(step, dim=0))


def test_variation_is_the_mean_step_across_plus_that_down() -> None:
    across, down = torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5)
    across[..., 0] = 1.0  # one of four steps in a row
    down[..., 0, :] = 1.0  # one of three in a column
    assert float(nada.variation(across)) == pytest.approx(1 / 4)
    assert float(nada.variation(down)) == pytest.approx(1 / 3)


def test_published_and_measured_weights_stay() -> None:
    words = nada.Arguments(target="x")
    assert (words.lambda_global, words.lambda_content, words.lambda_smooth, words.layers) == (0.0, 0.5, 0.1, 0)
    folder = image_folder.Arguments("x")
    assert (folder.lambda_content, folder.r1_gamma, folder.r1_every, folder.kinds) == (
        0.5,
        1.0,
        8,
        ("color", "translation"),
    )
    photos = mystyle.Arguments("x")
    assert (photos.invert_steps, photos.lambda_lpips, photos.lambda_l2, photos.lambda_near) == (200, 1.0, 1.0, 0.0)
    one = one_shot_clip.Arguments("x")
    assert (one.lambda_consistency, one.lambda_patch, one.lambda_critic, one.lambda_align) == (10.0, 1.0, 1.0, 10.0)
    assert (one.lambda_direction, one.r1_gamma, one.patch, one.search_steps) == (1.0, 1.0, 0.25, 300)


# --- mystyle ----------------------------------------------------------------------------------------------------------


def test_mystyles_distances_count_by_their_weights_and_near_ones_by_theirs(
    studio: Studio, files: dict[str, Path]
) -> None:
    shown = scene(studio)
    task = mystyle.MyStyle(mystyle.Arguments(str(files["pictures"])), studio)
    task.chosen = torch.tensor([0, 1, 2, 1])
    task.elsewhere = torch.tensor([False, True, False, False])
    photos = task.photos[task.chosen]
    squared = (shown.images - photos).square().mean(dim=(1, 2, 3))
    perceptual = studio.perceptual_to(photos)(shown.images)
    for l2, lpips, near in ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.3, 0.7, 0.2)):
        task.arguments = replace(task.arguments, lambda_l2=l2, lambda_lpips=lpips, lambda_near=near)
        each = l2 * squared + lpips * perceptual
        close(task.loss(shown), (each * torch.tensor([1, near, 1, 1])).mean())


# --- one_shot_clip ----------------------------------------------------------------------------------------------------


def make_one_shot(studio: Studio, files: dict[str, Path], **changes: Any) -> one_shot_clip.OneShotClip:
    weights = {"lambda_consistency": 0.0, "lambda_patch": 0.0, "lambda_critic": 0.0, "lambda_align": 0.0}
    settings: dict[str, Any] = weights | {"lambda_direction": 0.0, "r1_gamma": 0.0} | changes
    torch.manual_seed(0)
    task = one_shot_clip.OneShotClip(one_shot_clip.Arguments(str(files["pictures"] / "0.png"), **settings), studio)
    for index in range(2):
        task.get_buffer(f"direction{index}").copy_(torch.nn.functional.normalize(torch.randn(32), dim=0))
    return task


def test_one_shots_terms_count_by_their_weights(studio: Studio, files: dict[str, Path]) -> None:
    assert make_one_shot(studio, files).loss(scene(studio)) == 0
    shown, task = scene(studio), make_one_shot(studio, files)
    eyes = list(enumerate(studio.eyes))
    consistent = sum(e.weight * one_shot_clip.consistency(shown.seen[i][0], shown.seen_before[i][0]) for i, e in eyes)
    towards = sum(
        e.weight * nada.directional(shown.seen[i], shown.seen_before[i], task.get_buffer(f"direction{i}"))
        for i, e in eyes
    )
    close(make_one_shot(studio, files, lambda_consistency=0.7).loss(shown), 0.7 * consistent)
    close(make_one_shot(studio, files, lambda_direction=0.7).loss(shown), 0.7 * towards)
    fooled = losses.generator_loss(task.critic(task.crops(scene(studio).images, scene(studio))[0]))
    close(make_one_shot(studio, files, lambda_critic=0.7).loss(scene(studio)), 0.7 * fooled)
    shown = scene(studio)
    task.crops(shown.images, shown)  # the critic's places are drawn first
    patches = sum(eye.weight * task.patches(shown, index) for index, eye in eyes)
    close(make_one_shot(studio, files, lambda_patch=0.7).loss(scene(studio)), 0.7 * patches)


def test_every_fourth_step_of_one_shot_is_at_its_picture_and_aligned_with_it(
    studio: Studio, files: dict[str, Path]
) -> None:
    task = make_one_shot(studio, files, lambda_align=0.7, lambda_critic=0.2, lambda_consistency=5.0)
    task.w_ref.normal_()
    ws = torch.randn(COUNT, 6, 24)
    draws = Draws(0, 0, COUNT, torch.arange(COUNT))
    for step in range(9):
        expected = task.w_ref.expand_as(ws) if step % 4 == 0 else ws
        assert torch.equal(task.codes(ws, draws, step), expected)
    shown, picture = scene(studio, 8), task.picture.expand(COUNT, -1, -1, -1)
    apart = (shown.images - picture).square().mean() + studio.perceptual_to(picture)(shown.images).mean()
    fooled = losses.generator_loss(task.critic(task.crops(scene(studio).images, scene(studio))[0]))
    close(task.loss(shown), 0.7 * apart + 0.2 * fooled)


def test_one_shots_critic_pays_half_of_gamma(studio: Studio, files: dict[str, Path]) -> None:
    task = make_one_shot(studio, files)
    without = task.critic_loss(scene(studio))
    shown = scene(studio)
    fake, real = task.crops(shown.images, shown)
    close(without, losses.discriminator_loss(task.critic(real), task.critic(fake)))
    penalty = losses.gradient_penalty(task.critic, real)
    assert penalty > 1e-5
    close(make_one_shot(studio, files, r1_gamma=3e3).critic_loss(scene(studio)) - without, 1.5e3 * penalty)


@pytest.mark.parametrize(("patch", "side"), [(0.25, 4), (0.5, 8), (1.0, 16), (0.01, 4)])
def test_a_patch_is_a_fraction_of_the_picture_and_at_least_4_px(
    studio: Studio, files: dict[str, Path], patch: float, side: int
) -> None:
    assert make_one_shot(studio, files, patch=patch).side == side


# --- image_folder -----------------------------------------------------------------------------------------------------


def make_folder(studio: Studio, files: dict[str, Path], **changes: Any) -> image_folder.ImageFolder:
    settings = {"augment": "", "lambda_content": 0.0, "r1_every": 8, "r1_gamma": 0.0} | changes
    torch.manual_seed(0)
    return image_folder.ImageFolder(image_folder.Arguments(str(files["pictures"]), **settings), studio)


def test_image_folders_content_counts_by_its_weight(studio: Studio, files: dict[str, Path]) -> None:
    shown, task = scene(studio), make_folder(studio, files)
    close(task.loss(shown), losses.generator_loss(task.judge(shown.images)))
    content = nada.unlikeness(shown.images, shown.before).mean()
    close(make_folder(studio, files, lambda_content=0.7).loss(scene(studio)) - task.loss(scene(studio)), 0.7 * content)


def test_image_folders_r1_is_lazy_and_counts_for_the_steps_between(studio: Studio, files: dict[str, Path]) -> None:
    without, with_r1 = make_folder(studio, files), make_folder(studio, files, r1_gamma=3.0)
    real: list[Tensor] = []
    judge = without.judge
    without.judge = lambda images: real.append(images) or judge(images)  # type: ignore[method-assign]
    penalties = [
        (with_r1.critic_loss(scene(studio, step)) - without.critic_loss(scene(studio, step))).detach()
        for step in range(17)
    ]
    assert [step for step, penalty in enumerate(penalties) if penalty] == [0, 8, 16]
    expected = losses.gradient_penalty(judge, real[0])
    assert expected > 1e-4
    close(penalties[8], 3.0 / 2 * 8 * expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nada.Arguments(target="x", lambda_smooth=-0.1),
        lambda: nada.Arguments(target="x", layers=-1),
        lambda: nada.Arguments(target="x", images="y"),
        lambda: nada.Arguments(),
        lambda: nada.Arguments(target="x", source=" "),
        lambda: image_folder.Arguments("x", r1_every=0),
        lambda: image_folder.Arguments("x", r1_gamma=-0.1),
        lambda: image_folder.Arguments("x", augment="colour"),
        lambda: mystyle.Arguments("x", lambda_near=-0.1),
        lambda: one_shot_clip.Arguments("x", patch=0.0),
        lambda: one_shot_clip.Arguments("x", patch=1.01),
        lambda: one_shot_clip.Arguments("x", lambda_patch=-0.1),
    ],
)
def test_arguments_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(ExpansionError):
        make()


# --- The trainer's path length ----------------------------------------------------------------------------------------


def test_path_length_counts_by_its_weight_and_for_the_steps_between(trainer: Trainer) -> None:
    """And its mean follows by a hundredth a step."""
    config, gradients, means = trainer.config, [], []
    for weight, every, before in ((2.0, 1, 0.0), (0.5, 4, 0.0), (1.0, 1, 0.0), (1.0, 1, 1.0)):
        trainer.config, trainer.path_mean = replace(config, path_weight=weight, path_every=every), torch.tensor(before)
        gradient, mean = trainer.path_gradient(trainer.sample(trainer.shares[0]))
        gradients.append(torch.cat([g.flatten() for g in gradient if g is not None]))
        means.append(float(mean))
    trainer.config, trainer.path_mean = config, torch.zeros(())
    assert gradients[0].norm() > 0
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(2 * gradients[2], gradients[0])
    assert means[3] - means[2] == pytest.approx(0.99, abs=1e-5)

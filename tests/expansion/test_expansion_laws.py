"""Laws of one step of expansion: what is replayed, at which codes, with which noise, and what stays untouched."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import stylegan2
from tiny_expansion import NADA, SETTINGS, config, differences, fixtures, train, trainer_of, write_source

from explorer.expansion.batch import Noise
from explorer.expansion.config import ExpansionError, config_from
from explorer.expansion.plan import make_plan
from explorer.expansion.run import export
from explorer.latents import Expansion, factorize, project
from explorer.training.draws import Draws
from explorer.weights import load

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return fixtures(tmp_path_factory.mktemp("files"))


def figures_of_first_step(trainer: Any) -> dict[str, torch.Tensor]:
    return trainer.gradients(trainer.shares[0])[2]


def test_replay_compares_pictures_of_the_same_noise(files: dict[str, Path], tmp_path: Path) -> None:
    """Before the first step both generators are equal, so only different noise could make a difference."""
    trainer = trainer_of(files["source"], config(files["clip"], lambda_lpips=10.0), tmp_path)
    assert figures_of_first_step(trainer)["replay"] < 1e-9
    ws = trainer.source.draw(torch.randn(4, 12))
    noise = Noise(Draws(0, 0, 8, torch.arange(8)))
    rows = torch.arange(4)
    a, b = (trainer.source.synthesize(ws, "random", noise.of(rows)) for _ in range(2))
    c = trainer.source.synthesize(ws, "random", noise.of(rows + 4))
    assert torch.equal(a, b)
    assert not torch.allclose(a, c, atol=1e-3), "another sample has other noise"


def test_tasks_see_pictures_as_files_hold_them(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(files["source"], config(files["clip"]), tmp_path)
    for generator in (trainer.G, trainer.source):
        generator.get_parameter("synthesis.b16.torgb.bias").data += 2  # far too bright
    task, seen = trainer.task(0), []
    loss = task.loss
    monkeypatch.setattr(task, "loss", lambda shown: seen.append(shown) or loss(shown))
    figures_of_first_step(trainer)
    for images in (seen[0].images, seen[0].before):
        assert images.max() == 1
        assert images.min() >= -1


@pytest.mark.parametrize("resolution", [8, 32])
def test_any_number_of_rows_is_expanded(files: dict[str, Path], tmp_path: Path, resolution: int) -> None:
    source = write_source(tmp_path / "source.safetensors", resolution)
    train(source, config(files["clip"], steps=2), tmp_path / "run")
    expanded = load(tmp_path / "run" / "network.safetensors")
    assert expanded.generator.num_ws == load(source).generator.num_ws
    assert expanded.expansion is not None
    assert expanded.expansion.domains == ("sketch",)


def test_codes_of_w_plus_keep_their_differences(files: dict[str, Path], tmp_path: Path) -> None:
    """Equation 3 row by row: projected to the base, then moved along the own direction of each sample's domain."""
    two = [{"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon"}]
    trainer = trainer_of(files["source"], config(files["clip"], *two), tmp_path)
    ws = torch.randn(3, 6, 24)
    kept = ws.clone()
    base, moved = trainer.codes(ws, torch.tensor([0, 1, 0]))
    assert torch.equal(ws, kept), "arguments stay as they are"
    basis, w_avg = trainer.expansion.basis, trainer.expansion.mean
    a, b = trainer.expansion.dim("a"), trainer.expansion.dim("b")
    coordinates = (ws - w_avg) @ basis
    coordinates[..., [a, b]] = 0
    torch.testing.assert_close(base, coordinates @ basis.t() + w_avg, rtol=1e-4, atol=1e-5)
    own = basis[:, [a, b, a]].t()[:, None]
    torch.testing.assert_close(moved - base, (3.0 * own).expand_as(ws), rtol=1e-4, atol=1e-5)


def test_only_the_synthesis_network_learns_and_the_source_stays(files: dict[str, Path], tmp_path: Path) -> None:
    trainer = trainer_of(files["source"], config(files["clip"]), tmp_path)
    source, mapping = copy.deepcopy(trainer.source), copy.deepcopy(stylegan2(trainer.G).mapping)
    expansion = copy.deepcopy(trainer.expansion)
    for _ in range(3):
        trainer.train_step()
    assert differences(source.state_dict(), trainer.source.state_dict()) == []
    assert differences(mapping.state_dict(), stylegan2(trainer.G).mapping.state_dict()) == []
    assert torch.equal(expansion.basis, trainer.expansion.basis)
    weights = zip(source.learnable().items(), trainer.G.learnable().values(), strict=True)
    still = {name for (name, before), now in weights if torch.equal(before, now)}
    assert not still


def test_parts_of_a_batch_add_up_to_the_whole(files: dict[str, Path], tmp_path: Path) -> None:
    """Every loss is a mean over samples, so gradients of parts average to that of the batch."""
    domains = [{"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon"}]
    found = []
    for parts in (1, 2):
        settings = config(files["clip"], *domains, accumulate=parts, steps=2, path_weight=0.0)
        found.append(train(files["source"], settings, tmp_path / str(parts)))
    for name, value in found[0]["generator"].items():
        torch.testing.assert_close(found[1]["generator"][name], value, rtol=1e-3, atol=2e-4, msg=name)


def test_plain_adaptation_shows_the_codes_as_they_are(files: dict[str, Path], tmp_path: Path) -> None:
    trainer = trainer_of(files["plain"], config(files["clip"], plain=True), tmp_path)
    ws = torch.randn(3, 6, 24)
    base, moved = trainer.codes(ws, torch.zeros(3, dtype=torch.int64))
    assert torch.equal(base, ws)
    assert torch.equal(moved, ws)
    figures = figures_of_first_step(trainer)
    assert figures.keys() == {"sketch"}, "no replay, no GAN loss of the source"


def test_directions_are_the_least_effective_free_ones_or_those_asked_for(files: dict[str, Path]) -> None:
    basis, w_avg = torch.eye(24), torch.zeros(24)
    three: list[dict[str, Any]] = [{"name": name, **NADA} for name in "abc"]
    plan = make_plan(config(files["clip"], *three), basis, w_avg, None)
    assert plan.expansion.dims == (23, 22, 21)
    three[1]["dim"] = 23
    assert make_plan(config(files["clip"], *three), basis, w_avg, None).expansion.dims == (22, 23, 21)
    old = Expansion(basis, (23, 5), 7.0, ("x", "y"), w_avg)
    settings = config(files["clip"], {"name": "a", **NADA}, {"name": "y", **NADA}, distance=0.0, replace=["y"])
    plan = make_plan(settings, basis, w_avg, old)
    assert plan.expansion.domains == ("x", "a", "y")
    assert plan.expansion.dims == (23, 22, 5)
    assert plan.expansion.distance == 7.0
    assert (plan.kept, plan.new) == (("x",), ("a", "y"))


def test_distance_follows_the_width_of_w(files: dict[str, Path]) -> None:
    for width, distance in ((512, 20.0), (128, 10.0)):
        plan = make_plan(config(files["clip"], distance=0.0), torch.eye(width), torch.zeros(width), None)
        assert plan.expansion.distance == distance


def test_gradual_expansion_keeps_basis_domains_distance_and_the_original(
    files: dict[str, Path], tmp_path: Path
) -> None:
    train(files["source"], config(files["clip"], steps=6, lr=0.01), tmp_path / "one")
    came_in = load(tmp_path / "one" / "network.safetensors")
    assert came_in.expansion is not None
    second = config(files["clip"], {"name": "neon", **NADA, "target": "neon"}, distance=0.0)
    trainer = trainer_of(tmp_path / "one" / "network.safetensors", second, tmp_path / "two")
    assert torch.equal(trainer.expansion.basis, came_in.expansion.basis)
    assert trainer.expansion.domains == ("sketch", "neon")
    assert trainer.expansion.dims == (23, 22)
    assert trainer.expansion.distance == came_in.expansion.distance
    assert not torch.allclose(factorize(came_in.generator), came_in.expansion.basis), "its own basis is another one"
    original = load(files["source"]).generator
    assert differences(original.state_dict(), trainer.source.state_dict()) == []
    assert trainer.teacher is not None
    assert differences(came_in.generator.state_dict(), trainer.teacher.state_dict()) == []
    assert figures_of_first_step(trainer)["kept domains"] < 2e-3, (
        "the student is the teacher, but for the new direction"
    )
    assert trainer.D is not None, "the discriminator comes along"
    export(tmp_path / "two", trainer)
    learned = load(tmp_path / "two" / "network.safetensors").meta["learned"]
    assert [(entry["name"], entry["arguments"]["target"]) for entry in learned] == [
        ("sketch", NADA["target"]),
        ("neon", "neon"),
    ]


def test_replay_holds_kept_domains_where_they_were(files: dict[str, Path], tmp_path: Path) -> None:
    """One that drifted, while the base did not, is brought back: replaying the base alone would not see it."""
    train(files["source"], config(files["clip"], steps=4), tmp_path / "one")
    new = {"name": "neon", **NADA, "target": "neon"}
    changes = {"lambda_expand": 0.0, "lambda_src": 0.0, "lambda_l2": 30.0, "path_weight": 0.0, "anneal": 0.0}
    settings = config(files["clip"], new, distance=0.0, lr=0.003, **changes)
    trainer = trainer_of(tmp_path / "one" / "network.safetensors", settings, tmp_path / "two")
    expansion, teacher = trainer.expansion, trainer.teacher
    kept = expansion.basis[:, expansion.dim("sketch")]
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in trainer.G.style_layers():
            moved = 0.3 * torch.randn(len(layer.weight))
            layer.weight.add_(moved[:, None] * kept)
            layer.bias.sub_(layer.weight_gain / layer.bias_gain * moved * (kept @ expansion.mean))

    @torch.no_grad()
    def drift() -> float:
        ws = trainer.source.draw(torch.randn(16, 12, generator=torch.Generator().manual_seed(3)))
        old = project(ws, expansion) + expansion.distance * kept
        assert teacher is not None
        return float((trainer.G.synthesize(old) - teacher.synthesize(old)).abs().mean())

    before = drift()
    figures = trainer.train_step()
    assert figures["kept domains"] > 10 * figures["replay"]
    for _ in range(30):
        trainer.train_step()
    assert drift() < 0.6 * before


def test_a_removed_domain_leaves_its_direction_free(files: dict[str, Path], tmp_path: Path) -> None:
    two = [{"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon"}]
    train(files["source"], config(files["clip"], *two, steps=2), tmp_path / "one")
    removal = config_from({"clip": [str(files["clip"])], "remove": ["a"], "steps": 2, "precision": "fp32", "batch": 8})
    train(tmp_path / "one" / "network.safetensors", removal, tmp_path / "two")
    expansion = load(tmp_path / "two" / "network.safetensors").expansion
    assert expansion is not None
    assert (expansion.domains, expansion.dims) == (("b",), (22,))


def test_the_teacher_does_not_see_what_a_removed_domain_left_behind(files: dict[str, Path], tmp_path: Path) -> None:
    two = [{"name": "a", **NADA}, {"name": "b", **NADA, "target": "neon"}]
    train(files["source"], config(files["clip"], *two, steps=1), tmp_path / "one")
    removal = config_from(SETTINGS | {"clip": [str(files["clip"])], "remove": ["a"]})
    trainer = trainer_of(tmp_path / "one" / "network.safetensors", removal, tmp_path / "two")
    ws = torch.randn(3, 6, 24)
    base = trainer.codes(ws, torch.zeros(3, dtype=torch.int64))[0]
    draws = Draws(0, 0, 3, torch.arange(3))
    student, teacher = trainer.kept_codes(base, draws, torch.arange(3))
    given_up = trainer.expansion.basis[:, 23]
    torch.testing.assert_close((teacher - trainer.expansion.mean) @ given_up, torch.zeros(3, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(student @ given_up, ws @ given_up, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_gradients_of_16_bits_point_where_those_of_32_do(
    files: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    found = []
    for name in ("fp32", precision):
        trainer = trainer_of(files["source"], config(files["clip"], precision=name), tmp_path / name)
        mine, theirs, _ = trainer.gradients(trainer.shares[0])
        found.append([torch.cat([g.flatten() for g in group if g is not None]) for group in (mine, theirs)])
    for exact, rough in zip(*found, strict=True):
        assert rough.dtype == torch.float32
        assert torch.cosine_similarity(exact, rough, dim=0) > 0.98
        torch.testing.assert_close(rough.norm(), exact.norm(), rtol=0.05, atol=0)


def test_warming_up_moves_the_domain_and_nothing_of_the_base(files: dict[str, Path], tmp_path: Path) -> None:
    """Codes of the base have w_avg's component along the new direction: without the biases' part they would move."""
    settings = config(files["clip"], steps=8, warmup=5, warmup_lr=0.05)
    trainer = trainer_of(files["source"], settings, tmp_path)
    ws = trainer.source.draw(torch.randn(4, trainer.source.codes.z_dim))
    base, moved = trainer.codes(ws, torch.zeros(4, dtype=torch.int64))
    with torch.no_grad():
        before = trainer.source.synthesize(base)
        for _ in range(5):
            with torch.enable_grad():
                figures = trainer.train_step()
            assert "replay" not in figures
        torch.testing.assert_close(trainer.G.synthesize(base), before, rtol=1e-4, atol=1e-4)
        assert (trainer.G.synthesize(moved) - before).abs().mean() > 0.02
    assert not trainer.warming
    assert "replay" in trainer.train_step()


def test_a_grown_generator_learns_in_new_channels_alone(files: dict[str, Path], tmp_path: Path) -> None:
    settings = config(files["clip"], steps=5, grow=0.5, warmup_lr=0.05, lambda_src=0.0)
    trainer = trainer_of(files["source"], settings, tmp_path)
    ws = trainer.source.draw(torch.randn(4, trainer.source.codes.z_dim))
    base, moved = trainer.codes(ws, torch.zeros(4, dtype=torch.int64))
    started = {name: weight.detach().clone() for name, weight in trainer.G.learnable().items()}
    with torch.no_grad():
        before = trainer.source.synthesize(base)
        for _ in range(5):
            with torch.enable_grad():
                assert "replay" not in trainer.train_step()
        torch.testing.assert_close(trainer.G.synthesize(base), before, rtol=1e-4, atol=1e-4)
        assert (trainer.G.synthesize(moved) - before).abs().mean() > 0.02
    learned = [name for name, weight in trainer.G.learnable().items() if not torch.equal(weight, started[name])]
    assert any(name.endswith("conv1.weight") for name in learned)


def test_a_large_generator_warms_up_on_small_pictures_and_is_shown_whole_afterwards(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(files["clip"], steps=8, warmup=2, warmup_lr=0.05, warmup_side=8)
    trainer = trainer_of(files["source"], settings, tmp_path / "asked")
    sides: list[int] = []
    monkeypatch.setattr(trainer, "shown", lambda batch, pictures: sides.append(pictures.moved.shape[-1]) or {})
    for _ in range(3):
        batch = trainer.sample(trainer.shares[0])
        trainer.shown(batch, trainer.render(batch))
        trainer.step += 1
    assert sides == [8, 8, 16]
    monkeypatch.undo()
    trainer.step = 0
    high = [name for name in trainer.G.learnable() if ".b16." in name]
    before = {name: value.clone() for name, value in trainer.G.learnable().items()}
    trainer.train_step()
    changed = {name for name, value in trainer.G.learnable().items() if not torch.equal(value, before[name])}
    assert changed
    assert not changed & set(high), "what is finer than the small pictures cannot be learned from them"

    with pytest.raises(ExpansionError, match="4, 8, 16, got 5"):
        trainer_of(files["source"], replace(settings, warmup_side=5), tmp_path / "odd")
    assert trainer_of(files["source"], replace(settings, warmup_side=0), tmp_path / "small").side is None
    monkeypatch.setattr("explorer.expansion.trainer.LARGE", 16)
    monkeypatch.setattr("explorer.expansion.trainer.WARM_SIDE", 4)
    assert trainer_of(files["source"], replace(settings, warmup_side=0), tmp_path / "large").side == 4
    blind = config(
        files["clip"], {"name": "kind", "type": "image_folder", "folder": str(files["pictures"])}, warmup=2, steps=4
    )
    assert trainer_of(files["source"], blind, tmp_path / "blind").side is None
    with pytest.raises(ExpansionError, match="whole pictures"):
        trainer_of(files["source"], replace(blind, warmup_side=8), tmp_path / "refused")

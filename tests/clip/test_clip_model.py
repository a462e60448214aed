"""Laws of the model: pictures of any size, gradients, prompts; and of its file: exact, and closed to hostile ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from explorer.networks.clip import ClipConfig, build_clip
from explorer.weights.checkpoint import CheckpointError
from explorer.weights.clip import TEACHERS, load_clip, read_clip, save_clip
from tests.clip.tiny_clip import CONVOLUTIONAL, TRANSFORMER, make_clip

TOWERS = pytest.mark.parametrize("config", [CONVOLUTIONAL, TRANSFORMER], ids=["convolutional", "transformer"])


@TOWERS
def test_pictures_of_any_size_become_unit_vectors_with_a_gradient(config: ClipConfig) -> None:
    clip = make_clip(config)
    for size in ((32, 32), (64, 64), (17, 40), (90, 33)):
        images = (torch.rand(2, 3, *size) * 2 - 1).requires_grad_()
        vectors = clip.encode_image(images)
        assert vectors.shape == (2, 32)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
        (gradient,) = torch.autograd.grad(vectors[:, 0].sum(), images)
        assert gradient.isfinite().all()
        assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_preprocessing_is_the_published_normalisation_where_nothing_is_resized() -> None:
    clip, images = make_clip(), torch.rand(2, 3, 32, 32) * 2 - 1
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    expected = ((images + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(clip.preprocess(images), expected)
    with pytest.raises(ValueError, match="must be"):
        clip.encode_image(images[:, :1])


def test_prompts_are_averaged_and_scores_are_probabilities() -> None:
    clip = make_clip()
    directions = clip.encode_prompts([["a cat", "a photo of a cat"], ["a dog"]])
    both = clip.encode_text(["a cat", "a photo of a cat"]).mean(0)
    torch.testing.assert_close(directions[0], both / both.norm())
    torch.testing.assert_close(directions[1], clip.encode_text(["a dog"])[0])
    scores = clip.scores(torch.rand(3, 3, 32, 32) * 2 - 1, directions)
    torch.testing.assert_close(scores.sum(1), torch.ones(3))
    with pytest.raises(ValueError, match="prompt is empty"):
        clip.encode_text(["a cat", "  "])


@TOWERS
def test_features_are_maps_of_several_layers(config: ClipConfig) -> None:
    features = make_clip(config).features(torch.rand(2, 3, 64, 64))
    assert all(f.ndim == 4 and len(f) == 2 for f in features)
    assert len(features) == (5 if config.convolutional else 1)


@TOWERS
def test_a_file_read_and_written_again_holds_the_same_model(config: ClipConfig, tmp_path: Path) -> None:
    clip = make_clip(config)
    first, meta = read_clip(save_clip(clip, tmp_path / "a.safetensors", {"steps": 3}))
    second, _ = read_clip(save_clip(first, tmp_path / "b.safetensors", {}))
    assert meta == {"name": "tiny", "steps": 3}
    assert first.config == config
    for name, value in clip.model.state_dict().items():
        stored = value.half().float() if value.ndim > 1 else value
        if value.is_floating_point():
            assert torch.equal(first.model.state_dict()[name], stored), name
            assert torch.equal(second.model.state_dict()[name], stored), name
    images = torch.rand(2, 3, 48, 48) * 2 - 1
    assert torch.equal(first.encode_image(images), second.encode_image(images))


def hostile(clip: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
    config = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "embed_dim": 32, "context_length": 16}
    config |= {"text_width": 16, "text_layers": 1, **(clip or {})}
    metadata = {"format": "domain-explorer-clip", "version": "1", "clip": json.dumps(config), "meta": '{"name": "x"}'}
    return metadata | changes


BAD = {
    "another format": hostile(format="domain-explorer"),
    "a newer version": hostile(version="2"),
    "no JSON": hostile(clip={}) | {"clip": "{"},
    "nested without end": hostile() | {"clip": "[" * 100_000},
    "an unknown setting": hostile({"hf_model_name": "someone/else"}),
    "a text for a number": hostile({"width": "8"}),
    "a huge width": hostile({"width": 2**30}),
    "endless layers": hostile({"layers": [10**6] * 4}),
    "a bool for a number": hostile({"text_layers": True}),
    "another width": hostile({"width": 16}),
    "another size": hostile({"image_size": 64}),
    "no name": hostile(meta="{}"),
}


@pytest.mark.parametrize("kind", BAD)
def test_hostile_metadata_is_refused(kind: str, tmp_path: Path) -> None:
    tensors = load_file(save_clip(make_clip(), tmp_path / "good.safetensors", {}))
    save_file(tensors, tmp_path / "bad.safetensors", BAD[kind])
    with pytest.raises(CheckpointError, match=r"bad\.safetensors"):
        read_clip(tmp_path / "bad.safetensors")


def test_damaged_tensors_are_refused(tmp_path: Path) -> None:
    path = save_clip(make_clip(), tmp_path / "good.safetensors", {})
    tensors, metadata = load_file(path), hostile()
    changes = {
        "missing": {"clip.logit_scale": None},
        "NaN": {"clip.logit_scale": torch.tensor(math.nan)},
        "unknown": {"clip.extra": torch.zeros(1)},
        "shape": {"clip.visual.conv1.weight": torch.zeros(4, 3, 5, 5)},
    }
    for kind, change in changes.items():
        kept = {name: value for name, value in (tensors | change).items() if value is not None}
        save_file(kept, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(CheckpointError, match=kind):
            read_clip(tmp_path / "bad.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:5000])
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("cut", "text", "absent"):
        with pytest.raises(CheckpointError, match=name):
            read_clip(tmp_path / f"{name}.safetensors")


def test_models_of_other_makers_need_a_known_name_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model of open_clip"):
        load_clip(f"ViT-Z-99={tmp_path}/weights.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        load_clip(f"ViT-B-32={tmp_path}/weights.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_clip("no such thing")


def test_a_model_of_open_clips_list_loads_from_its_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from open_clip import factory

    small = {"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 6, "width": 64, "patch_size": 16}}
    small["text_cfg"] = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-6", small)
    made: Any = factory.create_model("tiny-6")
    torch.save(made.state_dict(), tmp_path / "weights.pt")
    clip = load_clip(f"tiny-6={tmp_path}/weights.pt")
    assert (clip.name, clip.image_size, clip.config) == ("tiny-6", 32, None)
    assert len(clip.features(torch.rand(1, 3, 64, 64))) == 5
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    expected = made.eval().encode_image(clip.preprocess(images), normalize=True)
    torch.testing.assert_close(clip.encode_image(images), expected, rtol=1e-4, atol=1e-5)
    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(CheckpointError):
        load_clip(f"tiny-6={tmp_path}/trap.pt")
    assert not Trap.sprung
    with pytest.raises(ValueError, match="not made here"):
        save_clip(clip, tmp_path / "no.safetensors", {})


class Trap:
    """An object whose unpickling would run a function."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def test_the_shapes_own_errors_are_words() -> None:
    changes: list[dict[str, Any]] = [{"image_size": 48}, {"layers": (1, 2)}, {"text_heads": 3}, {"width": 7}]
    for bad in changes:
        with pytest.raises(ValueError, match=r"must|multiples"):
            ClipConfig(**bad)
    assert build_clip(TRANSFORMER, "x").image_size == 32


def test_the_shipped_towers_are_of_different_kinds_and_see_pictures_of_one_size() -> None:
    first, second = (load_clip(name) for name in TEACHERS)
    assert (first.name, second.name) == TEACHERS
    assert first.image_size == second.image_size == 64
    assert first.config
    assert second.config
    assert (first.config.convolutional, second.config.convolutional) == (True, False)

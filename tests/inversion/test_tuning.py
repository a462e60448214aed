"""Pivotal tuning: a copy changes, a small file keeps the change, and it fits one generator only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from generators import make_generator, stylegan2
from tiny_networks import make_networks, samples

from explorer.inversion import InversionError, Settings
from explorer.inversion.tuning import apply_delta, save_delta, tune
from explorer.weights import CheckpointError


def test_tuning_brings_the_pivot_to_the_photo_and_leaves_the_source(tmp_path: Path) -> None:
    networks = make_networks(None)
    photo, pivot = samples(networks, 1, seed=3), networks.mean.expand(1, 6, -1)
    source = networks.generator
    before = {name: value.clone() for name, value in source.state_dict().items()}
    states = list(tune(networks, photo, pivot, Settings(tune_steps=15)))
    assert [state.step for state in states] == list(range(16))
    assert states[-1].losses["total"] < 0.9 * states[0].losses["total"]
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert not any(p.requires_grad for p in source.parameters())
    tuned = states[-1].generator
    rgb = [name for name in before if "torgb" in name]
    assert rgb
    assert all(torch.equal(tuned.state_dict()[name], before[name]) for name in rgb)
    assert all(
        torch.equal(a, b)
        for a, b in zip(stylegan2(tuned).mapping.parameters(), stylegan2(source).mapping.parameters(), strict=True)
    )

    file = save_delta(tuned, source, tmp_path / "deltas", pivot)
    again = apply_delta(source, file)
    with torch.no_grad():
        assert torch.allclose(again.synthesize(pivot), tuned.synthesize(pivot), atol=2e-3)
        assert not torch.allclose(again.synthesize(pivot), source.synthesize(pivot), atol=2e-3)
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert save_delta(tuned, source, tmp_path / "deltas", pivot) == file

    with pytest.raises(CheckpointError, match="another generator"):
        apply_delta(make_generator(seed=1), file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        apply_delta(source, file)
    with pytest.raises(CheckpointError, match="cannot be read"):
        apply_delta(source, tmp_path / "none.safetensors")
    with pytest.raises(InversionError, match="weight"):
        next(tune(networks, photo, pivot, Settings(tune_steps=1, lambda_pixel=0.0, lambda_lpips=0.0)))

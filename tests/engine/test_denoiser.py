"""Fast pictures of a diffusion autoencoder are the plain network's: every kind, number format, mode and batch."""

from __future__ import annotations

import pytest
import torch
from generators import make_diffae
from torch import Tensor

from explorer.engine import denoiser
from explorer.engine.denoiser import Denoiser
from explorer.networks import DiffAE

KINDS = {
    "published": {},
    "flow on patches": {"predicts": "v", "patch": 2, "net_ch_mult": (1, 2), "enc_ch_mult": (1, 2), "attention": (4,)},
    "heads": {"heads": 2, "net_ch_mult": (1, 2, 3)},
    "wide": {"net_ch": 48, "res_blocks": 2, "attention": (16, 8)},
    "very wide": {"net_ch": 96, "net_ch_mult": (1,), "enc_ch_mult": (1, 2)},  # by Winograd's convolution, on a CPU
    "odd embedding": {"net_ch": 9, "embed_dim": 15, "z_dim": 7},
}


@pytest.fixture(scope="module", params=KINDS)
def generator(request: pytest.FixtureRequest) -> DiffAE:
    return make_diffae(**KINDS[request.param])


def codes(generator: DiffAE, n: int, device: torch.device | None = None) -> Tensor:
    rng = torch.Generator().manual_seed(3)
    return torch.randn(n, 1, generator.config.z_dim, generator=rng).to(device or torch.device("cpu"))


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("n", [1, 3])
def test_fp32_is_exact(generator: DiffAE, device: torch.device, n: int) -> None:
    generator = generator.to(device)
    fast, u = Denoiser(generator, torch.float32), codes(generator, n, device)
    with torch.inference_mode():
        for steps in (None, 1, 5, 30):
            assert relative(fast(u, steps=steps), generator.synthesize(u, steps=steps)) < 1e-4
        noisy = generator.synthesize(u, "random", 5)
        assert relative(fast(u, "random", 5), noisy) < 1e-4
        assert relative(fast(u), noisy) > 0.01
    generator.to("cpu")


@pytest.mark.parametrize("n", [1, 3])
def test_one_evaluation_is_the_networks(generator: DiffAE, n: int) -> None:
    u, x = codes(generator, n), torch.randn(n, 3, 16, 16)
    exact = generator.predicting(u[:, 0])
    with torch.inference_mode():
        for t in (0, 950, 333):
            assert relative(Denoiser(generator, torch.float32).predicting(u[:, 0])(x, t), exact(x, t)) < 1e-5
            assert relative(Denoiser(generator, torch.bfloat16).predicting(u[:, 0])(x, t), exact(x, t)) < 6e-2


def test_times_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make_diffae()
    fast, u = Denoiser(generator, torch.float32), codes(generator, 1)
    with torch.inference_mode():
        expected = fast(u, steps=20)
        monkeypatch.setattr(denoiser, "KEPT_TIMES", 3)
        assert torch.equal(fast(u, steps=20), expected)
        assert torch.equal(fast(u, steps=8), Denoiser(generator, torch.float32)(u, steps=8))
        assert torch.equal(fast(u, steps=20), expected)


def test_pictures_of_a_batch_are_those_of_each_alone(generator: DiffAE) -> None:
    fast, u = Denoiser(generator, torch.float32), codes(generator, 3)
    with torch.inference_mode():
        together = fast(u)
        for one, code in zip(together, u, strict=True):
            assert relative(fast(code[None])[0], one) < 1e-4


def test_wide_layers_take_fewer_multiplications_on_a_cpu_in_float32() -> None:
    generator = make_diffae(**KINDS["very wide"])
    for dtype, wide in ((torch.float32, True), (torch.bfloat16, False)):
        block = Denoiser(generator, dtype).middle[0]
        assert isinstance(block, denoiser.Block)
        assert (block.conv.wide is not None) == wide

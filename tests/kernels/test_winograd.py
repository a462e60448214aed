"""Winograd's convolution is the convolution, to float32's own error."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from kernels import winograd


def test_the_maps_correlate_exactly() -> None:
    inputs, weights, result = winograd.matrices()
    for i, j in itertools.product(range(6), range(3)):  # bilinear: unit vectors say all
        d, g = torch.eye(6, dtype=torch.float64)[i], torch.eye(3, dtype=torch.float64)[j]
        expected = torch.stack([d[k : k + 3] @ g for k in range(4)])
        torch.testing.assert_close(result @ ((weights @ g) * (inputs @ d)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 7), (16, 18), (70, 33)])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_convolution(n: int, h: int, w: int, padding: int, layout: torch.memory_format) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n, 12, h, w, generator=rng).contiguous(memory_format=layout)
    weight = torch.randn(20, 12, 3, 3, generator=rng)
    scale, demod = torch.rand(n, 12, generator=rng) + 0.5, torch.rand(n, 20, generator=rng) + 0.5
    conv = winograd.Convolution(weight, padding)
    expected = F.conv2d(x.double(), weight.double(), padding=padding)
    most = 5e-6 * float(expected.abs().max())
    torch.testing.assert_close(conv(x).double(), expected, rtol=0, atol=most)
    scaled = F.conv2d((x * scale[:, :, None, None]).double(), weight.double(), padding=padding)
    found = conv(x, scale, demod)
    assert found.shape == scaled.shape
    torch.testing.assert_close(found.double(), scaled * demod[:, :, None, None], rtol=0, atol=2 * most)


def test_it_pays_for_wide_layers_on_a_cpu_in_float32() -> None:
    wide = torch.zeros(96, 96, 3, 3)
    assert winograd.pays(wide, 16)
    assert not winograd.pays(wide, 8)
    assert not winograd.pays(wide[:64], 64)
    assert not winograd.pays(wide[:, :64], 64)
    assert not winograd.pays(wide[:, :, :1, :1], 64)
    assert not winograd.pays(wide.to(torch.bfloat16), 64)

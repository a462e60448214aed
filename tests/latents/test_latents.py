"""Laws of projection, composition, basis, movement and dormancy, on W and on W+."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from generators import make_generator
from torch import Tensor

from explorer import latents
from explorer.latents import Expansion
from explorer.latents.basis import style_weights
from explorer.networks import StyleGAN2

W_DIM, NUM_WS = 24, 6


@pytest.fixture(scope="module")
def expansion() -> Expansion:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(W_DIM, W_DIM, dtype=torch.float64)).Q
    return Expansion(basis, (23, 20, 21), 5.0, ("sketch", "bronze", "neon"), torch.randn(W_DIM, dtype=torch.float64))


@pytest.fixture(scope="module", params=[(7, W_DIM), (3, NUM_WS, W_DIM), (W_DIM,)], ids=["W", "W+", "one"])
def w(request: pytest.FixtureRequest) -> Tensor:
    return torch.randn(*request.param, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def coordinates(w: Tensor, e: Expansion) -> Tensor:
    return (w - e.mean) @ e.basis


def base_columns(e: Expansion) -> list[int]:
    return [d for d in range(W_DIM) if d not in e.dims]


def test_projection_is_idempotent(w: Tensor, expansion: Expansion) -> None:
    once = latents.project(w, expansion)
    torch.testing.assert_close(latents.project(once, expansion), once)


def test_projection_removes_repurposed_coordinates_and_keeps_base_ones(w: Tensor, expansion: Expansion) -> None:
    before, after = coordinates(w, expansion), coordinates(latents.project(w, expansion), expansion)
    columns = base_columns(expansion)
    torch.testing.assert_close(after[..., columns], before[..., columns])
    torch.testing.assert_close(after[..., list(expansion.dims)], torch.zeros_like(after[..., list(expansion.dims)]))


def test_projection_is_orthogonal(w: Tensor, expansion: Expansion) -> None:
    p = latents.project(w, expansion)
    removed, kept = w - p, p - expansion.mean
    torch.testing.assert_close((removed * kept).sum(-1), torch.zeros_like(removed[..., 0]), atol=1e-10, rtol=0)


def test_projection_matches_equation_3_literally(w: Tensor, expansion: Expansion) -> None:
    base = expansion.basis[:, base_columns(expansion)]
    literal = (w - expansion.mean) @ base @ base.t() + expansion.mean
    torch.testing.assert_close(latents.project(w, expansion), literal)


def test_strength_one_is_the_published_distance_along_its_column(w: Tensor, expansion: Expansion) -> None:
    moved = latents.compose(w, expansion, {"bronze": 1.0})
    expected = latents.project(w, expansion) + 5.0 * expansion.basis[:, 20]
    torch.testing.assert_close(moved, expected)


def test_composition_is_linear_in_strengths_and_blind_to_order(w: Tensor, expansion: Expansion) -> None:
    base = latents.project(w, expansion)
    one, two = (latents.compose(w, expansion, s) - base for s in ({"sketch": 0.5}, {"neon": -1.5}))
    both = latents.compose(w, expansion, {"neon": -1.5, "sketch": 0.5})
    torch.testing.assert_close(both - base, one + two)
    torch.testing.assert_close(both, latents.compose(w, expansion, {"sketch": 0.5, "neon": -1.5}))


def test_a_domain_has_a_name_and_a_number(w: Tensor, expansion: Expansion) -> None:
    by_name, by_number = (latents.compose(w, expansion, {key: 0.7}) for key in ("neon", 21))
    assert torch.equal(by_name, by_number)
    with pytest.raises(KeyError, match="sketch"):
        latents.compose(w, expansion, {"crayon": 1.0})
    with pytest.raises(KeyError):
        latents.compose(w, expansion, {0: 1.0})


def test_rows_of_w_plus_are_independent(expansion: Expansion) -> None:
    ws = torch.randn(2, NUM_WS, W_DIM, dtype=torch.float64)
    changed = ws.clone()
    changed[:, 3] += 1
    a, b = (latents.compose(x, expansion, {"sketch": 1.0}) for x in (ws, changed))
    others = [row for row in range(NUM_WS) if row != 3]
    assert torch.equal(a[:, others], b[:, others])
    assert not torch.equal(a[:, 3], b[:, 3])


def test_inputs_are_left_as_they_are(w: Tensor, expansion: Expansion) -> None:
    before = w.clone()
    latents.compose(w, expansion, {"sketch": 1.0})
    latents.project(w, expansion)
    assert torch.equal(w, before)


def test_an_expansion_that_cannot_be_is_refused() -> None:
    basis, w_avg = torch.eye(4), torch.zeros(4)
    for dims, names in [((4,), ("a",)), ((1, 1), ("a", "b")), ((1, 2), ("a", "a")), ((1,), ())]:
        with pytest.raises(ValueError, match=r"direction|domain"):
            Expansion(basis, dims, 1.0, names, w_avg)
    with pytest.raises(ValueError, match="basis"):
        Expansion(torch.eye(3), (), 1.0, (), w_avg)


@pytest.mark.parametrize("normalize_rows", [False, True])
def test_basis_is_orthonormal_and_sorted_by_effect_on_styles(tiny_generator: StyleGAN2, normalize_rows: bool) -> None:
    basis = latents.factorize(tiny_generator, normalize_rows)
    torch.testing.assert_close(basis.t() @ basis, torch.eye(tiny_generator.w_dim), atol=1e-5, rtol=0)
    weights = style_weights(tiny_generator)
    if normalize_rows:
        weights = weights / weights.norm(dim=1, keepdim=True)
    effect = (weights @ basis).norm(dim=0)
    assert (effect[:-1] >= effect[1:] - 1e-4).all()


@pytest.mark.parametrize("normalize_rows", [False, True])
def test_the_largest_entry_of_a_column_is_positive(tiny_generator: StyleGAN2, normalize_rows: bool) -> None:
    """Else a slider's sign would be the linear algebra library's choice."""
    basis = latents.factorize(tiny_generator, normalize_rows)
    assert (basis.amax(dim=0) > -basis.amin(dim=0)).all()
    assert basis.dtype == torch.float32


def test_scales_are_standard_deviations_along_the_columns() -> None:
    ws = torch.randn(50, W_DIM, dtype=torch.float64) * torch.arange(W_DIM)
    basis = torch.eye(W_DIM)[:, [3, 1]]
    torch.testing.assert_close(latents.direction_scales(ws, basis), ws.std(dim=0)[[3, 1]])


def test_sampled_codes_take_the_classes_in_turn() -> None:
    generator = make_generator(c_dim=3)
    ws = latents.sample_codes(generator, 5, seed=4, psi=0.5)
    z = latents.sample_z(5, generator.z_dim, 4)
    torch.testing.assert_close(ws, generator.draw(z, torch.tensor([0, 1, 2, 0, 1]), 0.5))
    torch.testing.assert_close(latents.sample_codes(generator, 5), latents.sample_codes(generator, 5, seed=0, psi=1.0))
    plain = make_generator()
    torch.testing.assert_close(latents.sample_codes(plain, 2, 4), plain.draw(z[:2]))


@pytest.mark.parametrize(("dim", "distance"), [(512, 20.0), (128, 10.0), (2048, 40.0)])
def test_the_published_distance_goes_with_the_root_of_the_width(dim: int, distance: float) -> None:
    assert latents.published_distance(dim) == distance


def test_style_weights_are_those_of_every_convolution_and_the_smallest_torgb(tiny_generator: StyleGAN2) -> None:
    channels = tiny_generator.config.channels
    expected = channels[0] * 2 + sum(a + b for a, b in pairwise(channels))
    assert style_weights(tiny_generator).shape == (expected, tiny_generator.w_dim)


def test_movement_touches_only_its_layers() -> None:
    ws, direction = torch.zeros(2, NUM_WS, W_DIM), torch.ones(W_DIM)
    moved = latents.move(ws, direction, 2.0, (1, 3))
    assert torch.equal(moved[:, 1:3], torch.full((2, 2, W_DIM), 2.0))
    assert not moved[:, [0, 3, 4, 5]].any()
    assert not ws.any()
    assert torch.equal(latents.move(ws, direction, 2.0), torch.full_like(ws, 2.0))


def test_interpolation_starts_and_ends_at_its_codes() -> None:
    a, b = torch.randn(2, NUM_WS, W_DIM)
    path = latents.interpolate(a, b, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(path, torch.stack([a, (a + b) / 2, b]))


def test_effect_is_zero_along_a_dormant_direction_and_grows_with_the_distance() -> None:
    """On a "generator" that shows the first half of w: the rest is dormant by construction, effects are exact."""

    def synthesize(ws: Tensor) -> Tensor:
        return ws[:, 0, : W_DIM // 2].reshape(len(ws), 3, 2, 2)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).flatten(1).norm(dim=1)

    ws = torch.randn(16, NUM_WS, W_DIM, generator=torch.Generator().manual_seed(2))
    near, far = (list(latents.measure_effects(synthesize, distance, ws, torch.eye(W_DIM), k)) for k in (1.0, 3.0))
    assert near[W_DIM // 2 :] == [0.0] * (W_DIM // 2)
    assert far[: W_DIM // 2] == pytest.approx([3 * effect for effect in near[: W_DIM // 2]])
    images = synthesize(ws)
    assert near[0] == pytest.approx(1 / distance(images, images.roll(1, dims=0)).mean().item())
    lengths = torch.tensor([3.0, 1.0])
    each = latents.measure_effects(synthesize, distance, ws, torch.eye(W_DIM)[:, :2], lengths)
    assert list(each) == pytest.approx([far[0], near[1]])
    assert len(list(latents.measure_effects(synthesize, distance, ws[:2], torch.eye(W_DIM), 1.0))) == W_DIM
    with pytest.raises(ValueError, match="two codes"):
        next(latents.measure_effects(synthesize, distance, ws[:1], torch.eye(W_DIM), 1.0))

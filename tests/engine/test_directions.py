"""What the sliders are: which columns they move, how far they go, and what their units mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from generators import make_generator

from explorer import Edit, EditError, latents
from explorer.engine.directions import Directions, directions_of
from explorer.latents import Expansion
from explorer.weights import Checkpoint

DIM = 70  # more columns than there are factors
DOMAINS = {"sketch": 69, "bronze": 3}


def make_checkpoint(expanded: bool) -> Checkpoint:
    generator = make_generator(w_dim=DIM)
    generator.mapping.w_avg.mul_(10)  # far from the origin, so that it matters what distances are measured from
    basis = latents.factorize(generator)
    expansion = Expansion(basis, tuple(DOMAINS.values()), 4.0, tuple(DOMAINS), generator.mapping.w_avg)
    return Checkpoint(generator, expansion=expansion if expanded else None)


@pytest.fixture(scope="module")
def expanded() -> Directions:
    return directions_of(make_checkpoint(True))


@pytest.fixture(scope="module")
def plain() -> Directions:
    return directions_of(make_checkpoint(False))


def test_domains_come_first_then_64_factors_then_what_is_dormant(expanded: Directions, plain: Directions) -> None:
    free = [dim for dim in range(DIM) if dim not in DOMAINS.values()]
    assert [d.id for d in expanded] == ["sketch", "bronze", *free]
    assert [d.dim for d in expanded] == [69, 3, *free]
    assert [d.group for d in expanded] == ["domains"] * 2 + ["factors"] * 64 + ["dormant"] * 4
    assert [d.group for d in plain] == ["factors"] * 64 + ["dormant"] * 6
    assert [d.id for d in plain] == list(range(DIM))
    assert [expanded[0].label, expanded[68].label, expanded["bronze"].label] == ["Factor 0", "Dormant 68", "bronze"]


def test_sliders_go_as_far_as_their_pictures_hold(expanded: Directions) -> None:
    ranges = {(d.group, d.low, d.high) for d in expanded}
    assert ranges == {("domains", -0.5, 1.5), ("factors", -4.0, 4.0), ("dormant", -1.5, 1.5)}


def test_one_unit_is_the_distance_or_for_factors_a_standard_deviation(expanded: Directions, plain: Directions) -> None:
    generator = make_checkpoint(False).generator
    w = latents.sample_codes(generator, 4096)[:, 0]
    spread = (w @ plain.basis).std(dim=0)
    assert [d.unit for d in plain][:64] == pytest.approx(spread[:64].tolist(), rel=1e-4)
    assert {d.unit for d in plain.entries[64:]} == {plain.distance}
    assert {d.unit for d in expanded if d.group != "factors"} == {4.0}


def test_the_distance_of_a_plain_generator_is_the_mean_one_of_codes_from_their_mean(
    expanded: Directions, plain: Directions
) -> None:
    generator = make_checkpoint(False).generator
    w = latents.sample_codes(generator, 4096)[:, 0]
    distance = (w - generator.mean).norm(dim=1).mean()
    assert plain.distance == pytest.approx(float(distance), rel=1e-4)
    assert abs(plain.distance - float(w.norm(dim=1).mean())) > 1
    assert expanded.distance == 4.0


def test_the_basis_is_the_expansions_or_that_of_the_weights(expanded: Directions, plain: Directions) -> None:
    generator = make_checkpoint(False).generator
    torch.testing.assert_close(plain.basis, latents.factorize(generator))
    rotated = make_checkpoint(True)
    assert rotated.expansion is not None
    rotated.expansion.basis.copy_(rotated.expansion.basis.roll(1, dims=1))
    assert torch.equal(directions_of(rotated).basis, rotated.expansion.basis)


def test_effects_are_those_of_the_columns(expanded: Directions) -> None:
    assert expanded.effects() == {}
    measured = expanded.with_effects([float(dim) for dim in range(DIM)])
    assert measured.effects() == {dim: float(dim) for dim in range(DIM)}
    assert measured["sketch"].effect == 69.0
    assert measured.basis is expanded.basis


def test_an_unknown_direction_is_told_what_there_is(expanded: Directions, plain: Directions) -> None:
    with pytest.raises(EditError, match="by number up to 69, and the domains 'sketch', 'bronze'"):
        expanded["crayon"]
    with pytest.raises(EditError, match="the domains none"):
        plain[70]
    assert Edit(strengths={0: 1}).moves()[0][0] == expanded[0].id


@pytest.mark.parametrize(
    ("noted", "about"),
    [
        ([{"name": "sketch", "about": "Grey skin"}], "Grey skin"),
        ([{"name": "bronze", "about": "Lines"}], ""),
        ([{"name": "sketch", "about": "two\nlines"}], ""),
        ([{"name": "sketch", "about": 3}, "damaged"], ""),
        ("damaged", ""),
    ],
)
def test_a_domain_is_told_of_as_its_file_does(noted: object, about: str) -> None:
    checkpoint = make_checkpoint(True)
    directions = directions_of(replace(checkpoint, meta={"learned": noted}))
    assert next(d.about for d in directions if d.id == "sketch") == about

"""Diffusion autoencoders' files give what the reference implementation gives."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import make_diffae
from samples import FIXTURES, reference, relative_error

from explorer.networks import DiffAE
from explorer.networks.diffusion import nearest_steps, strided_times
from explorer.weights import CheckpointError, load

FILES = {"diffae32.ckpt": "diffae32", "diffae16_latent.ckpt": "diffae16", "diffae32_groups.pt": "diffae32_groups"}


@pytest.fixture(params=FILES)
def found(request: pytest.FixtureRequest) -> tuple[DiffAE, dict[str, torch.Tensor]]:
    generator = load(FIXTURES / request.param).generator
    assert isinstance(generator, DiffAE)
    return generator, reference(FILES[request.param])


def test_encoder_and_network(found: tuple[DiffAE, dict[str, torch.Tensor]]) -> None:
    generator, expected = found
    z = generator.encode(expected["x0"])
    assert relative_error(z, expected["z"]) < 1e-5
    for time in (0, 37, 250, 500, 999):
        assert relative_error(generator.eps(expected["xT"], time, z), expected[f"eps_t{time}"]) < 1e-5
    mixed = generator.eps(expected["xT"], expected["t_mixed"], z)
    assert relative_error(mixed, expected["eps_mixed"]) < 1e-5


def test_pictures_and_the_way_back(found: tuple[DiffAE, dict[str, torch.Tensor]]) -> None:
    generator, expected = found
    for steps in (5, 10, 20):
        pictures = generator.decode(expected["z"], expected["xT"], steps=steps)
        assert relative_error(pictures, expected[f"ddim{steps}"]) < 1e-4
        noise = generator.invert(expected["x0"], expected["z"], steps=steps)
        assert relative_error(noise, expected[f"xT_inv{steps}"]) < 1e-4
    free = generator.decode(expected["z"], expected["xT"], steps=20, clamp=False)
    assert relative_error(free, expected["ddim20_noclip"]) < 1e-4
    rebuilt = generator.decode(expected["z"], expected["xT_inv20"], steps=20)
    assert relative_error(rebuilt, expected["recon20"]) < 1e-4


def test_styles_are_stacked_in_the_order_of_the_network(found: tuple[DiffAE, dict[str, torch.Tensor]]) -> None:
    generator, expected = found
    stacked = torch.cat([layer.weight for layer in generator.style_layers()])
    assert torch.equal(stacked, expected["stacked_cond_weight"])
    values = torch.linalg.svdvals(stacked.double())
    assert relative_error(values, expected["stacked_singular_values"]) < 1e-5


def test_random_codes() -> None:
    generator, expected = load(FIXTURES / "diffae16_latent.ckpt").generator, reference("diffae16_latent")
    assert isinstance(generator, DiffAE)
    noise = expected["latent_noise"]
    for time in (0, 321, 999):
        assert relative_error(generator.latent.eps(noise, time), expected[f"latent_eps_t{time}"]) < 1e-5
    for steps in (10, 20, 200):
        assert relative_error(generator.latent.sample(noise, steps=steps), expected[f"latent_z{steps}"]) < 1e-4
    codes = generator.draw(noise)
    assert relative_error(codes[:, 0], torch.nn.functional.silu(expected["latent_z20"])) < 1e-4


def test_attributes() -> None:
    generator, expected = load(FIXTURES / "diffae16_latent.ckpt").generator, reference("diffae16_cls")
    assert isinstance(generator, DiffAE)
    attributes = generator.attributes(FIXTURES / "diffae16_cls.ckpt")
    for index in (31, 15):
        moved = attributes.edit(expected["z"], index, float(expected[f"strength_attr{index}"]))
        assert relative_error(moved, expected[f"z_attr{index}"]) < 1e-5
        assert relative_error(generator.decode(moved, expected["xT"], steps=10), expected[f"img_attr{index}"]) < 1e-4
    with pytest.raises(ValueError, match="attributes 0 to 39, got 40"):
        attributes.edit(expected["z"], 40, 0.3)


def test_more_steps_come_nearer_to_the_photo() -> None:
    generator, expected = load(FIXTURES / "diffae32.ckpt").generator, reference("diffae32")
    assert isinstance(generator, DiffAE)
    photo, z = expected["x0"], expected["z"]
    rebuilt = [generator.decode(z, generator.invert(photo, z, steps=n), steps=n) for n in (5, 20, 50)]
    errors = [relative_error(picture, photo) for picture in rebuilt]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_numbers_of_steps_are_those_that_a_stride_gives() -> None:
    expected = reference("diffae32")
    for steps in (5, 10, 20, 250):
        assert list(strided_times(steps)) == expected[f"timesteps{steps}"].tolist()
    with pytest.raises(ValueError, match="300 steps do not divide the schedule; 334 do"):
        strided_times(300)
    assert nearest_steps(20) == 20


def bare(generator: DiffAE, **beside: Any) -> bytes:
    """A file as other programs save it."""
    apart = ("noise_const", "u_mean", "latent.mean", "latent.std")
    state = {name: value for name, value in generator.state_dict().items() if name not in apart}
    file = io.BytesIO()
    torch.save({"ema_model": state, **beside}, file)
    return file.getvalue()


def test_the_spread_of_codes_is_read_beside_the_file(tmp_path: Path) -> None:
    generator = make_diffae(latent_layers=0, attention=(16,))
    (tmp_path / "last.pt").write_bytes(bare(generator))
    alone = load(tmp_path / "last.pt")
    assert "codes_unknown" in alone.meta["source"]
    codes = torch.randn(100, 24) * 2 + 1
    torch.save({"conds": codes, "conds_mean": codes.mean(0), "conds_std": codes.std(0)}, tmp_path / "latent.pkl")
    found = load(tmp_path / "last.pt")
    assert isinstance(found.generator, DiffAE)
    assert "codes_unknown" not in found.meta["source"]
    torch.testing.assert_close(found.generator.latent.std, codes.std(0))
    torch.testing.assert_close(found.generator.mean, torch.nn.functional.silu(codes).mean(0))
    torch.save({"conds_mean": codes.mean(0)[:5], "conds_std": codes.std(0)[:5]}, tmp_path / "latent.pkl")
    with pytest.raises(CheckpointError, match=r"conds_mean must be 24 numbers, got \[5\]"):
        load(tmp_path / "last.pt")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"T": 500}, "its setting T is 500, only 1000 is known"),
        ({"beta_scheduler": "cosine"}, "only linear is known"),
        ({"img_size": 17}, "17 px cannot be halved"),
        ({"img_size": "wide"}, "how large its pictures are"),
        ({"net_beatgans_attn_head": 0}, "heads must be positive"),
    ],
)
def test_settings_of_another_kind_are_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(bare(make_diffae(attention=(16,)), hyper_parameters=settings))
    with pytest.raises(CheckpointError, match=words):
        load(tmp_path / "last.ckpt")


@pytest.mark.parametrize("missing", ["output_blocks.0.0.in_layers.2.weight", "encoder.out.3.weight", "out.2.bias"])
def test_incomplete_files_are_refused(missing: str, tmp_path: Path) -> None:
    state = make_diffae(attention=(16,)).state_dict()
    del state[missing]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"missing|whole levels"):
        load(tmp_path / "a.pt")


def test_a_file_without_attributes_says_so() -> None:
    generator = load(FIXTURES / "diffae16_latent.ckpt").generator
    assert isinstance(generator, DiffAE)
    with pytest.raises(CheckpointError, match="no classifier of attributes"):
        generator.attributes(FIXTURES / "diffae16_latent.ckpt")

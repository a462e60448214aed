"""Pickles as TensorFlow's StyleGAN2 wrote them, made of networks of ours: the importer's table, read backwards."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from generators import make_generator
from hostile import HUGE, Call, Raw, Ref, dump, encode, get, laughs

from explorer.networks import Discriminator, StyleGAN2

SETTINGS = {
    "resolution": "resolution a list of 2",
    "label_size": "label_size a list of 2",
    "architecture": "architecture a list of 2",
    "resample_kernel": "a row of numbers",
    "conv_clamp": "a number was expected",
    "mapping_lrmul": "a number was expected",
}
LAYERS = {"conv0": "Conv0_up", "conv1": "Conv1", "skip": "Skip", "torgb": "ToRGB"}
CRITIC_LAYERS = {
    "fromrgb": "FromRGB",
    "conv0": "Conv0",
    "conv1": "Conv1_down",
    "skip": "Skip",
    "conv": "Conv",
    "fc": "Dense0",
}
EMPTY_ARRAY = Call("numpy.core.multiarray._reconstruct", (Ref("numpy.ndarray"), (0,), b"b"))
Variables = dict[str, np.ndarray]


def array(value: Any) -> Raw:
    """A pickled array; one without axes is a numpy scalar, as TensorFlow's are."""
    value = np.asarray(value, dtype="<f4", order="C")
    dtype = Call("numpy.dtype", ("f4", False, True))
    if not value.ndim:
        return Raw(encode(Call("numpy.core.multiarray.scalar", (dtype, value.tobytes()))))
    return Raw(encode(EMPTY_ARRAY) + encode((1, value.shape, dtype, False, value.tobytes())) + b"b")


def network(name: str, variables: Any, settings: Any = None, components: Any = None, **state: Any) -> Raw:
    """A pickled `dnnlib.tflib` network."""
    if isinstance(variables, dict):
        variables = [(key, array(value)) for key, value in variables.items()]
    whole = {
        "version": 4,
        "name": name,
        "static_kwargs": settings or {},
        "components": components or {},
        "build_module_src": "raise SystemExit",
        "build_func_name": f"{name}_main",
        "variables": variables,
        **state,
    }
    return Raw(encode(Ref("dnnlib.tflib.network.Network")) + encode(()) + b"\x81" + encode(whole) + b"b")


def generator_variables(generator: StyleGAN2, lod: bool = False) -> dict[str, Variables]:
    """The variables of G itself, of its mapping and of its synthesis; with `lod` ToRGB is named as for one picture."""
    found: dict[str, Variables] = {"": {"lod": np.zeros(())}, "mapping": {}, "synthesis": {}}
    for name, tensor in generator.state_dict().items():
        part, _, rest = name.partition(".")
        value = tensor.numpy()
        if name == "mapping.w_avg":
            found[""]["dlatent_avg"] = value
        elif part == "mapping":
            layer, _, kind = rest.partition(".")
            label = "LabelConcat" if generator.config.label_concat else "LabelEmbed"
            found[part][f"{label if layer == 'embed' else layer.replace('fc', 'Dense')}/{kind}"] = value.T
        else:
            new, value = _synthesis(rest, value, generator.config.img_resolution, lod)
            found[part][new] = value
    return found


def _synthesis(name: str, value: np.ndarray, resolution: int, lod: bool) -> tuple[str, np.ndarray]:
    block, layer, *rest = name.split(".")
    side = int(block[1:])
    kind = "/".join(rest).replace("affine/", "mod_")
    if layer == "const":
        return "4x4/Const/const", value[None]
    if kind == "noise_const":
        last = 2 * (side.bit_length() - 1) - 4  # number of the map of the resolution's second convolution
        return f"noise{last - (layer == 'conv0')}", value[None, None]
    if kind == "mod_weight":
        value = value.T
    elif kind == "mod_bias":
        value = value - 1
    elif kind == "weight":
        value = value.transpose(2, 3, 1, 0)
        value = value[::-1, ::-1] if layer == "conv0" else value
    if layer == "torgb" and lod:
        return f"ToRGB_lod{(resolution // side).bit_length() - 1}/{kind}", value
    return f"{side}x{side}/{'Conv' if side == 4 and layer == 'conv1' else LAYERS[layer]}/{kind}", value


def critic_variables(critic: Discriminator, old: bool = False) -> Variables:
    """The variables of D; an `old` one embeds no labels."""
    found = {}
    for name, tensor in critic.state_dict().items():
        first, layer, *rest = name.split(".")
        value = tensor.numpy()
        value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        if match := re.fullmatch(r"mapping\.(embed|fc(\d+))\.(\w+)", name):
            if not old:
                found[f"{'LabelEmbed' if match[2] is None else f'Mapping{match[2]}'}/{match[3]}"] = value
        elif layer == "out":
            found[f"Output/{rest[0]}"] = value
        else:
            side = first[1:]
            found[f"{side}x{side}/{CRITIC_LAYERS[layer]}/{rest[0]}"] = value
    return found


def settings_of(generator: StyleGAN2) -> dict[str, Any]:
    config = generator.config
    return {
        "num_channels": config.img_channels,
        "resolution": config.img_resolution,
        "label_size": config.c_dim,
        "latent_size": config.z_dim,
        "dlatent_size": config.w_dim,
        "mapping_layers": config.mapping_layers,
        "architecture": config.architecture,
        "conv_clamp": config.conv_clamp,
        "mapping_lrmul": config.mapping_lr_multiplier,
        "resample_kernel": list(config.resample_filter),
    }


def tensorflow_generator(generator: StyleGAN2, name: str = "Gs", lod: bool = False, **changes: Any) -> Raw:
    """G or Gs; `changes` are of its settings, and of its `version`."""
    version = changes.pop("version", 5 if generator.c_dim and not generator.config.label_concat else 4)
    settings = settings_of(generator) | changes
    variables = generator_variables(generator, lod)
    parts = {
        part: network(f"G_{part}", variables[part], settings, version=version, build_func_name=f"G_{part}")
        for part in ("synthesis", "mapping")
    }
    return network(name, variables[""], settings, parts, version=version)


def tensorflow_file(generator: StyleGAN2, critic: Any = None, **options: Any) -> bytes:
    """(G, D, Gs). G has other weights than Gs."""
    plain = StyleGAN2(generator.config)
    plain.load_state_dict({name: 2 * value for name, value in generator.state_dict().items()})
    return dump(
        (tensorflow_generator(plain.requires_grad_(False), "G"), critic, tensorflow_generator(generator, **options))
    )


def shared_array(layers: int = 900, width: int = 512) -> bytes:
    """A file of 1 MB whose mapping layers are all the same array: a gigabyte as tensors of their own."""
    generator = make_generator(img_resolution=8, channels=(2, 2), z_dim=width, w_dim=width, mapping_layers=1)
    variables = generator_variables(generator)
    once = Raw(array(np.zeros((width, width))).code + b"\x94")
    dense = [(f"Dense{layer}/weight", get(0) if layer else once) for layer in range(layers)]
    biases = [(f"Dense{layer}/bias", array(np.zeros(width))) for layer in range(layers)]
    parts = {"mapping": network("m", dense + biases), "synthesis": network("s", variables["synthesis"])}
    return dump(network("Gs", variables[""], {}, parts))


def hostile_files(generator: StyleGAN2) -> dict[str, tuple[bytes, str]]:
    """Files that lie about sizes or expand without end, and words of the error that must say so."""
    endless = laughs(60, lambda one: [one, one]).code
    variables = generator_variables(generator)
    parts = {part: network(part, variables[part]) for part in ("mapping", "synthesis")}

    def lying(shape: tuple[int, ...]) -> Raw:
        state = (1, shape, Call("numpy.dtype", ("f4", False, True)), False, bytes(16))
        return Raw(encode(EMPTY_ARRAY) + encode(state) + b"b")

    files = {
        "array_in_many_variables": (shared_array(), "more values than the file has bytes"),
        "variable_huge": (dump(network("Gs", [("a", lying((HUGE,)))])), "cannot reshape"),
        "variable_negative": (dump(network("Gs", [("a", lying((-1, -1)))])), "damaged"),
        "variables_of_no_names": (dump(network("Gs", [(3, 4), "ab", (1,)])), "no generator"),
        "components_in_themselves": (
            dump(Raw(b"}\x94" + encode("synthesis") + encode(network("Gs", [], None, get(0))) + b"s")),
            "it has no synthesis.b4.conv1.weight",
        ),
    }
    for name in ("version", "name", "build_func_name", "static_kwargs", "variables", "components"):
        whole_of = {**{"version": 4, "name": "Gs", "variables": [], "components": {}}, name: get(60)}
        state = Raw(encode(Ref("dnnlib.tflib.network.Network")) + encode(()) + b"\x81" + encode(whole_of) + b"b")
        files[f"laughs_as_{name}"] = (dump(Raw(endless + b"0" + state.code)), "TensorFlow's, ")
    for name, words in SETTINGS.items():
        bad = network("Gs", variables[""], {name: get(60)}, parts)
        files[f"laughs_as_{name}"] = (dump(Raw(endless + b"0" + bad.code)), words)
    return files

"""StyleGAN3's generator, T and R, and StyleGAN-XL's: Fourier features, then layers that make no aliases.

Sources: StyleGAN3 (arXiv 2106.12423), StyleGAN-XL (arXiv 2202.00273). Plain and differentiable; the engine holds its
fast path against this module. Pictures are continuous signals here: every layer knows at which rate its features are
sampled and up to which frequency they reach, so that turning or shifting the input turns or shifts the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer import kernels
from explorer.networks.family import Codes, Generator, NoiseMode, NoiseSeed, StyleLayer
from explorer.networks.layers import FullyConnected, demodulation, modulate
from explorer.networks.stylegan2 import MappingNetwork


def published_channels(resolution: int, layers: int = 14, base: int = 32768, largest: int = 512) -> tuple[int, ...]:
    """Widths of the layers of a new generator by the published rule, `min(base / 2 / cutoff, largest)`; R doubles
    both.
    """
    shape = StyleGAN3Config((resolution,), (layers,), (1,) * layers)
    return tuple(round(min(base / 2 / layer.out.cutoff, largest)) for layer in schedule(shape)[:-1])


@dataclass(frozen=True)
class StyleGAN3Config:
    """Everything that fixes a generator's shape; plain data, stored in native checkpoints as JSON.

    `resolutions` and `layers` have one entry for the stem and one for each super-resolution head on top of it
    (StyleGAN-XL; StyleGAN3 is a stem alone): the side of its pictures, and how many layers it was built with besides
    ToRGB. A head takes the place of the `num_critical` last layers below it. `channels` are the widths of all layers
    that are left but ToRGB. `table` is the width of XL's table of classes; 0 for StyleGAN3, which embeds labels.
    Raises ValueError where the parts do not fit.
    """

    resolutions: tuple[int, ...]
    layers: tuple[int, ...]
    channels: tuple[int, ...]
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_channels: int = 3
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    table: int = 0
    conv_kernel: int = 3
    radial: bool = False
    conv_clamp: float | None = 256.0
    output_scale: float = 0.25
    num_critical: int = 2
    margin_size: int = 10
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    filter_size: int = 6
    lrelu_upsampling: int = 2

    def __post_init__(self) -> None:
        for name in ("resolutions", "layers", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.resolutions or len(self.resolutions) != len(self.layers) or len(self.layers) > 8:
            raise ValueError(f"a stem and up to 7 heads need a side and layers each, got {self.resolutions[:9]}")
        if any(below >= above for below, above in zip((3, *self.resolutions), self.resolutions, strict=False)):
            raise ValueError(f"each head makes larger pictures, from 4 px up, got {self.resolutions}")
        if self.num_critical < 1 or min(self.layers) <= self.num_critical or max(self.layers) > 100:
            raise ValueError(
                f"a stem or head has more than its {self.num_critical} last layers and at most 100, got {self.layers}"
            )
        if len(self.channels) != (count := sum(self.layers) - self.num_critical * (len(self.layers) - 1)):
            raise ValueError(f"{count} layers need as many widths, got {len(self.channels)}")
        sizes = {"w_dim": self.w_dim, "img_channels": self.img_channels, "mapping_layers": self.mapping_layers}
        for name, size in sizes.items() | {(f"channels[{i}]", c) for i, c in enumerate(self.channels)}:
            if size < 1:
                raise ValueError(f"{name} must be positive, got {size}")
        if self.z_dim < 1 or (self.table and not self.c_dim):
            raise ValueError(f"z_dim must be positive, and a table of classes needs some, got {self.z_dim}")
        if self.conv_kernel not in (1, 3):
            raise ValueError(f"conv_kernel must be 1 or 3, got {self.conv_kernel}")
        # Filters, margins and rates are sizes too: what no generator has is refused before anything is made of it.
        if not (1 <= self.filter_size <= 16 and 1 <= self.lrelu_upsampling <= 4 and self.margin_size <= 64):
            raise ValueError("filter_size, lrelu_upsampling and margin_size are at most 16, 4 and 64")
        last = self.resolutions[0] / 2
        if not (0 < self.first_cutoff < last and self.first_cutoff <= self.first_stopband <= 4 * last):
            raise ValueError(f"frequencies must rise from above 0 to {last:g}, got {self.first_cutoff:g}")
        if not 1 <= self.last_stopband_rel <= 4:
            raise ValueError(f"last_stopband_rel must be from 1 to 4, got {self.last_stopband_rel:g}")

    @property
    def img_resolution(self) -> int:
        return self.resolutions[-1]

    @property
    def num_ws(self) -> int:
        """Rows of `ws`: one for the input, one a layer, one for ToRGB."""
        return len(self.channels) + 2


# --- Which frequencies a layer holds ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """Features of `size` pixels a side, `rate` of them to a picture width, up to `cutoff` and fading over twice
    `half_width` around it (in periods a picture width).
    """

    size: int
    rate: int
    cutoff: float
    half_width: float


@dataclass(frozen=True)
class LayerShape:
    """What one layer does to the band of frequencies, and its widths."""

    name: str
    before: Band
    out: Band
    in_channels: int
    out_channels: int
    critical: bool  # frequencies up to half the rate: the last layers before the picture
    colors: bool  # ToRGB
    kernel: int
    rate: int  # of the rectifier
    up_taps: int  # 1: no filter
    down_taps: int
    radial: bool

    @property
    def up(self) -> int:
        return self.rate // self.before.rate

    @property
    def down(self) -> int:
        return self.rate // self.out.rate

    @property
    def padding(self) -> tuple[int, int]:
        """Samples of the rectifier's rate in front and behind, along both axes, that give the wanted size."""
        grown = (self.before.size + self.kernel - 1) * self.up
        total = (self.out.size - 1) * self.down + 1 - grown + self.up_taps + self.down_taps - 2
        low = (total + self.up) // 2
        return low, total - low

    def filters(self) -> tuple[Tensor | None, Tensor | None]:
        """The low-pass filters before and after the rectifier, newly designed, float32; None for one of one tap."""
        up = design_filter(self.up_taps, self.before.cutoff, 2 * self.before.half_width, self.rate)
        down = design_filter(self.down_taps, self.out.cutoff, 2 * self.out.half_width, self.rate, self.radial)
        return up, down


def bands(
    config: StyleGAN3Config, resolution: int, layers: int, first_cutoff: float, first_stopband: float
) -> list[Band]:
    """What the layers of a stem or head hold, ToRGB last (StyleGAN3, section 3.2 and appendix G, "Layer
    specifications").

    Cutoffs fc_i and stopbands ft_i rise geometrically until the critically sampled layers:
    q_i = min(i / (L - C), 1), fc_i = fc_0 (fc_N / fc_0)^q_i, s_i = 2^ceil(log2(min(2 ft_i, S))).
    """
    last_cutoff = resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    made = []
    for i in range(layers + 1):
        q = min(i / (layers - config.num_critical), 1)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** q
        stopband = first_stopband * (last_stopband / first_stopband) ** q
        rate = 2 ** math.ceil(math.log2(min(stopband * 2, resolution)))
        size = rate + 2 * config.margin_size if i < layers - 1 else resolution
        made.append(Band(size, rate, cutoff, max(stopband, rate / 2) - cutoff))
    return made


def schedule(config: StyleGAN3Config) -> list[LayerShape]:
    """The layers from the input to ToRGB."""
    shapes: list[LayerShape] = []
    first_cutoff, first_stopband, number = config.first_cutoff, config.first_stopband, 0
    for resolution, layers in zip(config.resolutions, config.layers, strict=True):
        held = bands(config, resolution, layers, first_cutoff, first_stopband)
        if shapes:
            shapes = shapes[: -config.num_critical - 1]
            held[0] = shapes[-1].out
            number = len(shapes) + 1  # the published names skip a number
        for i, out in enumerate(held):
            before = held[max(i - 1, 0)]
            colors = i == layers
            width = config.channels[len(shapes)] if len(shapes) < len(config.channels) else config.img_channels
            rate = max(before.rate, out.rate) * (1 if colors else config.lrelu_upsampling)
            up, down = rate // before.rate, rate // out.rate
            critical = i >= layers - config.num_critical
            shapes.append(
                LayerShape(
                    name=f"L{number + i}_{out.size}_{config.img_channels if colors else width}",
                    before=before,
                    out=out,
                    in_channels=config.channels[max(len(shapes) - 1, 0)],
                    out_channels=config.img_channels if colors else width,
                    critical=critical,
                    colors=colors,
                    kernel=1 if colors else config.conv_kernel,
                    rate=rate,
                    up_taps=config.filter_size * up if up > 1 and not colors else 1,
                    down_taps=config.filter_size * down if down > 1 and not colors else 1,
                    radial=config.radial and not critical,
                )
            )
        last = shapes[-config.num_critical - 2].out
        first_cutoff, first_stopband = last.cutoff, last.cutoff + last.half_width
    return shapes


def shapes_only() -> bool:
    """Whether modules are made without values: arithmetic would import torch's compiler there, which takes a second."""
    return torch.empty(0).is_meta


def random_waves(channels: int, cutoff: float) -> tuple[Tensor, Tensor]:  # [channels, 2], [channels]
    """Frequencies, in periods a picture width, nearly evenly spread over the disc of radius `cutoff`, and phases.

    g ~ N(0, I), f = g / (r exp(r^2)^(1/4)) * cutoff with r = |g|; phases from -1/2 to 1/2.
    """
    g, phases = torch.randn(channels, 2), torch.rand(channels)
    if shapes_only():
        return g, phases
    r = g.square().sum(dim=1, keepdim=True).sqrt()
    return g / (r * r.square().exp().pow(0.25)) * cutoff, phases - 0.5


def inverse_motion(pose: Tensor) -> Tensor:  # [N, 3] -> [N, 3, 3], float64
    """The inverse of a motion of the picture, as the input wants it.

    The motion turns by an angle a, counterclockwise, and shifts by (x, y), to the right and down:
    [[cos a, sin a, x], [-sin a, cos a, y], [0, 0, 1]], where y points down.
    """
    degrees, x, y = pose.double().unbind(dim=1)
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    entries = [cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y, zero, zero, one]
    return torch.stack(entries, dim=1).view(-1, 3, 3)


def design_filter(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor | None:
    """A low-pass filter: a sinc, or where `radial` a jinc, under a Kaiser window; float32, None for one tap.

    `[taps]` for both axes, or `[taps, taps]`. Kaiser's formulas for the window (StyleGAN3, appendix C).
    """
    if taps == 1:
        return None
    if shapes_only():
        return torch.empty((taps, taps) if radial else taps)
    attenuation = 2.285 * (taps - 1) * math.pi * (width / (rate / 2)) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * (excess := max(attenuation - 21, 0)) ** 0.4 + 0.07886 * excess
    places = torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2
    window = torch.special.i0(beta * (1 - (2 * places / (taps - 1)).square()).clamp(min=0).sqrt())
    if not radial:
        f = torch.sinc(2 * cutoff / rate * places) * window
    else:
        x = places / rate
        r = torch.hypot(x[:, None], x).clamp(min=1e-9)
        f = torch.special.bessel_j1(2 * math.pi * cutoff * r) / (math.pi * r) * window[:, None] * window
    return (f / f.sum()).to(torch.float32)


# --- Networks ---------------------------------------------------------------------------------------------------------


class Table(nn.Module):
    """A vector a class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width))


class TableMapping(MappingNetwork):
    """StyleGAN-XL's mapping network: classes by a table of vectors, truncated towards the mean of their class.

    `w_avg` is `[classes, w_dim]`.
    """

    embed: nn.Module

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            config.num_ws,
            config.mapping_layers,
            config.mapping_lr_multiplier,
            label_dim=config.z_dim,
        )
        self.embed = Table(config.c_dim, config.table)
        self.embed_proj = FullyConnected(config.table, config.z_dim, activation="lrelu")
        self.register_buffer("w_avg", torch.zeros(config.c_dim, config.w_dim))

    def labels(self, c: Tensor) -> Tensor:
        table = self.embed.weight
        assert isinstance(table, Tensor)
        return self.embed_proj(c.to(table.dtype) @ table)

    def center(self, c: Tensor | None) -> Tensor:  # [N, classes] -> [N, 1, w_dim]
        assert c is not None
        return (c.to(self.w_avg.dtype) @ self.w_avg)[:, None]


class SynthesisInput(nn.Module):
    """Fourier features that w turns and shifts (StyleGAN3, section 3.2 "Fourier features" and 3.2 "Transformed
    Fourier features").
    """

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, channels: int, band: Band) -> None:
        super().__init__()
        self.band = band
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        freqs, phases = random_waves(channels, band.cutoff)
        self.register_buffer("transform", torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", phases)

    def moved(self, pose: Tensor | None) -> Tensor:  # [N, 3] -> [N, 3, 3]
        """The transform that turns and shifts the picture, after what the one in the buffer does."""
        return self.transform if pose is None else self.transform @ inverse_motion(pose).to(self.transform)

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:  # [N, w_dim] -> [N, channels, size, size]
        band, given = self.band, self.transform if transform is None else transform.to(self.transform)
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, x, y = t.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        translation = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        m = rotation @ translation @ given
        freqs = self.freqs @ m[:, :2, :2]  # [N, channels, 2]
        phases = self.phases + (self.freqs @ m[:, :2, 2:])[:, :, 0]
        # What a zoom lifts beyond the band fades out.
        room = band.rate / 2 - band.cutoff
        amplitudes = (1 - (freqs.norm(dim=2) - band.cutoff) / room).clamp(0, 1)
        places = (torch.arange(band.size, device=w.device) + 0.5) / band.size - 0.5
        places = places * (band.size / band.rate)  # the picture spans -1/2 to 1/2
        waves = freqs[:, :, 0, None, None] * places + freqs[:, :, 1, None, None] * places[:, None]
        waves = torch.sin(2 * math.pi * (waves + phases[:, :, None, None])) * amplitudes[:, :, None, None]
        weight = self.weight / math.sqrt(len(self.weight))
        return (weight @ waves.flatten(2)).view_as(waves)


class SynthesisLayer(nn.Module):
    """Modulated convolution, bias, and a leaky ReLU between two samplings; ToRGB is the last one, without rectifier
    (StyleGAN3, figure 4b).
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: StyleGAN3Config, shape: LayerShape) -> None:
        super().__init__()
        self.shape, self.conv_clamp = shape, config.conv_clamp
        self.affine = FullyConnected(config.w_dim, shape.in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(shape.out_channels, shape.in_channels, shape.kernel, shape.kernel))
        self.bias = nn.Parameter(torch.zeros(shape.out_channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        up, down = shape.filters()
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", down)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # [N, in, size, size], [N, w_dim] -> [N, out, size', size']
        weight, styles = self.prepared(self.affine(w))
        x = F.conv2d(modulate(x, styles), weight.to(x.dtype), padding=self.shape.kernel - 1)
        x = modulate(x, self.scale(weight, styles))
        low, high = self.shape.padding
        return kernels.filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            self.shape.up,
            self.shape.down,
            (low, high, low, high),
            gain=1.0 if self.shape.colors else math.sqrt(2),
            slope=1.0 if self.shape.colors else 0.2,
            clamp=self.conv_clamp,
        )

    def prepared(self, styles: Tensor) -> tuple[Tensor, Tensor]:  # -> [out, in, k, k], [N, in]
        """Weight and styles, before the convolution brought to size one, but for ToRGB."""
        if self.shape.colors:
            return self.weight, styles / math.sqrt(self.weight[0].numel())
        weight = self.weight * self.weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        # The reference takes this mean over the whole batch. It cancels in the demodulation; so no sample sees another.
        return weight, styles * styles.square().mean(dim=1, keepdim=True).rsqrt()

    def scale(self, weight: Tensor, styles: Tensor) -> Tensor:  # -> [N, out] or [N, 1]
        """What the convolution's result is multiplied with: demodulation, and the input's size of old."""
        gain = self.magnitude_ema.rsqrt()
        return gain.expand(len(styles), 1) if self.shape.colors else demodulation(weight, styles) * gain


class SynthesisNetwork(nn.Module):
    """ws -> picture. Row 0 of ws is the input's, row 1 + i that of layer i, the last ToRGB's."""

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config, shapes = config, schedule(config)
        self.layer_names = [shape.name for shape in shapes]
        self.input = SynthesisInput(config.w_dim, shapes[0].in_channels, shapes[0].before)
        for shape in shapes:
            self.add_module(shape.name, SynthesisLayer(config, shape))

    def layers(self) -> Iterator[tuple[int, SynthesisLayer]]:
        """(row of ws, layer), ToRGB last."""
        for row, name in enumerate(self.layer_names, 1):
            yield row, getattr(self, name)

    def forward(
        self,
        ws: Tensor,  # [N, num_ws, w_dim]
        transform: Tensor | None = None,  # [3, 3] or [N, 3, 3]
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:  # [N, img_channels, H, W], float32, about [-1, 1]
        """Synthesise pictures. `transform` takes points of the picture to points of the input: it is the inverse of the
        motion that the picture makes; the one in the buffer of this name where absent.

        `dtype` is what the convolutions compute in; styles, input and the picture stay float32.
        """
        expected = (self.config.num_ws, self.config.w_dim)
        if ws.ndim != 3 or ws.shape[1:] != expected:
            raise ValueError(f"ws must be [N, {expected[0]}, {expected[1]}], got {list(ws.shape)}")
        if transform is not None and (transform.shape[-2:] != (3, 3) or transform.ndim > 3):
            raise ValueError(f"transform must be [3, 3] or [N, 3, 3], got {list(transform.shape)}")
        x = self.input(ws[:, 0], transform).to(dtype)
        for row, layer in self.layers():
            x = layer(x, ws[:, row])
        return x.to(torch.float32) * self.config.output_scale


class StyleGAN3(Generator):
    """StyleGAN3's or XL's generator: `mapping` then `synthesis`. Fresh weights until a state dict is loaded."""

    family = "stylegan3"
    Config = StyleGAN3Config
    config: StyleGAN3Config

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.num_ws = config.num_ws
        self.codes = Codes(config.num_ws, config.w_dim, config.z_dim, pose=True)
        self.resolution, self.channels, self.classes = config.img_resolution, config.img_channels, config.c_dim
        self.mapping = (
            TableMapping(config)
            if config.table
            else MappingNetwork(
                config.z_dim,
                config.c_dim,
                config.w_dim,
                config.num_ws,
                config.mapping_layers,
                config.mapping_lr_multiplier,
            )
        )
        self.synthesis = SynthesisNetwork(config)

    def forward(
        self,
        z: Tensor,  # [N, z_dim]
        c: Tensor | None = None,  # [N, c_dim]
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:  # [N, img_channels, H, W]
        return self.synthesis(self.mapping(z, c, truncation_psi, truncation_cutoff))

    @property
    def mean(self) -> Tensor:
        """Of all classes where each has a mean of its own."""
        return self.mapping.w_avg if self.mapping.w_avg.ndim == 1 else self.mapping.w_avg.mean(dim=0)

    def draw(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.mapping(z, self.one_hot(labels, z), psi, cutoff)

    def synthesize(
        self,
        codes: Tensor,
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
        dtype: torch.dtype = torch.float32,
        pose: Tensor | None = None,
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        return self.synthesis(codes, self.synthesis.input.moved(pose), dtype)

    @property
    def features(self) -> int:
        """Its rectifiers work on a few channels at once."""
        shapes = [layer.shape for _, layer in self.synthesis.layers()]
        return max(max(s.in_channels * s.before.size**2, s.out_channels * s.out.size**2) for s in shapes)

    def style_layers(self) -> tuple[StyleLayer, ...]:
        turn = _style_layer("synthesis.input", self.synthesis.input.affine, 0, colors=False, pose=True)
        named = zip(self.synthesis.layer_names, self.synthesis.layers(), strict=True)
        return turn, *(
            _style_layer(f"synthesis.{name}", layer.affine, row, layer.shape.colors) for name, (row, layer) in named
        )

    def learnable(self) -> dict[str, nn.Parameter]:
        return {f"synthesis.{name}": parameter for name, parameter in self.synthesis.named_parameters()}

    def describe(self) -> list[str]:
        config = self.config
        labels = f"{config.c_dim} classes" if config.c_dim else "no classes"
        kind = "StyleGAN-XL" if config.table or len(config.layers) > 1 else f"StyleGAN3-{'R' if config.radial else 'T'}"
        widths, filters = " ".join(map(str, config.channels)), "radial" if config.radial else "separable"
        sides = " to ".join(map(str, config.resolutions))
        heads = f", a stem and heads of {sides} px" if len(config.layers) > 1 else ""
        return [
            f"generator: {kind}, {config.img_resolution} x {config.img_resolution} px,"
            f" {config.img_channels} channels, {labels}, {self.parameter_count() / 1e6:.2f} million parameters",
            f"  z: {config.z_dim} numbers; w: {config.w_dim} numbers in {config.num_ws} rows"
            f" after {config.mapping_layers} mapping layers",
            f"  synthesis: {config.conv_kernel} x {config.conv_kernel} convolutions,"
            f" {filters} filters, widths {widths}{heads}",
        ]


def _style_layer(feeds: str, affine: FullyConnected, row: int, colors: bool, pose: bool = False) -> StyleLayer:
    return StyleLayer(
        name=f"{feeds}.affine",
        feeds=feeds,
        row=row,
        weight=affine.weight,
        bias=affine.bias,
        weight_gain=affine.weight_gain,
        bias_gain=affine.bias_gain,
        colors=colors,
        in_basis=not pose,
        pose=pose,
    )

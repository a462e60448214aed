"""Visual styles made by code with OpenCV: domains are learned from them, CLIP learns to name and judges to tell apart.

A style is a function of a picture and a random generator: RGB uint8 [H, W, 3] -> the same shape and type, the same
picture for the same state of the generator. Drawn for faces of about 64 px; larger pictures get finer strokes, not
larger ones. Knows no captions and no training. `render` is the way in; styles never change their input.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Picture = np.ndarray  # [H, W, 3], uint8, RGB
Tone = np.ndarray  # [H, W], float32
Style = Callable[[Picture, np.random.Generator], Picture]

PHOTO = "photo"
LARGEST = 256  # px: beyond that strokes would be too fine to be seen, so larger pictures are drawn at this side


def render(style: str, picture: Picture, rng: np.random.Generator) -> Picture:
    """`picture` in `style`, RGB uint8 [H, W, 3]; `photo` returns it as it is. Raises KeyError for an unknown style."""
    if style == PHOTO:
        return picture
    height, width = picture.shape[:2]
    if (part := LARGEST / max(height, width)) >= 1:
        return np.ascontiguousarray(ALL_STYLES[style](picture, rng))
    small = cv2.resize(picture, (round(width * part), round(height * part)), interpolation=cv2.INTER_AREA)
    return cv2.resize(ALL_STYLES[style](small, rng), (width, height), interpolation=cv2.INTER_CUBIC)


# Tones. Everything in floats works on [0, 1].


def _grey(x: Picture) -> Tone:  # [H, W, 3] -> [H, W] in [0, 1]
    return cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _equalised(x: Picture, strength: float = 2.0) -> Tone:
    """Grey with local contrast, so that black cats and white cats both keep eyes and nose."""
    clahe = cv2.createCLAHE(clipLimit=strength, tileGridSize=(2, 2))
    return clahe.apply(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)).astype(np.float32) / 255


def _lines(x: Picture, sigma: float = 1.4, gain: float = 9.0) -> Tone:
    """Contours in [0, 1] by a difference of Gaussians: 1 on the dark side of an edge."""
    grey = _equalised(x)
    near, far = cv2.GaussianBlur(grey, (0, 0), 0.6), cv2.GaussianBlur(grey, (0, 0), sigma * 1.6)
    return np.clip((far - near) * gain, 0, 1)


def _picture(x: Tone) -> Picture:
    """[H, W] or [H, W, 3] in [0, 1] -> uint8 RGB, clipped."""
    x = np.repeat(x[..., None], 3, axis=2) if x.ndim == 2 else x
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def _mapped(tone: Tone, *colours: tuple[int, int, int]) -> Picture:
    """A tone in [0, 1] through equally spaced RGB colours."""
    stops = np.linspace(0, 1, len(colours))
    table = np.array(colours, dtype=np.float32)
    tone = np.clip(tone, 0, 1)
    return np.stack([np.interp(tone, stops, table[:, c]) for c in range(3)], axis=-1).astype(np.uint8)


def _noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> Tone:
    """Gaussian noise of unit variance, smoothed over `sigma` pixels."""
    noise = rng.standard_normal(shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma > 0 else noise
    return noise / (noise.std() + 1e-6)


def _grid(x: Picture) -> np.ndarray:  # [2, H, W]: every pixel's row and column
    return np.indices(x.shape[:2])


def _quantised(x: Picture, levels: int) -> Picture:
    """The nearest of `levels` values in every channel, from black to full."""
    step = 255 / (levels - 1)
    return (np.round(x / step) * step).astype(np.uint8)


def _saturated(x: Picture, factor: float, value: float = 1.0) -> Picture:
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor, 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * value, 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


# Drawings.


def pencil_sketch(x: Picture, rng: np.random.Generator) -> Picture:
    """Graphite by dodging the picture with its blurred negative, on white paper with grain."""
    grey = _equalised(x)
    paper = np.clip(grey / (cv2.GaussianBlur(grey, (0, 0), rng.uniform(2.5, 3.5)) + 0.02), 0, 1)
    shade = 0.8 + 0.2 * cv2.GaussianBlur(grey, (0, 0), 1.5)
    return _picture(paper**1.8 * shade + 0.015 * _noise(grey.shape, rng, 0) + 0.02)


def colored_pencil(x: Picture, rng: np.random.Generator) -> Picture:
    """Pale strokes of colour along one diagonal, contours in dark pencil."""
    colour = _saturated(cv2.bilateralFilter(x, 5, 60, 3), 1.8).astype(np.float32) / 255
    stroke = _diagonal(_noise(x.shape, rng, 0), 7)
    cover = np.clip(0.72 + 0.28 * stroke - 0.35 * _grey(x), 0.1, 1)[..., None]
    sheet = 1 - cover * (1 - np.clip(colour * 1.1 + 0.1, 0, 1))
    return _picture(sheet * (1 - 0.6 * _lines(x)[..., None]))


def _diagonal(noise: Tone, length: int) -> Tone:
    """Noise smeared along the diagonal: strokes of one hand."""
    smeared = cv2.filter2D(noise, -1, np.eye(length, dtype=np.float32)[::-1] / length)
    return smeared / (smeared.std() + 1e-6)


def charcoal(x: Picture, rng: np.random.Generator) -> Picture:
    """Broad smudged blacks on rough grey-beige paper."""
    grey = cv2.GaussianBlur(_equalised(x, 4.0), (0, 0), 1.0)
    tone = 1 / (1 + np.exp(-9 * (grey - 0.5))) - 0.9 * _lines(x, 2.0, 5.0)
    tone = tone + 0.16 * _diagonal(_noise(grey.shape, rng, 0), 3) * (1.1 - np.abs(2 * grey - 1))
    return _mapped(tone, (22, 20, 20), (92, 88, 84), (202, 194, 182))


def woodcut(x: Picture, rng: np.random.Generator) -> Picture:
    """Black ink on cream: wavy gouges that swell with the light, and cut contours."""
    grey = cv2.GaussianBlur(_equalised(x, 3.0), (0, 0), 0.6)
    rows, columns = _grid(x)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (rows + 1.5 * np.sin(columns / 9 + rng.uniform(0, 6))) / 3.2)
    light = 1 / (1 + np.exp(-14 * (1.15 * grey - 0.2 - 0.42 * wave)))
    return _mapped(light - 0.9 * _lines(x, 1.4, 10), (20, 16, 14), (240, 226, 196))


def chalkboard(x: Picture, rng: np.random.Generator) -> Picture:
    """White chalk lines and dust on a dark green board."""
    lines = np.clip(1.2 * _lines(x, 1.6, 10) + 0.35 * (_equalised(x) > 0.62), 0, 1)
    chalk = lines * np.clip(0.85 + 0.3 * _noise(x.shape, rng, 0.5), 0.3, 1)
    board = np.array([34, 62, 50], np.float32) / 255 * (1 + 0.07 * _noise(x.shape, rng, 4))[..., None]
    return _picture(board + chalk[..., None] * (np.array([0.92, 0.94, 0.9], np.float32) - board))


def comic(x: Picture, rng: np.random.Generator) -> Picture:
    """Flat bright colours in few steps inside thick black outlines."""
    flat = x
    for _ in range(4):
        flat = cv2.bilateralFilter(flat, 5, 50, 3)
    lifted = (255 * (flat / 255.0) ** 0.7).astype(np.uint8)
    flat = _quantised(_saturated(lifted, 1.9, 1.05), 6).astype(np.float32) / 255
    ink = np.clip((_lines(x, 1.3, 10) - rng.uniform(0.5, 0.6)) * 5, 0, 1)
    return _picture((0.1 + 0.9 * flat) * (1 - ink)[..., None])


# Paintings.


def oil_painting(x: Picture, rng: np.random.Generator) -> Picture:
    """OpenCV's oil painting, drawn at double size for finer strokes, lit from the side so that they stand out."""
    height, width = x.shape[:2]
    large = cv2.resize(_saturated(x, 1.7, 1.05), (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    painted = cv2.xphoto.oilPainting(large, int(rng.integers(3, 5)), 1)
    painted = cv2.resize(painted, (width, height), interpolation=cv2.INTER_AREA)
    paint = cv2.GaussianBlur(_noise(x.shape, rng, 0.7) * 0.09 + _grey(painted), (0, 0), 0.5)
    light = cv2.filter2D(paint, -1, np.array([[1, 0.5, 0], [0.5, 0, -0.5], [0, -0.5, -1]], np.float32))
    return _picture(painted.astype(np.float32) / 255 + 0.4 * light[..., None])


def watercolor(x: Picture, rng: np.random.Generator) -> Picture:
    """Clear washes in four depths whose pigment bleeds and gathers at their rims, over bare paper with ragged edges."""
    side = x.shape[0]
    flat = cv2.edgePreservingFilter(_saturated(x, 1.7, 1.1), flags=1, sigma_s=10, sigma_r=0.4).astype(np.float32) / 255
    grey = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY)
    even = cv2.GaussianBlur(_equalised(x), (0, 0), 0.8)  # by it black cats get washes of several depths too
    tone = 0.5 * grey + 0.5 * even + 0.035 * _noise(x.shape, rng, side / 24)
    washes = 0.25 * _steps(tone, 22, 0.15, 0.32, 0.48, 0.64)
    rims = np.clip(cv2.GaussianBlur(washes, (0, 0), 1.4) - washes, 0, 1)
    colour = 1 + 0.9 * (flat / np.maximum(grey[..., None], 0.12) - 1)
    paint = np.clip((0.26 + 0.66 * washes)[..., None] * colour, 0, 1) * (1 - 0.9 * rims)[..., None]
    bare = 0.9 * _steps(tone, 16, 0.74)[..., None]
    drawn = paint * (1 - bare) + bare * np.array([0.985, 0.97, 0.94], np.float32)
    drawn -= _lines(x, 1.4, 6)[..., None] * np.array([0.24, 0.255, 0.21], np.float32)
    rows, columns = _grid(x)
    edge = np.minimum.reduce([rows, columns, rows[::-1], columns[:, ::-1]]) / (0.07 * side)
    cover = np.clip(edge + 0.5 * _noise(x.shape, rng, side / 40), 0, 1)[..., None]
    return _picture(0.98 - cover * (0.98 - drawn - 0.02 * _noise(x.shape, rng, 0.5)[..., None]))


def pointillism(x: Picture, rng: np.random.Generator) -> Picture:
    """Round dabs of pure colour, each a little off in hue, over a light ground."""
    height, width = x.shape[:2]
    colours = _saturated(cv2.GaussianBlur(x, (0, 0), 0.8), 2.0, 1.1).astype(np.int32)
    canvas = cv2.addWeighted(cv2.GaussianBlur(x, (0, 0), 4), 0.5, np.full_like(x, 225), 0.5, 0)
    scale = 4  # drawn larger, or dots of two pixels would be squares
    canvas = cv2.resize(canvas, (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
    count = height * width // 4
    rows, columns = rng.integers(0, height, count), rng.integers(0, width, count)
    jitter = rng.integers(-40, 41, (count, 3))
    for row, column, shift in zip(rows, columns, jitter, strict=True):
        colour = np.clip(colours[row, column] + shift, 0, 255).tolist()
        cv2.circle(canvas, (int(column) * scale, int(row) * scale), int(1.15 * scale), colour, -1)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def pop_art(x: Picture, rng: np.random.Generator) -> Picture:
    """Four flat screen-print inks by lightness."""
    inks = np.array([(48, 0, 110), (236, 0, 120), (255, 212, 0), (0, 222, 235)], np.uint8)
    grey = cv2.medianBlur((_equalised(x, 3.0) * 255).astype(np.uint8), 3)
    steps = np.sort(grey, axis=None)[[grey.size // 4, grey.size * 11 // 20, grey.size * 4 // 5]]
    return inks[np.digitize(grey, np.sort(steps + rng.uniform(-8, 8, 3)))]


# Materials.


def _relief(x: Picture, depth: float, smooth: float = 0.8) -> Tone:
    """Light from the upper left on the picture taken as a height field; about [-1, 1]."""
    height = cv2.GaussianBlur(_equalised(x, 3.0), (0, 0), smooth)
    return depth * cv2.filter2D(height, -1, np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], np.float32))


def bronze_statue(x: Picture, rng: np.random.Generator) -> Picture:
    """Brown metal with golden highlights and a trace of green patina."""
    form = cv2.bilateralFilter((_equalised(x, 3.0) * 255).astype(np.uint8), 7, 50, 3).astype(np.float32) / 255
    shine = np.clip(0.15 + 0.65 * form + 0.55 * _relief(x, 0.7), 0, 1)
    metal = _mapped(shine, (28, 14, 6), (94, 52, 20), (176, 112, 46), (255, 226, 150)).astype(np.float32) / 255
    patina = 0.28 * np.clip(_noise(x.shape, rng, 5) - 0.8, 0, 1)[..., None]
    return _picture(metal * (1 - patina) + patina * np.array([0.25, 0.5, 0.42], np.float32))


def marble_statue(x: Picture, rng: np.random.Generator) -> Picture:
    """White stone: little contrast, soft light, grey veins."""
    form = cv2.GaussianBlur(_equalised(x, 2.5), (0, 0), 0.8)
    veins = np.exp(-((_noise(x.shape, rng, 6) / 0.08) ** 2))
    light = 0.3 + 0.5 * form + 0.5 * _relief(x, 0.7, 0.8) - 0.1 * veins
    return _mapped(light, (78, 84, 98), (178, 182, 190), (255, 254, 250))


def clay_relief(x: Picture, rng: np.random.Generator) -> Picture:
    """Embossed terracotta: only the slopes are seen."""
    light = 0.5 + 0.62 * _relief(x, 0.8, 0.7) + 0.02 * _noise(x.shape, rng, 0)
    return _mapped(light, (72, 26, 12), (196, 104, 66), (255, 206, 170))


def stained_glass(x: Picture, rng: np.random.Generator) -> Picture:
    """Panes of one deep colour each, between dark leads."""
    pane, lead = _voronoi(x, 5.0, rng)
    count = np.maximum(np.bincount(pane.ravel()), 1)[:, None]
    sums = np.stack([np.bincount(pane.ravel(), x[..., c].ravel()) for c in range(3)], -1)
    colours = _saturated((sums / count).astype(np.uint8)[None], 3.0, 1.25)[0].astype(np.float32) / 255
    return _picture((colours[pane] * 1.05 + 0.03 * _noise(x.shape, rng, 1)[..., None]) * lead[..., None])


def _voronoi(x: Picture, pitch: float, rng: np.random.Generator) -> tuple[np.ndarray, Tone]:  # -> [H, W] int, [H, W]
    """The cell of every pixel, and how far it is from its cell's border: dark on it, 1 from 1.3 px on.

    Of a centre anywhere in every square of `pitch` px: the two nearest to a pixel lie at most two squares away.
    """
    rows, columns = (int(np.ceil(side / pitch)) for side in x.shape[:2])
    centres = (np.moveaxis(np.mgrid[:rows, :columns], 0, -1) + rng.random((rows, columns, 2))) * pitch
    pixels = _grid(x)
    near = [(row, column) for row in range(-2, 3) for column in range(-2, 3)]
    cells, distances = [], []
    for offset in near:
        row, column = ((pixels[i] // pitch).astype(int) + offset[i] for i in (0, 1))
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        row, column = row.clip(0, rows - 1), column.clip(0, columns - 1)
        away = ((np.moveaxis(pixels, 0, -1) - centres[row, column]) ** 2).sum(-1)
        cells.append(row * columns + column)
        distances.append(np.where(inside, away, np.inf))
    order = np.argsort(distances, axis=0)[:2]
    first, second = np.sqrt(np.take_along_axis(np.array(distances), order, 0))
    cell = np.take_along_axis(np.array(cells), order[:1], 0)[0]
    return cell, np.clip((second - first) / 1.3, 0.08, 1).astype(np.float32)


def mosaic(x: Picture, rng: np.random.Generator) -> Picture:
    """Square stones of 4 px with light grout, each a little off in brightness."""
    height, width = x.shape[:2]
    small = cv2.resize(_saturated(x, 1.5), (width // 4, height // 4), interpolation=cv2.INTER_AREA).astype(np.float32)
    small *= 1 + 0.1 * rng.standard_normal(small.shape[:2]).astype(np.float32)[..., None]
    tiles = cv2.resize(np.clip(small, 0, 255), (width, height), interpolation=cv2.INTER_NEAREST) / 255
    rows, columns = _grid(x)
    grout = ((rows % 4 == 3) | (columns % 4 == 3))[..., None]
    return _picture(np.where(grout, 0.45 * tiles + 0.4, tiles))


def cross_stitch(x: Picture, rng: np.random.Generator) -> Picture:
    """Threads crossed in cells of 5 px on white cloth."""
    height, width = x.shape[:2]
    rows, columns = _grid(x)
    small = cv2.resize(_saturated(x, 1.5), (-(-width // 5), -(-height // 5)), interpolation=cv2.INTER_AREA)
    small = _quantised(small, 6)
    cell = small[rows // 5, columns // 5].astype(np.float32) / 255
    row, column = rows % 5, columns % 5
    thread = np.maximum(1 - np.abs(row - column) / 1.6, 0.8 * (1 - np.abs(row + column - 4) / 1.6)).clip(0, 1)
    cloth = np.array([0.94, 0.93, 0.88], np.float32) * (1 - 0.1 * rng.random((height, width, 1), np.float32))
    return _picture(cloth + np.sqrt(thread)[..., None] * (cell * (0.72 + 0.28 * thread[..., None]) - cloth))


# Colour worlds.


def blueprint(x: Picture, rng: np.random.Generator) -> Picture:
    """Pale lines and a drafting grid on Prussian blue."""
    rows, columns = _grid(x)
    offset = rng.integers(8)
    grid = 0.13 * (((rows + offset) % 8 == 0) | ((columns + offset) % 8 == 0))
    return _mapped(np.clip(1.1 * _lines(x, 1.3, 11), 0, 1) + grid + 0.12 * _grey(x), (10, 44, 128), (228, 240, 255))


def thermal_camera(x: Picture, rng: np.random.Generator) -> Picture:
    """Heat as colour, on a blurred luminance with a warm centre."""
    heat = cv2.GaussianBlur(_equalised(x, 2.0), (0, 0), 1.3)
    rows, columns = _grid(x)
    half = x.shape[0] / 2
    centre = np.exp(-((rows - half) ** 2 + (columns - half) ** 2) / (2 * (0.55 * half) ** 2))
    heat = np.clip(0.6 * heat + 0.4 * centre + rng.uniform(-0.04, 0.04), 0, 1)
    return cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]


def neon_night(x: Picture, rng: np.random.Generator) -> Picture:
    """Glowing tubes from magenta to cyan along the contours of a dark scene."""
    lines = np.clip(_lines(x, 1.4, 12), 0, 1)
    glow = cv2.GaussianBlur(lines, (0, 0), 2.2)
    rows, columns = _grid(x)
    across = np.clip((columns + rows) / (sum(x.shape[:2]) - 2) + rng.uniform(-0.15, 0.15), 0, 1)
    colour = _mapped(across, (255, 20, 170), (150, 60, 255), (0, 235, 255)).astype(np.float32) / 255
    scene = np.array([0.05, 0.02, 0.12], np.float32) * (0.4 + 2 * _grey(x)[..., None])
    return _picture(scene + colour * (0.75 * lines + 0.95 * glow)[..., None] + 0.35 * lines[..., None] ** 2)


def sepia(x: Picture, rng: np.random.Generator) -> Picture:
    """A faded brown photograph with dark corners."""
    rows, columns = _grid(x)
    half = x.shape[0] / 2
    corner = ((rows - half) ** 2 + (columns - half) ** 2) / (2 * half**2)
    tone = 0.12 + 0.8 * _grey(x) - 0.3 * corner**2 + 0.02 * _noise(x.shape, rng, 0.5)
    return _mapped(tone, (44, 26, 12), (160, 122, 80), (248, 230, 196))


def black_and_white(x: Picture, rng: np.random.Generator) -> Picture:
    """A grey photograph with some contrast and film grain."""
    grey = _grey(x)
    return _picture(0.5 + rng.uniform(1.0, 1.2) * (grey - 0.5) + 0.015 * _noise(grey.shape, rng, 0))


def night_vision(x: Picture, rng: np.random.Generator) -> Picture:
    """Green phosphor: noise, scan lines, a dark rim."""
    rows, columns = _grid(x)
    half = x.shape[0] / 2
    rim = np.clip(1.35 - ((rows - half) ** 2 + (columns - half) ** 2) / half**2, 0, 1)
    tone = (_equalised(x, 3.0) + 0.07 * _noise(x.shape, rng, 0)) * (1 - 0.18 * (rows % 3 == 0)) * rim
    return _mapped(tone, (0, 12, 2), (18, 132, 36), (176, 255, 160))


def x_ray(x: Picture, rng: np.random.Generator) -> Picture:
    """A negative in cold blue: bright contours in black."""
    negative = 1 - _equalised(x, 2.0)
    tone = 0.75 * negative**1.6 + 0.45 * _lines(x, 2.0, 4.0) + 0.015 * _noise(x.shape, rng, 0)
    return _mapped(tone, (0, 2, 10), (44, 92, 140), (226, 244, 255))


def halftone(x: Picture, rng: np.random.Generator) -> Picture:
    """Newsprint: black dots on a turned grid of 3.5 px, their size the darkness."""
    rows, columns = _grid(x)
    pitch, phase = 3.5, rng.uniform(0, 6, 2)
    u, v = (columns + rows) / np.sqrt(2), (columns - rows) / np.sqrt(2)
    screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u / pitch + phase[0]) + np.cos(2 * np.pi * v / pitch + phase[1]))
    grey = 0.1 + 0.8 * _equalised(x, 2.0)
    return _mapped(1 / (1 + np.exp(-10 * (grey - screen))), (18, 18, 20), (246, 242, 232))


def glitch(x: Picture, rng: np.random.Generator) -> Picture:
    """A broken video signal: torn rows, red and blue apart, scan lines."""
    torn = x.copy()
    for _ in range(5):
        row, tall = int(rng.integers(x.shape[0])), int(rng.integers(3, 9))
        torn[row : row + tall] = np.roll(torn[row : row + tall], int(rng.integers(-9, 10)), axis=1)
    shift = int(rng.integers(3, 5))
    red, blue = np.roll(torn[..., 0], shift, axis=1), np.roll(torn[..., 2], -shift, axis=1)
    signal = _saturated(np.stack([red, torn[..., 1], blue], -1), 1.6, 1.1).astype(np.float32) / 255
    return _picture(signal * (1 - 0.28 * (np.arange(x.shape[0]) % 2))[:, None, None])


# Styles that came later.


def ink_wash(x: Picture, rng: np.random.Generator) -> Picture:
    """Wet greys in three washes with darker rims, a dry brush along the contours, bare paper."""
    wet = cv2.GaussianBlur(_equalised(x, 2.5), (0, 0), 1.6) + 0.05 * _noise(x.shape, rng, 3)
    washes = 0.42 + 0.18 * _steps(wet, 28, 0.22, 0.38, 0.55)
    rim = np.clip(cv2.GaussianBlur(washes, (0, 0), 1.2) - washes, 0, 1)
    brush = np.clip(1.3 * _lines(x, 2.0, 7) * np.clip(1 + 0.35 * _noise(x.shape, rng, 0.7), 0.2, 1.4), 0, 1)
    tone = washes - 1.5 * rim - 0.8 * brush + 0.015 * _noise(x.shape, rng, 0)
    return _mapped(tone, (18, 18, 24), (120, 122, 128), (246, 242, 232))


def delft_tile(x: Picture, rng: np.random.Generator) -> Picture:
    """Cobalt on white glaze: washes and fine contours, a shine in the upper left."""
    grey = cv2.GaussianBlur(_equalised(x, 2.5), (0, 0), 0.8)
    washes = 0.22 + 0.26 * _steps(grey, 22, 0.25, 0.45, 0.65)
    tone = washes - 0.75 * _lines(x, 1.3, 9) + 0.02 * _noise(x.shape, rng, 2)
    tile = _mapped(tone, (12, 28, 98), (72, 112, 190), (196, 214, 236), (250, 250, 246)).astype(np.float32) / 255
    return _picture(tile + 0.35 * _light_at(x, 0.14, 0.16, 0.07)[..., None] * (1 - tile))


def gold_leaf(x: Picture, rng: np.random.Generator) -> Picture:
    """Beaten gold where it is light, lines and shade in dark red earth."""
    grey = cv2.GaussianBlur(_equalised(x, 3.0), (0, 0), 0.7)
    leaf = grey + 0.35 * _relief(x, 0.7, 1.0) + 0.08 * _noise(x.shape, rng, 1.5) - 0.6 * _lines(x, 1.4, 9)
    return _mapped(leaf, (34, 8, 4), (122, 62, 12), (214, 158, 40), (255, 226, 120), (255, 250, 214))


def infrared_film(x: Picture, rng: np.random.Generator) -> Picture:
    """Colour film that sees infrared: fur glows coral, what is dark turns violet."""
    red, green, blue = np.moveaxis(x.astype(np.float32) / 255, -1, 0)
    heat = np.clip(0.6 * red + 0.9 * green - 0.4 * blue, 0, 1)
    heat = np.clip(heat + 0.5 * cv2.GaussianBlur(heat, (0, 0), 3), 0, 1.5)
    film = np.stack([0.05 + heat, 0.76 * red, 0.55 * green + 0.21 * (1 - heat) + 0.08], -1)
    return _picture(film + 0.03 * _noise(x.shape, rng, 0.5)[..., None])


def golden_hour(x: Picture, rng: np.random.Generator) -> Picture:
    """A low warm sun from the left, with its flare; shadows turn blue."""
    warm, cool = np.array([1.28, 0.86, 0.42], np.float32), np.array([0.47, 0.45, 0.7], np.float32)
    sun = np.clip(1.25 - _grid(x)[1] / x.shape[1] + rng.uniform(-0.05, 0.05), 0.25, 1.2)[..., None]
    lit = x.astype(np.float32) / 255 * (warm * sun + cool * np.clip(1 - sun, 0, 1))
    glow = cv2.GaussianBlur(np.clip(lit - 0.45, 0, 1), (0, 0), 5)
    flare = _light_at(x, 0.1, 0, 0.21)[..., None] * np.array([0.6, 0.37, 0.13], np.float32)
    return _picture(lit + 0.6 * glow + flare)


def impasto(x: Picture, rng: np.random.Generator) -> Picture:
    """Thick paint dragged along the forms, with the ridges of a bristle brush lit from the upper left."""
    length = max(2, x.shape[0] // 32)
    wet = _saturated(x, 1.55, 1.05).astype(np.float32) / 255 + 0.05 * _noise(x.shape, rng, 0.6)[..., None]
    along = _contours(x)
    paint = cv2.bilateralFilter(_dragged(np.clip(wet, 0, 1), along, length), 5, 0.12, 2)
    lab = cv2.cvtColor(paint, cv2.COLOR_RGB2LAB)
    lab[..., 0] = 0.5 * lab[..., 0] + 6 * np.round(lab[..., 0] / 12)
    paint = np.clip(1.12 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) - 0.06, 0, 1)
    ridges = _dragged(_noise(x.shape, rng, 0.5), along, 2 * length)
    light = (ridges - np.roll(ridges, (1, 1), (0, 1))) / (ridges.std() + 1e-6)
    light = np.clip(light, -2, 2)[..., None]
    return _picture(paint * (1 + 0.1 * light) + 0.02 * np.clip(light, 0, 2))


def _contours(x: Picture) -> np.ndarray:  # [2, H, W]: columns, rows of unit vectors
    """The direction along which a picture changes least: the structure tensor's minor axis."""
    grey = cv2.GaussianBlur(_grey(x), (0, 0), 1.0)
    gx, gy = cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)
    xx, yy, xy = (cv2.GaussianBlur(part, (0, 0), x.shape[0] / 40) for part in (gx * gx, gy * gy, gx * gy))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)])


def _dragged(tone: np.ndarray, along: np.ndarray, length: int) -> np.ndarray:
    """The mean over the way of `2 * length + 1` pixels that a field of unit vectors leads through each pixel."""

    def at(values: np.ndarray, place: np.ndarray, border: int) -> np.ndarray:
        return cv2.remap(values, place[1], place[0], cv2.INTER_LINEAR, borderMode=border)

    total, start = tone.copy(), np.indices(tone.shape[:2]).astype(np.float32)
    for sign in (1, -1):
        place = start
        for _ in range(length):
            place = place + sign * np.stack([at(part, place, cv2.BORDER_REPLICATE) for part in along[::-1]])
            total += at(tone, place, cv2.BORDER_REFLECT)
    return total / (2 * length + 1)


def _steps(tone: Tone, gain: float, *edges: float) -> Tone:
    """How many of the edges a tone has passed, softly."""
    return np.sum([1 / (1 + np.exp(-gain * (tone - edge))) for edge in edges], axis=0)


def _light_at(x: Picture, row: float, column: float, size: float) -> Tone:
    """A round light, 1 in its middle; all in parts of the picture's sides."""
    rows, columns = _grid(x)
    return np.exp(-((rows / x.shape[0] - row) ** 2 + (columns / x.shape[1] - column) ** 2) / (2 * size**2))


# Other animals, painted over a face whose eyes lie where the program aligns them.

EYE = (0.505, 0.35)  # the left one: row and column, in parts of the side


def tiger(x: Picture, rng: np.random.Generator) -> Picture:
    """Orange fur, a white muzzle that is broader, chevrons on the forehead and bands on the cheeks."""
    x = _magnified(x, (0.65, 0.5, 0.3, 0.4))
    tone, rows, across = _equalised(x), _places(x)[0], np.abs(_places(x)[1] - 0.5)
    orange = _mapped(tone, (40, 16, 4), (190, 88, 16), (246, 160, 52), (255, 214, 140))
    pale = _mapped(tone**0.7, (40, 30, 24), (200, 186, 170), (255, 252, 246))
    brows, cheeks = _both_sides(x, 0.42, 0.36, 0.06, 0.1), _both_sides(x, 0.62, 0.22, 0.14, 0.1)
    fur = _over(orange, pale, _patch(x, 0.74, 0.5, 0.14, 0.2) + brows + cheeks + _patch(x, 0.95, 0.5, 0.15, 0.3))
    wave = 0.16 * _noise(x.shape, rng, x.shape[0] / 20)
    chevrons = np.sin(2 * np.pi * (13 * (rows - 0.55 * across) + wave))
    chevrons *= _within(rows, 0.12, 0.46, 0.1) * _within(across, -1, 0.24, 0.1)
    bands = np.sin(2 * np.pi * (14 * (0.8 * across + 0.6 * (rows - 0.55)) + wave))
    bands *= _within(across, 0.2, 1, 0.1) * _within(rows, 0.4, 0.9, 0.1)
    ink = np.clip(3 * (np.maximum(chevrons, bands) - 0.35), 0, 0.92) * _patch(x, 0.6, 0.5, 0.5, 0.42)
    return _over(_over(fur, np.full_like(fur, (18, 13, 10)), ink), x, _eyes(x))


def panda(x: Picture, rng: np.random.Generator) -> Picture:
    """White fur, black round ears, black patches around the eyes."""
    tone = np.clip(_equalised(x) + 0.02 * _noise(x.shape, rng, 0), 0, 1)
    white = _mapped(0.25 + 0.85 * tone, (60, 60, 64), (190, 190, 190), (255, 254, 250))
    black = _mapped(tone**2, (13, 13, 14), (70, 70, 72))
    marks = _both_sides(x, 0.53, 0.335, 0.12, 0.1) + _both_sides(x, 0.16, 0.2, 0.17, 0.15)
    return _over(_over(white, black, marks), x, _both_sides(x, *EYE, 0.035, 0.05))


def lion(x: Picture, rng: np.random.Generator) -> Picture:
    """Tawny fur, a broad nose, amber eyes, a mane all around."""
    x = _magnified(x, (0.64, 0.5, 0.3, 0.55))
    tone, (rows, columns) = _equalised(x, 1.5), _places(x)
    tawny = _mapped(tone, (46, 26, 10), (176, 124, 66), (226, 182, 116), (250, 232, 196))
    pale = _mapped(tone**0.7, (60, 46, 34), (240, 226, 208), (255, 250, 240))
    face = _over(tawny, pale, 0.7 * _patch(x, 0.76, 0.5, 0.1, 0.16))
    side = x.shape[0]
    away, angle = np.hypot(rows - 0.55, columns - 0.5), np.arctan2(rows - 0.55, columns - 0.5) / (2 * np.pi) + 0.5
    hair = cv2.GaussianBlur(rng.standard_normal((side, 3 * side)).astype(np.float32), (0, 0), 1.2, sigmaY=side / 14)
    lock = angle * (3 * side - 1) + 0.06 * side * np.sin(9 * away + rng.uniform(0, 6))
    strands = cv2.remap(hair / hair.std(), lock, away * side, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    shade = 0.55 + 0.2 * strands - 0.55 * (away - 0.36) + 0.25 * (tone - 0.5)
    mane = _mapped(shade, (36, 16, 4), (122, 66, 22), (200, 132, 56), (238, 190, 110))
    cover = 1 - _patch(x, 0.57, 0.5, 0.36, 0.3, 0.25)
    cover *= 1 - 0.85 * _both_sides(x, 0.22, 0.24, 0.12, 0.1)
    amber = np.clip(x * np.array([1.2, 1.0, 0.5]), 0, 255).astype(np.uint8)
    return _over(_over(face, mane, cover), amber, _eyes(x))


def big_eyes(x: Picture, rng: np.random.Generator) -> Picture:
    """A photo still, with the eyes of a doll over a small muzzle."""
    eyes = 0.5 + rng.uniform(0, 0.05)
    return _magnified(x, (0.5, 0.34, 0.22, eyes), (0.5, 0.66, 0.22, eyes), (0.68, 0.5, 0.2, -0.5))


def _places(x: Picture) -> np.ndarray:  # [2, H, W]: every pixel's row and column, in parts of the picture's sides
    return ((_grid(x).transpose(1, 2, 0) + 0.5) / x.shape[:2]).transpose(2, 0, 1).astype(np.float32)


def _magnified(x: Picture, *lenses: tuple[float, float, float, float]) -> Picture:
    """A picture through round lenses: row, column and radius in parts of its sides, power in (-1, 1)."""
    rows, columns = _places(x)
    for row, column, radius, power in lenses:
        down, right = rows - row, columns - column
        away = np.minimum(np.hypot(down, right) / radius, 1)
        part = 1 - power * (1 - away**2) ** 2
        rows, columns = row + part * down, column + part * right
    where = columns * x.shape[1] - 0.5, rows * x.shape[0] - 0.5
    return cv2.remap(x, *where, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _patch(x: Picture, row: float, column: float, tall: float, wide: float, soft: float = 0.125) -> Tone:
    """An ellipse by its middle and half axes, in parts of the picture's sides: 1 inside, 0 outside, soft between."""
    rows, columns = _places(x)
    away = np.hypot((rows - row) / tall, (columns - column) / wide)
    return 1 / (1 + np.exp(np.clip((away - 1) / soft, -30, 30)))


def _both_sides(x: Picture, row: float, column: float, tall: float, wide: float) -> Tone:
    """A patch and its mirror image."""
    return _patch(x, row, column, tall, wide) + _patch(x, row, 1 - column, tall, wide)


def _eyes(x: Picture) -> Tone:
    return _both_sides(x, *EYE, 0.05, 0.07)


def _within(value: Tone, low: float, high: float, soft: float) -> Tone:
    """1 between two bounds, 0 outside, a ramp inside of each."""
    return np.clip((value - low) / soft, 0, 1) * np.clip((high - value) / soft, 0, 1)


def _over(below: Picture, above: Picture, cover: Tone) -> Picture:
    """One picture over another where `cover` says so, at most wholly."""
    cover = np.clip(cover, 0, 1)[..., None]
    return (below * (1 - cover) + above * cover + 0.5).astype(np.uint8)


# Names as they are written to files; `captions` has the words for each.
STYLES: dict[str, Style] = {
    style.__name__.replace("_", " "): style
    for style in (
        pencil_sketch, colored_pencil, charcoal, woodcut, chalkboard, comic,
        oil_painting, watercolor, pointillism, pop_art,
        bronze_statue, marble_statue, clay_relief, stained_glass, mosaic, cross_stitch,
        blueprint, thermal_camera, neon_night, sepia, black_and_white, night_vision, x_ray, halftone, glitch,
    )
}  # fmt: skip
# With those that the CLIP and the judge which come with the program were not taught.
ALL_STYLES: dict[str, Style] = STYLES | {
    style.__name__.replace("_", " "): style
    for style in (
        ink_wash, impasto, delft_tile, gold_leaf, infrared_film, golden_hour,
        tiger, panda, lion, big_eyes,
    )
}  # fmt: skip

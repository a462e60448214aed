"""Pictures as they come: every kind that must open, and twenty files that must not, each with a word of its message."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

COLOUR = (200, 100, 50)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def plain(mode: str = "RGB", colour: Any = COLOUR, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def palette() -> Image.Image:
    return plain().quantize(8)


def readable() -> dict[str, tuple[bytes, tuple[int, int, int]]]:
    """name -> (file, the colour that its middle must have, 3 off at most)"""
    transparent = palette()
    transparent.info["transparency"] = transparent.getpixel((0, 0))
    grey16 = Image.fromarray(np.full((30, 40), 100 * 257, np.uint16))
    white = (255, 255, 255)
    frames = [plain(), plain(colour=(0, 0, 255))]
    return {
        "png": (encoded(plain()), COLOUR),
        "jpeg": (encoded(plain(), "JPEG", quality=95), COLOUR),
        "webp": (encoded(plain(), "WEBP", lossless=True), COLOUR),
        "bmp": (encoded(plain(), "BMP"), COLOUR),
        "tiff": (encoded(plain(), "TIFF"), COLOUR),
        "grey": (encoded(plain("L", 90)), (90, 90, 90)),
        "bilevel": (encoded(plain("1", 1)), white),
        "grey with alpha": (encoded(plain("LA", (90, 0))), white),
        "alpha": (encoded(plain("RGBA", (0, 0, 0, 0))), white),
        "half alpha": (encoded(plain("RGBA", (0, 0, 0, 128))), (127, 127, 127)),
        "palette": (encoded(palette()), COLOUR),
        "palette with transparency": (encoded(transparent), white),
        "cmyk": (encoded(plain().convert("CMYK"), "JPEG", quality=95), COLOUR),
        "cmyk tiff": (encoded(plain().convert("CMYK"), "TIFF"), COLOUR),
        "16 bit grey": (encoded(grey16), (100, 100, 100)),
        "16 bit tiff of a Mac": (big_endian_tiff(100 * 257), (100, 100, 100)),
        "16 bit tiff": (encoded(grey16, "TIFF"), (100, 100, 100)),
        "float tiff": (encoded(Image.fromarray(np.full((30, 40), 0.5, np.float32)), "TIFF"), (128, 128, 128)),
        "animated gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), COLOUR),
        "animated webp": (encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True), COLOUR),
        "lab": (encoded(plain().convert("YCbCr"), "JPEG", quality=95), COLOUR),
    }


def big_endian_tiff(value: int, width: int = 40, height: int = 30) -> bytes:
    """16 bits a pixel, most significant byte first."""
    pixels = np.full((height, width), value, ">u2").tobytes()
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 277: 1, 278: height, 279: len(pixels)}
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, number) for tag, number in sorted({**tags, 273: start}.items()))
    return b"MM\0*" + struct.pack(">IH", 8, len(tags) + 1) + entries + bytes(4) + pixels


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with almost no data: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def webp_of_size(width: int, height: int) -> bytes:
    """A WebP whose header claims a size."""
    small = encoded(plain(size=(16, 16)), "WEBP", lossless=True)
    bits = (width - 1) | (height - 1) << 14
    at = small.index(b"VP8L") + 9  # after the name, the length and the signature
    return (
        small[:at] + struct.pack("<I", bits | struct.unpack("<I", small[at : at + 4])[0] & 0xF0000000) + small[at + 4 :]
    )


def malformed() -> dict[str, tuple[bytes, str]]:
    """name -> (file, a word of the sentence that refuses it)"""
    png, jpeg = encoded(plain()), encoded(plain(size=(200, 200)), "JPEG")
    text_bomb = PngImagePlugin.PngInfo()
    text_bomb.add_text("comment", "x" * (80 * 2**20), zip=True)
    return {
        "empty": (b"", "empty"),
        "zeros": (bytes(1000), "not a picture"),
        "text": (b"hello, this is my cat", "not a picture"),
        "html": (b"<!DOCTYPE html><html></html>", "web page"),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        "pdf": (b"%PDF-1.7 ...", "PDF"),
        "zip": (b"PK\x03\x04" + bytes(50), "archive"),
        "gzip": (b"\x1f\x8b\x08" + bytes(50), "archive"),
        "heic": (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        "video": (b"\0\0\0\x18ftypisom" + bytes(50), "video"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        "pickle": (b"\x80\x04cos\nsystem\n.", "not a picture"),
        "half a png": (png[: len(png) // 2], "damaged"),
        "half a jpeg": (jpeg[: len(jpeg) // 2], "damaged"),
        "png header alone": (png[:8], "not a picture"),
        "damaged png": (png[:45] + b"\xff" * 20 + png[65:], "damaged"),
        "30 megapixels of WebP": (webp_of_size(6_000, 5_000), "24 megapixels that are read of WEBP"),
        "60 megapixels": (png_of_size(10_000, 6_000), "megapixels"),
        "bomb that Pillow warns of": (png_of_size(10_000, 10_000), "megapixels"),
        "bomb that Pillow refuses": (png_of_size(60_000, 60_000), "megapixels"),
        "one pixel": (encoded(plain(size=(1, 1))), "pixels"),
        "a line": (encoded(plain(size=(400, 2))), "pixels"),
        "zero width": (png_of_size(0, 10), "damaged|not a picture"),
        "endless comment": (encoded(plain(), pnginfo=text_bomb), "damaged"),
        "float without numbers": (encoded(Image.fromarray(np.full((30, 40), np.nan, np.float32)), "TIFF"), "numbers"),
    }

"""Reading and writing pictures of any mode and depth, as RGB (and alpha) arrays.

The official code (BasicSR ``imfrombytes``) turns everything into 8-bit BGR, and takes a truncated file for a picture
whose lower part is grey. Here 16 bits, transparency and the EXIF orientation survive, what cannot be read completely is
an error that names the file, and a written file appears whole or not at all. Pillow decodes; OpenCV does 16-bit colour,
which Pillow does not know.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmrepro.engine.atomic_backend import write_atomically

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
READ_SUFFIXES = (*SUFFIXES, ".gif", ".jfif", ".pbm", ".pgm", ".pnm")  # what is looked for in a user's folder
DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # hold 16 bits
ALPHA_SUFFIXES = (".png", ".tif", ".tiff", ".webp")
INK_SUFFIXES = (".jpeg", ".jpg", ".tif", ".tiff")  # hold CMYK
LARGEST_SIDE = {".jpeg": 65500, ".jpg": 65500, ".webp": 16383}  # pixels, by their libraries
_JPEG, _TIFF = {"quality": 95, "subsampling": 0}, {"compression": "tiff_lzw"}
_OPTIONS = {".jpg": _JPEG, ".jpeg": _JPEG, ".tif": _TIFF, ".tiff": _TIFF, ".webp": {"lossless": True}}
LUMA = (0.299, 0.587, 0.114)  # BT.601, as Pillow makes grey from colour
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B")
_EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
_PNG_DEPTH = 24  # the byte of a PNG file that holds its bit depth
_PNG_HEAD = 8 + 25  # bytes of a PNG file's signature and first chunk
_BITS_PER_SAMPLE, _SUBFILE_TYPE, _ICC_PROFILE = 258, 254, 34675  # TIFF tags
_NO_PAGE = 1 | 4  # in a TIFF file's subfile type: a smaller copy, a mask
_PROFILE_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}


class ImageReadError(ValueError):
    """A file is not a picture that can be read completely."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright.

    Args:
        rgb: (H, W, 3), uint8 or uint16; a grey picture has three equal channels.
        alpha: (H, W) of the same type, 0 is transparent; None where the file has no transparency.
        mode: Pillow's name of the file's mode ("L", "P", "RGB", "CMYK", ...).
        icc_profile: the colour profile, which is not applied, and passed on where the written file holds its colours.
        black: the black ink of a CMYK file, (H, W) uint8, 255 is all of it; None in other modes.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    mode: str = "RGB"
    icc_profile: bytes | None = None
    black: np.ndarray | None = None

    @property
    def grey(self) -> bool:
        """Whether the file holds one channel instead of three."""
        return self.mode in _GREY

    @property
    def peak(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.rgb.dtype).max)

    def floats(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return RGB (H, W, 3) and alpha (H, W) or None as float32 in [0, 1]."""
        scaled = [None if part is None else part.astype(np.float32) / self.peak for part in (self.rgb, self.alpha)]
        return scaled[0], scaled[1]

    def with_floats(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
        """Return a picture of the same mode and depth with other pixels, of any size; black ink is interpolated.

        Args:
            rgb: (H, W, 3) floats, clipped to [0, 1] and rounded, half to even as the official ``tensor2img``.
            alpha: (H, W) floats, or None.
        """
        if self.grey:
            rgb = np.repeat((rgb @ np.asarray(LUMA, rgb.dtype))[..., None], 3, axis=-1)
        black = self.black
        if black is not None:
            size = (rgb.shape[1], rgb.shape[0])
            black = np.asarray(Image.fromarray(black).resize(size, Image.Resampling.BICUBIC))
        alpha = None if alpha is None else self._quantised(alpha)
        return replace(self, rgb=self._quantised(rgb), alpha=alpha, black=black)

    def _quantised(self, values: np.ndarray) -> np.ndarray:
        return (np.clip(values, 0, 1) * self.peak).round().astype(self.rgb.dtype)


def read_picture(path: str | Path) -> Picture:
    """Read a picture file; see :func:`decode_picture`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageReadError: it is not a picture that can be read completely.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such picture. Fix: check the path") from None
    except OSError as fault:
        raise ImageReadError(f"{path} cannot be read: {fault}") from fault
    return decode_picture(content, path)


def decode_picture(content: bytes, name: str | Path = "the picture") -> Picture:
    """Decode a picture file's bytes, turned upright by its EXIF orientation.

    Palettes become colours. CMYK becomes RGB by Pillow's plain formula, without colour management. 16 bits are kept in
    PNG and TIFF, and in grey pictures of any format; other formats are read with 8.

    Args:
        content: the file.
        name: what the errors call it.

    Raises:
        ImageReadError: empty, of an unknown format, damaged, truncated, animated, of several pages, of more than 16
            bits, or of more pixels than Pillow opens.
    """
    if not content:
        raise ImageReadError(f"{name} is empty. Fix: fetch the file again, or leave it out")
    try:
        with Image.open(io.BytesIO(content)) as image:
            _require_one(image, name)
            image.load()  # all of it: a truncated file fails here
            return _picture(image, content, name)
    except ImageReadError:
        raise
    except Image.DecompressionBombError as fault:
        raise too_many_pixels(name) from fault
    except UnidentifiedImageError:
        raise ImageReadError(
            f"{name} ({len(content)} bytes) is not a picture of a known format, or its beginning is damaged. "
            "Fix: fetch the file again, or leave it out"
        ) from None
    except Exception as fault:  # Pillow's decoders raise what they like: OSError, SyntaxError, struct.error, zlib.error
        raise ImageReadError(
            f"{name} ({len(content)} bytes) is not a picture that can be read completely: {fault}. "
            "Fix: fetch the file again, or leave it out"
        ) from fault


def too_many_pixels(name: str | Path) -> ImageReadError:
    """Return the error for a picture that Pillow takes for an attack on the memory."""
    return ImageReadError(
        f"{name} has more than the {2 * Image.MAX_IMAGE_PIXELS:,} pixels that Pillow opens. "
        "Fix: cut it into parts, or raise PIL.Image.MAX_IMAGE_PIXELS in Python"
    )


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a picture as training does: uint8 (H, W, 3), without transparency.

    Raises:
        FileNotFoundError, ImageReadError: as :func:`read_picture`.
    """
    return eight_bit(read_picture(path).rgb)


def decode_rgb(content: bytes, name: str | Path = "the picture") -> np.ndarray:
    """Decode a picture file's bytes to uint8 (H, W, 3), without transparency.

    Raises:
        ImageReadError: as :func:`decode_picture`.
    """
    return eight_bit(decode_picture(content, name).rgb)


def eight_bit(values: np.ndarray) -> np.ndarray:
    """Return uint8 or uint16 values as uint8, rounded."""
    if values.dtype == np.uint8:
        return values
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write_picture(path: str | Path, picture: Picture) -> None:
    """Write a picture; the suffix chooses the format, and the file appears whole or not at all.

    Raises:
        ValueError: the suffix is not known, or its format cannot hold the picture's size, depth or transparency.
    """
    write_atomically(encode_picture(picture, Path(path).suffix, path), path)


def encode_picture(picture: Picture, suffix: str, name: str | Path = "the picture") -> bytes:
    """Return the file that :func:`write_picture` writes.

    A palette is written as colours, 1 bit as 8-bit grey, grey of 16 bits with transparency as colour with it. JPEG has
    quality 95 and all of its colour samples. CMYK stays CMYK where the format is JPEG or TIFF: as much of the black ink
    as leaves no colour too dark, and of the others what Pillow's plain formula needs. EXIF data are not kept.

    Raises:
        ValueError: as :func:`write_picture`.
    """
    suffix = suffix.lower()
    deep = picture.rgb.dtype == np.uint16
    if suffix not in SUFFIXES:
        raise ValueError(f"{name}: pictures cannot be written as {suffix!r}. Fix: one of {', '.join(SUFFIXES)}")
    if deep and suffix not in DEEP_SUFFIXES:
        raise ValueError(f"{name}: {suffix} holds 8 bits, the picture has 16. Fix: .png, or eight_bit(...) first")
    if picture.alpha is not None and suffix not in ALPHA_SUFFIXES:
        raise ValueError(f"{name}: {suffix} holds no transparency. Fix: .png, or leave alpha out")
    side = max(picture.rgb.shape[:2])
    if side > LARGEST_SIDE.get(suffix, side):
        raise ValueError(f"{name}: {suffix} holds {LARGEST_SIDE[suffix]} pixels a side, this has {side}. Fix: .png")
    return _encode_deep(picture, suffix, name) if deep else _encode_shallow(picture, suffix)


def _require_one(image: Image.Image, name: str | Path) -> None:
    """Refuse animations and documents; what a phone hides in its JPEG files, and thumbnails, do not count.

    Raises:
        ImageReadError: the file holds several pictures.
    """
    frames = getattr(image, "n_frames", 1)
    if image.format in ("GIF", "PNG", "WEBP") and frames > 1:
        raise ImageReadError(f"{name} is an animation of {frames} frames. Fix: give single pictures")
    if image.format == "TIFF" and frames > 1:
        pages = 0
        for frame in range(frames):
            image.seek(frame)
            pages += not image.tag_v2.get(_SUBFILE_TYPE, 0) & _NO_PAGE
        image.seek(0)
        if pages > 1:
            raise ImageReadError(f"{name} is a document of {pages} pages. Fix: give single pictures")


def _picture(image: Image.Image, content: bytes, name: str | Path) -> Picture:
    # Of a TIFF file it is 1 by now: Pillow turns that upright while loading, and OpenCV does so too.
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    mode, profile, black = image.mode, image.info.get("icc_profile"), None
    bits = _bits(image, content)
    if bits == 16 and image.mode.startswith("I"):  # grey, which Pillow reads
        pixels, mode = np.repeat(np.asarray(image).astype(np.uint16)[..., None], 3, axis=-1), "I;16"
    elif bits == 16:
        pixels = _decode_deep(content)
    elif image.mode not in _EIGHT_BIT:
        raise ImageReadError(f"{name} has values of mode {image.mode!r}. Fix: save it with 8 or 16 bits per channel")
    else:
        clear = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        pixels = np.asarray(image.convert("RGBA" if clear else "RGB"))
        if mode == "CMYK":
            black = np.ascontiguousarray(_upright(np.asarray(image)[..., 3], orientation))
    pixels = _upright(pixels, orientation)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[-1] == 4 else None
    return Picture(np.ascontiguousarray(pixels[..., :3]), alpha, mode, profile, black)


def _bits(image: Image.Image, content: bytes) -> int:
    """Return the bits per channel of a picture in a format that may have 16, else 8."""
    if image.format == "PNG":
        return max(content[_PNG_DEPTH], 8)
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) if image.mode != "F" else 32
    return 16 if image.mode.startswith("I") else 8


def _decode_deep(content: bytes) -> np.ndarray:
    """Return 16-bit colours, or grey with transparency, as uint16 (H, W, 3 or 4), not turned."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError("16-bit values that OpenCV does not decode")
    if values.shape[-1] == 2:  # grey and alpha
        return values[..., [0, 0, 0, 1]]
    return cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[-1] == 4 else cv2.COLOR_BGR2RGB)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8: the first four mirror or turn by 180 degrees, the others swap the axes too."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    vertical = orientation in (3, 4, 7, 8)
    horizontal = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1]


def _encode_deep(picture: Picture, suffix: str, name: str | Path) -> bytes:
    if picture.alpha is not None:
        values = np.dstack([picture.rgb[..., ::-1], picture.alpha])
    else:
        values = picture.rgb[..., 0] if picture.grey else picture.rgb[..., ::-1]
    done, content = cv2.imencode(suffix, np.ascontiguousarray(values))
    if not done:
        raise ValueError(f"{name}: OpenCV cannot write it as {suffix}")
    profile = _profile_for(picture, "L" if values.ndim == 2 else "RGB")
    if profile is None:
        return content.tobytes()
    return (_png_with_profile if suffix == ".png" else _tiff_with_profile)(content.tobytes(), profile)


def _profile_for(picture: Picture, mode: str) -> bytes | None:
    """Return the picture's colour profile where it describes colours of the mode that is written."""
    profile = picture.icc_profile
    return profile if profile and profile[16:20] == _PROFILE_SPACES[mode] else None


def _png_with_profile(png: bytes, profile: bytes) -> bytes:
    """Return OpenCV's PNG file with a colour profile, which OpenCV leaves out."""
    chunk = b"iCCP" + b"profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:_PNG_HEAD] + chunk + png[_PNG_HEAD:]


def _tiff_with_profile(tiff: bytes, profile: bytes) -> bytes:
    """Return OpenCV's TIFF file with a colour profile: its directory goes once more to the end, one entry longer."""
    order = "<" if tiff[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", tiff, 4)[0]
    count = struct.unpack_from(f"{order}H", tiff, start)[0]
    entries = [tiff[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    body = tiff[8:] + bytes(len(tiff) % 2)  # what is appended begins at even places
    entries.append(struct.pack(f"{order}HHII", _ICC_PROFILE, 7, len(profile), 8 + len(body)))
    entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry)[0])
    body += profile + bytes(len(profile) % 2)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack(f"{order}I", 8 + len(body)) + body + directory


def _encode_shallow(picture: Picture, suffix: str) -> bytes:
    values = picture.rgb[..., 0] if picture.grey else picture.rgb
    if picture.alpha is not None:
        values = np.dstack([values, picture.alpha])
    image = Image.fromarray(values)
    if picture.black is not None and suffix in INK_SUFFIXES:
        image = Image.merge("CMYK", [Image.fromarray(ink) for ink in _inks(picture)])
    options: dict[str, object] = dict(_OPTIONS.get(suffix, {}))
    if (profile := _profile_for(picture, image.mode)) is not None:
        options["icc_profile"] = profile
    stream = io.BytesIO()
    image.save(stream, format=Image.registered_extensions()[suffix], **options)
    return stream.getvalue()


def _inks(picture: Picture) -> list[np.ndarray]:
    """Return cyan, magenta, yellow and black, each (H, W), 255 is all of an ink."""
    black = np.minimum(picture.black, 255 - picture.rgb.max(axis=-1))
    light = 255 - black.astype(np.float32)  # what black leaves of white
    colours = (picture.rgb[..., i] * np.float32(255) / np.maximum(light, 1) for i in range(3))
    return [*(np.where(light > 0, 255 - colour, 0).round().astype(np.uint8) for colour in colours), black]

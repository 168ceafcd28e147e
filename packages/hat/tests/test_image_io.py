"""Pictures of any mode and depth: what is read, what is written, what is refused."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from mm_hat.datasets.image_io import (
    DEEP_SUFFIXES,
    ImageReadError,
    Picture,
    decode_picture,
    eight_bit,
    encode_picture,
    read_picture,
    read_rgb,
    write_picture,
)
from mm_hat.datasets.sub_images import picture_shape

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 9, 3), np.uint8)
DEEP = RANDOM.integers(0, 65536, (6, 9, 3), np.uint16)
ALPHA = RANDOM.integers(0, 256, (6, 9), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_png_becomes_rgb_with_its_transparency(mode):
    image = Image.fromarray(np.dstack([COLOUR, ALPHA]) if mode.endswith("A") else COLOUR).convert(mode)
    picture = decode_picture(encoded(image))
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    assert picture.mode == mode
    assert picture.grey == (mode in ("1", "L", "LA"))
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, ALPHA)


def test_a_transparent_colour_of_a_palette_is_kept():
    image = Image.fromarray(COLOUR).quantize(4)
    picture = decode_picture(encoded(image, transparency=1))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(image) == 1)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_can_become_cmyk_again(kind):
    image = Image.fromarray(COLOUR).convert("CMYK")
    content = encoded(image, kind)
    picture = decode_picture(content)
    np.testing.assert_array_equal(picture.rgb, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    again = encode_picture(picture, {"JPEG": ".jpg", "TIFF": ".tif"}[kind])
    assert Image.open(io.BytesIO(again)).mode == "CMYK"


def test_black_ink_stays_black_ink():
    inks = np.zeros((6, 9, 4), np.uint8)
    inks[..., 3] = ALPHA  # black alone
    inks[0, :, 0] = 200
    inks[0, :, 3] = 40  # and cyan with a little of it
    content = encoded(Image.fromarray(inks, "CMYK"), "TIFF", icc_profile=CMYK)
    picture = decode_picture(content)
    np.testing.assert_array_equal(picture.black, inks[..., 3])
    again = Image.open(io.BytesIO(encode_picture(picture, ".tif")))
    assert again.info["icc_profile"] == CMYK
    assert np.abs(np.asarray(again).astype(int) - inks).max() <= 1
    larger = picture.with_floats(picture.floats()[0].repeat(2, 0).repeat(2, 1))
    values = np.asarray(Image.open(io.BytesIO(encode_picture(larger, ".tif"))))
    assert values.shape == (12, 18, 4)
    shown = np.asarray(Image.fromarray(values, "CMYK").convert("RGB"))
    assert np.abs(shown.astype(int) - larger.rgb).max() <= 1  # whatever black became, the colours are those asked for
    assert values[..., 3].mean() > ALPHA[1:].mean() / 2


def test_a_turned_file_has_turned_inks():
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode_picture(encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", exif=exif))
    assert picture.black.shape == picture.rgb.shape[:2] == (9, 6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(COLOUR), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode_picture(content).rgb, np.asarray(expected))


def with_orientation(tiff: bytes, orientation: int) -> bytes:
    """Add the tag to a little-endian TIFF file: its directory goes once more to the end, one entry longer."""
    start = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, start)[0]
    entries = [tiff[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    entries.append(struct.pack("<HHIHH", 274, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + directory


@pytest.mark.parametrize("values", [COLOUR, DEEP, DEEP[..., 0]])
def test_a_tiff_file_of_any_depth_is_turned_upright_once(values):
    stored = cv2.imencode(".tif", values[..., ::-1] if values.ndim == 3 else np.ascontiguousarray(values))[1].tobytes()
    picture = decode_picture(with_orientation(stored, 6))
    expected = np.rot90(values, -1)
    np.testing.assert_array_equal(picture.rgb, expected if values.ndim == 3 else np.dstack([expected] * 3))
    assert picture.rgb.dtype == values.dtype


def test_a_png_file_of_16_bits_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    stored = cv2.imencode(".png", DEEP[..., ::-1])[1].tobytes()
    head = 8 + 12 + 13  # signature, and the first chunk
    picture = decode_picture(stored[:head] + chunk + stored[head:])
    np.testing.assert_array_equal(picture.rgb, np.rot90(DEEP, -1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_read_and_written_without_loss(tmp_path, suffix, channels):
    path = tmp_path / f"deep{suffix}"
    values = np.dstack([DEEP, DEEP[..., 0]])[..., :channels].squeeze()
    stored = values if channels == 1 else values[..., [2, 1, 0, 3][:channels]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored))
    picture = read_picture(path)
    np.testing.assert_array_equal(
        picture.rgb, np.repeat(values[..., None], 3, -1) if channels == 1 else values[..., :3]
    )
    assert (picture.alpha is not None) == (channels == 4)
    assert picture.grey == (channels == 1)
    write_picture(path, picture)
    again = read_picture(path)
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    assert again.mode == picture.mode
    if channels == 4:
        np.testing.assert_array_equal(again.alpha, values[..., 3])


def test_training_reads_eight_bits_of_sixteen(tmp_path):
    write_picture(tmp_path / "deep.png", Picture(DEEP))
    np.testing.assert_array_equal(read_rgb(tmp_path / "deep.png"), (DEEP / 257).round().astype(np.uint8))
    assert eight_bit(COLOUR) is COLOUR


@pytest.mark.parametrize("values", [COLOUR, DEEP])
def test_floats_and_back_is_the_identity(values):
    picture = Picture(values, alpha=values[..., 1])
    again = picture.with_floats(*picture.floats())
    np.testing.assert_array_equal(again.rgb, values)
    np.testing.assert_array_equal(again.alpha, values[..., 1])


def test_other_pixels_are_clipped_and_grey_stays_grey():
    grey = Picture(np.repeat(ALPHA[..., None], 3, -1), mode="L")
    bright = grey.with_floats(np.stack([np.full((4, 4), value, np.float32) for value in (1.5, 0.0, -1.0)], -1))
    assert (bright.rgb == round((0.299 * 1.5 - 0.114) * 255)).all()
    assert Image.open(io.BytesIO(encode_picture(bright, ".png"))).mode == "L"
    assert Picture(COLOUR).with_floats(np.full((2, 2, 3), 7.0, np.float32)).rgb.min() == 255


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK = bytes(16) + b"CMYK" + bytes(108)  # what tells the space in a profile
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("values", [COLOUR, DEEP])
def test_the_colour_profile_is_passed_on(values, suffix):
    if values is DEEP and suffix not in DEEP_SUFFIXES:
        return
    picture = Picture(values, icc_profile=SRGB)
    content = encode_picture(picture, suffix)
    again = decode_picture(content)
    assert again.icc_profile == SRGB
    if suffix != ".jpg":
        np.testing.assert_array_equal(again.rgb, values)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), -1)[..., ::-1], again.rgb)


def test_a_profile_of_other_colours_than_the_files_is_left_out():
    lab = decode_picture(encoded(Image.fromarray(COLOUR).convert("LAB"), "TIFF", icc_profile=LAB))
    assert lab.icc_profile == LAB
    assert decode_picture(encode_picture(lab, ".tif")).icc_profile is None
    assert decode_picture(encode_picture(Picture(DEEP, mode="I;16", icc_profile=SRGB), ".png")).icc_profile is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, kind):
    path = tmp_path / "broken.picture"
    content = encoded(Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), np.uint8)), kind)
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ImageReadError, match=r"broken\.picture .*Fix"):
        read_picture(path)


def test_too_many_pixels_are_said_to_be_that(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    for function in (read_picture, picture_shape):
        with pytest.raises(ImageReadError, match=r"huge\.png has more than the 40 pixels .*Fix: cut it into parts"):
            function(tmp_path / "huge.png")


def test_what_is_no_picture_is_an_error_that_names_it(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    for name, said in (("empty.png", "is empty"), ("text.png", "is not a picture of a known format")):
        with pytest.raises(ImageReadError, match=rf"{name} .*{said}"):
            read_picture(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png: no such picture"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(ImageReadError, match="cannot be read"):
        read_picture(tmp_path)


def test_a_thumbnail_in_a_tiff_file_is_no_page():
    stream = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(stream) as writer:
        for size, kind in (((9, 6), 0), ((3, 2), 1)):
            image = Image.fromarray(COLOUR).resize(size)
            image.save(writer, format="TIFF", tiffinfo={254: kind})
            writer.newFrame()
    assert decode_picture(stream.getvalue()).rgb.shape == (6, 9, 3)


def test_animations_documents_and_floats_are_refused():
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    with pytest.raises(ImageReadError, match="animation of 2 frames"):
        decode_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    with pytest.raises(ImageReadError, match="document of 2 pages"):
        decode_picture(encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    with pytest.raises(ImageReadError, match="mode 'F'"):
        decode_picture(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


@pytest.mark.parametrize(
    ("picture", "suffix", "said"),
    [
        (Picture(DEEP), ".jpg", "holds 8 bits"),
        (Picture(COLOUR, ALPHA), ".jpg", "no transparency"),
        (Picture(COLOUR), ".docx", "cannot be written"),
        (Picture(np.zeros((1, 16384, 3), np.uint8)), ".webp", "holds 16383 pixels a side, this has 16384"),
    ],
)
def test_a_format_that_would_lose_something_is_refused(tmp_path, picture, suffix, said):
    path = tmp_path / f"out{suffix}"
    with pytest.raises(ValueError, match=rf"out{suffix}.*{said}"):
        write_picture(path, picture)
    assert not list(tmp_path.iterdir())

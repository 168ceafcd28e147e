"""Pictures in, pictures of the same kind out."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import INFERENCERS, MODELS
from PIL import Image

import mm_hat.inferencer
from mm_hat.checkpoint import to_official
from mm_hat.datasets.image_io import ImageReadError, Picture, encode_picture, read_picture
from mm_hat.datasets.imresize import imresize
from mm_hat.inferencer import HATInferencer
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.engine.errors import UserError

TINY = {
    "type": "HAT",
    "img_size": 16,
    "window_size": 4,
    "depths": (2,),
    "embed_dim": 12,
    "num_heads": (2,),
    "squeeze_factor": 6,
    "upscale": 2,
}
BICUBIC = Config({"model": {"type": "ImageRestorer", "generator": {"type": "BicubicUpscaler", "upscale": 2}}})


def config(generator: dict | None = None, **model) -> Config:
    return Config({"model": {"type": "ImageRestorer", "generator": TINY | (generator or {}), **model}})


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(config().model).eval()


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "best.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return path


@pytest.fixture(scope="module")
def bicubic() -> HATInferencer:
    return HATInferencer(BICUBIC, device="cpu")


def pixels(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path: Path, size: tuple[int, int] = (7, 9), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*size, 3, seed=seed)).save(path)
    return path


def names_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_an_array_and_a_picture_give_what_the_network_gives(model, checkpoint, tmp_path):
    path = save(tmp_path / "bird.png")
    inferencer = HATInferencer(config(), checkpoint, device="cpu")
    picture = read_picture(path)
    image = torch.from_numpy(picture.rgb / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = (model.restore(image)[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    assert expected.shape == (14, 18, 3)
    result = inferencer(path)
    assert result["failed"] == {}
    assert np.array_equal(result["predictions"][0].rgb, expected)
    array, again = inferencer([picture.rgb, picture])["predictions"]
    assert np.array_equal(array, expected)
    assert np.array_equal(again.rgb, expected)


def test_official_weights_and_those_beside_a_discriminator_are_the_same(model, checkpoint, tmp_path):
    state = model.state_dict()
    torch.save({"params_ema": to_official(state)}, tmp_path / "official.pth")
    extra = {"discriminator.conv0.weight": torch.zeros(4, 3, 3, 3)}
    torch.save({"state_dict": state | extra}, tmp_path / "gan.pth")
    image = pixels(8, 8, 3)
    results = [
        HATInferencer(config(), path, device="cpu")(image)["predictions"][0]
        for path in (checkpoint, tmp_path / "official.pth", tmp_path / "gan.pth")
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_only_the_generator_of_a_config_is_built(checkpoint):
    gan = config(discriminator={"type": "NoSuchNetwork"}, perceptual_loss={"type": "NoSuchLoss"})
    gan.model.type = "RealHATGAN"
    assert HATInferencer(gan, checkpoint, device="cpu")(pixels(4, 4, 3))["predictions"][0].shape == (8, 8, 3)


def test_a_checkpoint_of_another_scale_and_missing_weights_are_refused(checkpoint):
    with pytest.raises(CheckpointMismatchError, match="upscale: 2 in the file, 4 in the config"):
        HATInferencer(config({"upscale": 4}), checkpoint, device="cpu")
    with pytest.raises(ValueError, match="without weights makes noise"):
        HATInferencer(config(), device="cpu")
    with pytest.raises(FileNotFoundError, match="hat_9xb9 is neither a file nor a config of hat"):
        HATInferencer("hat_9xb9", checkpoint)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"params": {"conv0.weight": torch.zeros(64, 3, 3, 3)}},
            r"it is another network \(1\):\n    a discriminator in the file",
        ),
        (
            {"state_dict": {"projector.weight": torch.zeros(96, 512)}},
            r"no tensor has one of HAT's names; the first is projector\.weight",
        ),
        ([torch.zeros(2)], "holds a list instead of tensors"),
    ],
)
def test_a_file_of_something_else_is_named(tmp_path, content, said):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth(?s:.*){said}"):
        HATInferencer(config(), tmp_path / "other.pth", device="cpu")


def test_a_config_of_something_else_is_named(checkpoint, tmp_path):
    other = tmp_path / "other.py"
    other.write_text("model = dict(type='ITransformerForecaster')\n")
    with pytest.raises(UserError, match=r"other\.py is not a config of HAT: its model has no generator"):
        HATInferencer(other, checkpoint)
    with pytest.raises(UserError, match=r"best\.pth is not a config .*Fix: the config goes before the weights"):
        HATInferencer(checkpoint, checkpoint)


def test_a_device_that_is_not_there_is_named(checkpoint):
    with pytest.raises(UserError, match=r"the device nonsense cannot be used: .*Fix: cpu"):
        HATInferencer(BICUBIC, device="nonsense")


def test_tiles_are_those_asked_for(checkpoint):
    image = pixels(24, 16, 3)
    tiled = HATInferencer(config(test_cfg={"tile": 8, "tile_pad": 4}), checkpoint, device="cpu")
    asked = HATInferencer(config(), checkpoint, device="cpu", tile=8, tile_pad=4)
    whole = HATInferencer(config(), checkpoint, device="cpu")
    results = [inferencer(image)["predictions"][0] for inferencer in (tiled, asked, whole)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    counts = []
    asked.restore(image, lambda done, total: counts.append((done, total)))
    assert counts[-1] == (6, 6)
    with pytest.raises(ValueError, match="a tile of 2 px is smaller than the network's window of 4 px"):
        HATInferencer(config(), checkpoint, device="cpu", tile=2)


def test_bfloat16_stays_close(checkpoint):
    image = pixels(8, 8, 3)
    exact, fast = (HATInferencer(config(), checkpoint, "cpu", bf16=b)(image)["predictions"][0] for b in (False, True))
    assert 0 < np.abs(exact.astype(int) - fast).max() <= 4


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_arrays_of_every_kind_come_back_as_they_were(bicubic, channels, dtype):
    shape = (6, 5) if channels is None else (6, 5, channels)
    values = np.random.default_rng(0).uniform(0.01, 1, shape)  # nothing is fully transparent
    peak = np.iinfo(dtype).max if dtype.startswith("u") else 1
    image = (values * peak).astype(dtype)
    result = bicubic(image)["predictions"][0]
    assert result.dtype == image.dtype
    assert result.shape == (12, 10, *shape[2:])
    expected = imresize(image.astype(np.float64) / peak, 2).clip(0, 1) * peak
    assert np.abs(result - expected).max() <= (0.51 if peak == 255 else 1e-6 * peak + 0.51 * (peak > 1))


@pytest.mark.parametrize(
    ("mode", "suffix", "out_mode"),
    [
        ("L", ".png", "L"),
        ("LA", ".png", "LA"),
        ("P", ".png", "RGB"),
        ("RGB", ".jpg", "RGB"),
        ("RGBA", ".png", "RGBA"),
        ("RGBA", ".webp", "RGBA"),
        ("CMYK", ".jpg", "CMYK"),
        ("CMYK", ".tif", "CMYK"),
        ("I;16", ".png", "I;16"),
        ("I;16", ".tif", "I;16"),
    ],
)
def test_files_of_every_kind_come_back_as_they_were(bicubic, tmp_path, mode, suffix, out_mode):
    path = tmp_path / f"in{suffix}"
    if mode == "I;16":
        Image.fromarray(pixels(9, 7, dtype=np.uint16)).save(path)
    else:
        Image.fromarray(pixels(9, 7, 4)).convert("RGB" if mode == "P" else "RGBA").convert(mode).save(path)
    written = bicubic(path, out_dir=tmp_path / "out")["visualization"][0]
    assert written == [tmp_path / "out" / path.name]
    with Image.open(written[0]) as image:
        assert image.size == (14, 18)
        assert image.mode == out_mode


def test_colour_of_16_bits_stays_so(bicubic, tmp_path):
    picture = Picture(pixels(5, 6, 3, dtype=np.uint16), pixels(5, 6, dtype=np.uint16, seed=1), "RGBA")
    (tmp_path / "deep.png").write_bytes(encode_picture(picture, ".png"))
    written = bicubic(tmp_path / "deep.png", out_dir=tmp_path / "out")["visualization"][0]
    result = read_picture(written[0])
    assert result.rgb.dtype == np.uint16
    alpha = imresize(picture.alpha / 65535, 2).clip(0, 1) * 65535
    assert np.abs(result.alpha - alpha).max() <= 1


def test_edges_of_transparency_do_not_darken(bicubic):
    image = np.zeros((16, 16, 4), np.uint8)  # black below full transparency, as many programs store it
    image[4:12, 4:12] = 255
    result = bicubic(image)["predictions"][0]
    assert (result[..., :3] == 255).all()
    expected = imresize(image[..., 3] / 255, 2).clip(0, 1) * 255
    assert np.abs(result[..., 3] - expected).max() <= 0.51


@pytest.mark.parametrize("alpha", [0, 255])
def test_colours_are_kept_where_all_or_nothing_is_transparent(bicubic, alpha):
    image = np.dstack([pixels(5, 6, 3), np.full((5, 6), alpha, np.uint8)])
    assert np.array_equal(bicubic(image)["predictions"][0][..., :3], bicubic(image[..., :3])["predictions"][0])


def test_a_turned_photograph_is_restored_upright(bicubic, tmp_path):
    image, exif = Image.fromarray(pixels(9, 7, 3)), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    result = bicubic(tmp_path / "turned.png")["predictions"][0]
    assert result.rgb.shape == (14, 18, 3)
    expected = imresize(np.rot90(pixels(9, 7, 3), -1) / 255, 2).clip(0, 1) * 255
    assert np.abs(result.rgb - expected).max() <= 0.51


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (3, 2), (17, 5)])
def test_every_size_is_taken(checkpoint, size):
    result = HATInferencer(config(), checkpoint, device="cpu")(pixels(*size, 3))["predictions"][0]
    assert result.shape == (2 * size[0], 2 * size[1], 3)


def test_a_folder_goes_into_a_folder_and_bad_files_are_reported_at_the_end(bicubic, tmp_path, monkeypatch):
    photos, out = tmp_path / "photos", tmp_path / "photos" / "out"
    save(photos / "a.png")
    save(photos / "deeper" / "B.JPG")
    Image.fromarray(pixels(6, 6)).save(photos / "deeper" / "été.gif")
    (photos / "empty.png").touch()
    (photos / "notes.txt").write_text("not a picture")
    whole = save(tmp_path / "whole.jpg", (64, 64)).read_bytes()
    (photos / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    logged = []
    monkeypatch.setattr(mm_hat.inferencer, "print_log", lambda message, *args: logged.append((message, args[-1])))
    for _ in range(2):  # the second run does not take the results of the first for inputs
        result = bicubic(photos, out_dir=out)
        assert names_below(out) == ["a.png", "deeper/B.JPG", "deeper/été.png"]
        assert result["predictions"] == []
        below = out / "deeper"
        assert result["visualization"] == [[out / "a.png"], [below / "B.JPG"], [below / "été.png"], [], []]
        assert list(result["failed"]) == [str(photos / "empty.png"), str(photos / "truncated.jpg")]
        assert "is empty" in result["failed"][str(photos / "empty.png")]
        assert "truncated" in result["failed"][str(photos / "truncated.jpg")]
    message, level = logged[-1]
    assert message.startswith("2 of 5 pictures failed:\n")
    assert str(photos / "truncated.jpg") in message
    assert level == logging.WARNING


def test_a_single_bad_file_is_an_error(bicubic, tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageReadError, match=r"empty\.png is empty"):
        bicubic(tmp_path / "empty.png", out_dir=tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"nothing\.png: no such picture"):
        bicubic(str(tmp_path / "nothing.png"))
    assert not (tmp_path / "out").exists()


def test_in_a_list_a_failed_picture_leaves_its_place(bicubic, tmp_path):
    result = bicubic([pixels(4, 4, 3), tmp_path / "nothing.png", pixels(4, 4)])
    assert [prediction is None for prediction in result["predictions"]] == [False, True, False]
    assert list(result["failed"]) == [str(tmp_path / "nothing.png")]


def test_inputs_are_never_replaced(bicubic, tmp_path):
    path = save(tmp_path / "a.png")
    before = path.read_bytes()
    for inputs in (path, [path], tmp_path):
        with pytest.raises(UserError, match=r"a\.png is an input, and its result would replace it"):
            bicubic(inputs, out_dir=tmp_path)
    assert path.read_bytes() == before


def test_a_result_whose_suffix_changes_replaces_no_input(bicubic, tmp_path):
    folder, other = tmp_path / "x", save(tmp_path / "out" / "sub" / "b.png")
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(pixels(6, 6)).save(folder / "sub" / "b.gif")
    before = other.read_bytes()
    result = bicubic([folder, other], out_dir=tmp_path / "out")
    assert result["visualization"] == [[tmp_path / "out/sub/b_2.png"], [tmp_path / "out/b.png"]]
    assert other.read_bytes() == before


def test_results_may_go_above_the_folder(bicubic, tmp_path, monkeypatch):
    save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert bicubic("photos", out_dir=".")["visualization"] == [[Path("a.png")]]


def test_a_side_that_the_format_cannot_hold_makes_it_a_png(bicubic, tmp_path):
    path = save(tmp_path / "long.webp", (1, 8192))
    assert bicubic(path, out_dir=tmp_path / "out")["visualization"] == [[tmp_path / "out" / "long.png"]]


def test_equal_names_get_numbers_and_other_formats_become_png(bicubic, tmp_path):
    paths = [save(tmp_path / folder / "a.png") for folder in ("x", "y")]
    Image.fromarray(pixels(6, 6)).save(tmp_path / "a.gif")
    deep = Picture(pixels(4, 4, 3, dtype=np.uint16))
    floats = np.zeros((4, 4), np.float32)
    result = bicubic([*paths, tmp_path / "a.gif", deep, floats], out_dir=tmp_path / "out")
    assert result["failed"] == {}
    written = [files[0].name for files in result["visualization"]]
    assert written == ["a.png", "a_2.png", "a_3.png", "picture4.png", "picture5.png"]
    assert read_picture(tmp_path / "out" / "picture4.png").rgb.dtype == np.uint16
    assert read_picture(tmp_path / "out" / "picture5.png").mode == "I;16"


def test_crops_are_drawn_beside_the_result(bicubic, tmp_path):
    result = bicubic(save(tmp_path / "a.png", (30, 24)), out_dir=tmp_path / "out", crops=True)
    assert [path.name for path in result["visualization"][0]] == ["a.png", "a_crops.png"]
    assert names_below(tmp_path / "out") == ["a.png", "a_crops.png"]
    with pytest.raises(UserError, match="give out_dir"):
        bicubic(pixels(4, 4, 3), crops=True)


def test_what_cannot_be_written_leaves_nothing(bicubic, tmp_path, monkeypatch):
    def full(path, picture):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mm_hat.inferencer, "write_picture", full)
    result = bicubic([save(tmp_path / "a.png", (30, 24))], out_dir=tmp_path / "out", crops=True)
    assert "No space left" in result["failed"][str(tmp_path / "a.png")]
    assert names_below(tmp_path / "out") == []


def test_an_output_that_is_not_finite_is_not_written(checkpoint, tmp_path):
    inferencer = HATInferencer(config(), checkpoint, device="cpu")
    with torch.no_grad():
        inferencer.model.generator.conv_first.weight.fill_(float("nan"))
    with pytest.raises(ArithmeticError, match="output is not finite"):
        inferencer(pixels(4, 4, 3), out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 5), np.uint8), r"1 to 4 channels; its shape is \(4, 4, 5\)"),
        (np.zeros(4, np.uint8), r"must be \(H, W\) or"),
        (np.zeros((4, 4), np.int64), "not of int64"),
        (np.full((4, 4), 255.0), r"must lie in \[0, 1\]"),
        (np.full((4, 4), np.nan), r"must lie in \[0, 1\]"),
        (Picture(np.zeros((4, 0, 3), np.uint8)), "no pixels"),
    ],
)
def test_bad_arrays_are_refused(bicubic, image, message):
    with pytest.raises(ValueError, match=message):
        bicubic(image)


def test_a_file_in_place_of_the_folder_of_results_is_named(bicubic, tmp_path):
    path = save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is a file\. Fix: give a folder"):
        bicubic(path, out_dir=path)


def test_nothing_to_do_is_an_error(bicubic, tmp_path):
    with pytest.raises(UserError, match="has no pictures"):
        bicubic(tmp_path)
    with pytest.raises(UserError, match="the list is empty"):
        bicubic([])


def test_a_grey_network_takes_grey_pictures_only():
    generator = TINY | {"in_chans": 1}
    torch.manual_seed(0)
    inferencer = HATInferencer(BICUBIC, device="cpu")
    inferencer.model = MODELS.build({"type": "ImageRestorer", "generator": generator}).eval()
    assert inferencer(pixels(5, 5))["predictions"][0].shape == (10, 10)
    with pytest.raises(ValueError, match="the network is for grey ones"):
        inferencer(pixels(5, 5, 3))


def test_progress_counts_pictures_and_tiles(checkpoint, monkeypatch):
    bars = []

    class Recorded(mm_hat.inferencer.Progress):
        def stop(self):
            bars.append([(task.description, task.completed, task.total) for task in self.tasks])
            super().stop()

    monkeypatch.setattr(mm_hat.inferencer, "Progress", Recorded)
    inferencer = HATInferencer(config(), checkpoint, device="cpu", tile=4, tile_pad=4, show_progress=True)
    inferencer([pixels(8, 8, 3), pixels(4, 8, 3)])
    assert bars == [[("pictures", 2, 2), ("parts", 2, 2)]]


@pytest.mark.parametrize("tile", [4, "exact"])
def test_progress_ends_where_all_is_done(checkpoint, tile):
    calls = []
    inferencer = HATInferencer(config(), checkpoint, device="cpu", tile=tile)
    inferencer.restore(pixels(8, 8, 3), lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1][0] == calls[-1][1] > 1


def test_the_inferencer_is_registered():
    assert INFERENCERS.get("HATInferencer") is HATInferencer

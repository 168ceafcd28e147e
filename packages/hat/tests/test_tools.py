"""The tools beside train and test: pictures into a folder, and a folder measured."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image

import mm_hat
from mm_hat.datasets.imresize import imresize
from mm_hat.evaluation import psnr, ssim, upscale_bicubic
from mm_hat.evaluation.folders import measure_folders
from mmrepro.engine.errors import UserError

TOOLS = Path(__file__).resolve().parents[1] / "tools"
enlarge = runpy.run_path(str(TOOLS / "enlarge.py"))["main"]
evaluate_folder = runpy.run_path(str(TOOLS / "evaluate_folder.py"))["main"]


def smooth(seed: int, size: tuple[int, int] = (42, 46)) -> np.ndarray:
    """Return a random picture that bicubic interpolation gets nearly right."""
    coarse = np.random.default_rng(seed).random((size[0] // 2, size[1] // 2, 3))
    return (imresize(coarse, 2).clip(0, 1) * 255).round().astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def shrunk(pixels: np.ndarray, scale: int) -> np.ndarray:
    height, width = (side // scale * scale for side in pixels.shape[:2])
    return imresize(pixels[:height, :width], 1 / scale, mode="uint8", border="replicate")


@pytest.fixture
def truths(tmp_path) -> Path:
    for seed in range(2):
        truth = smooth(seed, (43, 46))
        save(tmp_path / "truth" / f"img_{seed}_SRF_2_HR.png", truth)
        save(tmp_path / "truth" / f"img_{seed}_SRF_2_LR.png", shrunk(truth, 2))
    return tmp_path / "truth"


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize("tool", ["enlarge", "evaluate_folder"])
def test_help_needs_no_torch(tool):
    code = f"""
import runpy, sys
sys.argv = ["{tool}.py", "--help"]
try:
    runpy.run_path({str(TOOLS / tool) + ".py"!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_folder_is_enlarged_and_measured(truths, tmp_path, capsys):
    low = [str(path) for path in sorted(truths.glob("*_LR.png"))]
    enlarge(["bicubic_x2", "none", *low, "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert capsys.readouterr().out.endswith(f"2 of 2 pictures are in {tmp_path / 'out'}\n")
    for given in ([], ["--low", str(truths)]):
        report = tmp_path / "reports" / "values.json"
        evaluate_folder([str(tmp_path / "out"), str(truths), "--scale", "2", "--out", str(report), *given])
        values = json.loads(report.read_text())
        assert values["failed"] == {}
        assert [one["name"] for one in values["Y"]["pictures"]] == ["img_0", "img_1"]
        for channels, convert_to in (("Y", "Y"), ("RGB", None)):
            truth = smooth(1, (43, 46))[:42]
            baseline = upscale_bicubic(tensor(shrunk(truth, 2)) / 255, 2)
            last = values[channels]["pictures"][1]
            assert last["baseline_psnr"] == pytest.approx(psnr(baseline, tensor(truth), 2, convert_to), abs=1e-9)
            assert last["baseline_ssim"] == pytest.approx(ssim(baseline, tensor(truth), 2, convert_to), abs=1e-9)
            assert last["psnr"] == last["baseline_psnr"]
            both = [one["ssim"] for one in values[channels]["pictures"]]
            assert values[channels]["mean"]["ssim"] == pytest.approx(sum(both) / 2)
    shown = capsys.readouterr().out
    assert shown.count("Y, PSNR/SSIM") == 2
    assert "regenerated" in shown
    assert "stored" in shown


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


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> list[str]:
    """Return a tiny network's config and checkpoint, as the command line has them."""
    folder = tmp_path_factory.mktemp("network")
    model = {"type": "ImageRestorer", "generator": TINY}
    (folder / "tiny.py").write_text(f"model = {model!r}\n")
    torch.manual_seed(0)
    torch.save({"state_dict": MODELS.build(model).state_dict(), "meta": {}}, folder / "tiny.pth")
    return [str(folder / "tiny.py"), str(folder / "tiny.pth")]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["--tile", "exact"], {"tile": "exact"}),
        (["--tile", "auto"], {"tile": "auto"}),
        (["--tile", "8", "--tile-pad", "4"], {"tile": 8, "tile_pad": 4}),
        (["--tile", "8", "--tile-pad", "4", "--feather", "4"], {"tile": 8, "tile_pad": 4, "feather": 4}),
        (["--bf16"], {"bf16": True}),
    ],
)
def test_the_options_of_enlarge_are_the_inferencers(network, tmp_path, monkeypatch, options, settings):
    image = smooth(0, (24, 16))
    made = []

    class Recorded(mm_hat.HATInferencer):
        def __init__(self, *args, **kwargs):
            made.append(kwargs)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(mm_hat, "HATInferencer", Recorded)
    path = save(tmp_path / "a.png", image)
    enlarge([*network, str(path), "--out", str(tmp_path / "out"), "--device", "cpu", *options])
    defaults = {"tile": None, "tile_pad": None, "feather": None, "bf16": False}
    assert made == [{"device": "cpu", "show_progress": True} | defaults | settings]
    monkeypatch.undo()
    expected = mm_hat.HATInferencer(*network, device="cpu", **settings)(image)["predictions"][0]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


def test_enlarge_draws_crops(tmp_path):
    path = save(tmp_path / "a.png", smooth(0))
    enlarge(["bicubic_x2", "none", str(path), "--out", str(tmp_path / "out"), "--crops"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a_crops.png"]


def test_a_failed_picture_makes_the_status_1(tmp_path, capsys):
    save(tmp_path / "in" / "a.png", smooth(0))
    (tmp_path / "in" / "b.png").write_text("not a picture")
    with pytest.raises(SystemExit) as stop:
        enlarge(["bicubic_x2", "none", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert "1 of 2 pictures are in" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hat_9xb9", "none"], "error: hat_9xb9 is neither a file nor a config of hat"),
        (["bicubic_x2", "nowhere.pth"], "error: there is no checkpoint nowhere.pth"),
        (["bicubic_x2", "none", "--tile", "huge"], "error: test_cfg: tile='huge'"),
        (["bicubic_x2", "none", "--device", "nonsense"], "error: the device nonsense cannot be used"),
    ],
)
def test_a_users_mistake_is_one_line(tmp_path, arguments, said):
    path = save(tmp_path / "a.png", smooth(0))
    with pytest.raises(SystemExit) as stop:
        enlarge([*arguments[:2], str(path), *arguments[2:], "--out", str(tmp_path / "out")])
    assert str(stop.value.code).startswith(said)
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_reported_and_the_others_are_measured(truths, tmp_path):
    save(tmp_path / "out" / "img_0_SRF_2_LR.png", smooth(0)[:40])
    with pytest.raises(SystemExit) as stop:
        evaluate_folder([str(tmp_path / "out"), str(truths), "--scale", "2"])
    first, second, third = str(stop.value.code).splitlines()
    assert first == "2 pictures were not measured:"
    assert f"img_1_SRF_2_HR.png: no picture of this name in {tmp_path / 'out'}" in second
    assert "img_0_SRF_2_LR.png: has 46 x 40 pixels; of " in third
    assert "img_0_SRF_2_HR.png 46 x 42 count at scale 2. Fix: 46 x 42 pixels, or another scale" in third


def test_low_pictures_of_another_scale_are_refused_and_those_of_the_uncut_truth_are_cut(tmp_path):
    truth = smooth(0, (44, 46))[:43]
    ours = save(tmp_path / "out" / "a.png", truth[:42])
    whole = save(tmp_path / "truth" / "a.png", truth)
    low = save(tmp_path / "low" / "a.png", imresize(truth, 1 / 2, mode="uint8", border="replicate"))
    assert np.asarray(Image.open(low)).shape == (22, 23, 3)
    results, failed = measure_folders(ours, whole, 2, low)
    assert failed == {}
    assert results["Y"][0]["baseline_psnr"] > 20
    save(ours, truth[:40, :44])
    assert measure_folders(ours, whole, 4)[1] == {}
    _, failed = measure_folders(ours, whole, 4, low)  # made at x2
    assert "low/a.png has 23 x 22 pixels; of " in failed[str(ours)]
    assert "Fix: 11 x 10 pixels, or another scale" in failed[str(ours)]


def test_names_are_taken_whole_where_they_are_the_same(tmp_path):
    for name in ("fox1", "fox2", "max1"):  # without what looks like a scale, the first two would be one
        save(tmp_path / "truth" / f"{name}.png", smooth(0))
        save(tmp_path / "out" / f"{name}.png", smooth(0))
    results, failed = measure_folders(tmp_path / "out", tmp_path / "truth", 2)
    assert [one["name"] for one in results["Y"]] == ["fox1", "fox2", "max1"]
    assert failed == {}
    assert results["RGB"][0]["psnr"] == float("inf")
    assert results["RGB"][0]["baseline_psnr"] < 60


def test_equal_pictures_are_null_in_json(tmp_path, capsys):
    path = save(tmp_path / "a.png", smooth(0))
    evaluate_folder([str(path), str(path), "--scale", "2", "--per-image", "--out", str(tmp_path / "values.json")])
    assert json.loads((tmp_path / "values.json").read_text())["Y"]["mean"]["psnr"] is None
    assert "inf/1.0000" in capsys.readouterr().out


def test_at_scale_1_the_input_is_the_baseline(tmp_path):
    truth = smooth(0)
    places = {name: save(tmp_path / name / "a.png", image) for name, image in (("truth", truth), ("low", truth // 2))}
    with pytest.raises(UserError, match="Fix: give the folder of those, low"):
        measure_folders(places["low"], places["truth"], 1)
    results, _ = measure_folders(places["truth"], places["truth"], 1, places["low"], crop_border=0)
    assert results["RGB"][0]["baseline_psnr"] == psnr(tensor(truth // 2), tensor(truth))


def test_nothing_to_measure_is_an_error(tmp_path):
    save(tmp_path / "a" / "bird.png", smooth(0))
    save(tmp_path / "b" / "cat.png", smooth(0))
    save(tmp_path / "twice" / "x" / "bird.png", smooth(0))
    save(tmp_path / "twice" / "bird.bmp", smooth(0))
    (tmp_path / "empty").mkdir()
    for places, said in (
        (("a", "b"), "no picture is in each of .*Fix: give them the same names"),
        (("a", "nowhere"), "nowhere: no such file or folder"),
        (("empty", "b"), "empty has no pictures"),
        (("a", "twice"), "have one name, 'bird'"),
    ):
        with pytest.raises(UserError, match=said):
            measure_folders(tmp_path / places[0], tmp_path / places[1], 2)
    with pytest.raises(UserError, match="scale 0"):
        measure_folders(tmp_path / "a", tmp_path / "a", 0)

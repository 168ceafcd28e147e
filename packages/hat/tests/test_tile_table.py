"""What tiles change: networks whose answer is known, the pictures that count, and the command."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mm_hat.evaluation.tile_table import COLUMNS, FEATHERED, TileEffect, cells, samples_of, tile_effects
from mm_hat.models import ImageRestorer
from mmrepro import papers
from mmrepro.datasets.generated.textures import texture_folder

TOOL = Path(__file__).resolve().parents[1] / "tools" / "tile_table.py"
SIZES = {
    "img_size": 16,
    "window_size": 8,
    "squeeze_factor": 6,
    "depths": (2,),
    "embed_dim": 12,
    "num_heads": (2,),
    "upscale": 2,
}


@MODELS.register_module()
class NearestForTiles(nn.Module):
    """A network of window 8 that sees ``reach`` pixels to each side, and zeros beyond its input."""

    upscale, window_size = 2, 8

    def __init__(self, reach: int):
        super().__init__()
        self.reach = reach
        self.seen = 0

    def forward(self, images):
        self.seen += images[0, 0].numel()
        smooth = F.avg_pool2d(images, 2 * self.reach + 1, stride=1, padding=self.reach)
        return F.interpolate(smooth, scale_factor=2)


@pytest.fixture
def restorer():
    def build(reach):
        return ImageRestorer({"type": "NearestForTiles", "reach": reach})

    return build


@pytest.fixture(scope="module")
def samples():
    return list(samples_of(texture_folder(2, 80, seed=50), 2))  # inputs of 40 x 40


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("mm_hat_test_tile_table_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tiles_of_a_network_without_context_change_nothing(restorer, samples):
    for effect in tile_effects(restorer(0), samples, [8, 24], [0, 8]):
        assert set(effect.changes) == {0}
        assert set(effect.likenesses) == {math.inf}


def test_seams_show_until_the_overlap_covers_what_the_network_sees(restorer, samples):
    cut, overlapping = tile_effects(restorer(3), samples, [16], [0, 8])
    assert cut.changes[0] < -0.1
    assert cut.likenesses[0] < 40
    assert overlapping.changes[0] == 0
    assert overlapping.likenesses[0] == math.inf
    # Feathered as widely as the overlap, tiles mix in what lies four pixels inside their edge, which is right too.
    assert overlapping.likenesses[1] == math.inf


def test_feathered_seams_differ_from_hard_ones_where_tiles_do_not_agree(restorer, samples):
    (effect,) = tile_effects(restorer(7), samples, [16], [8])
    assert len(effect.changes) == len(effect.likenesses) == 2
    assert effect.likenesses[0] != effect.likenesses[1] < math.inf


def test_feathering_does_not_run_the_network_again(restorer, samples):
    model = restorer(1)
    (effect,) = tile_effects(model, samples[:1], [16], [8])
    whole = 40 * 40
    tiles = (24 + 32 + 16) ** 2  # along an axis tiles of 16, 16 and 8 with what they overlap
    assert model.generator.seen == whole + tiles
    assert effect.seen == tiles / whole


def test_pictures_that_fit_into_a_tile_do_not_count(restorer, samples):
    small = samples_of(texture_folder(1, 32, seed=60), 2)
    effects = tile_effects(restorer(1), [*samples, *small], [8, 16, 40], [0])
    assert [(effect.tile, effect.pictures) for effect in effects] == [(8, 3), (16, 2)]
    with pytest.raises(ValueError, match=r"no picture is larger than a tile of 40 px"):
        tile_effects(restorer(1), samples, [40, 48], [0])


@pytest.mark.parametrize(("tile", "overlap"), [(12, 0), (16, 4), (4, 0)])
def test_tiles_that_do_not_fit_the_window_are_refused_before_anything_runs(restorer, samples, tile, overlap):
    model = restorer(1)
    with pytest.raises(ValueError, match=rf"tile(=| of ){tile}"):
        tile_effects(model, samples, [16, tile], [0, overlap])
    assert model.generator.seen == 0


def test_the_mean_likeness_is_that_of_the_mean_error(restorer, samples):
    one, other = (tile_effects(restorer(3), [sample], [16], [0])[0] for sample in samples)
    (both,) = tile_effects(restorer(3), samples, [16], [0])
    error = sum(10 ** (-effect.likenesses[0] / 10) for effect in (one, other)) / 2
    assert both.likenesses[0] == pytest.approx(-10 * math.log10(error))
    assert both.changes[0] == pytest.approx((one.changes[0] + other.changes[0]) / 2)


def test_cells_are_decibels_and_a_dash_where_nothing_overlaps():
    effects = [
        TileEffect(32, 0, 5, 1.0, (-0.4271,), (50.06,)),
        TileEffect(32, 8, 5, 2.086, (-1e-5, 0.001), (80, math.inf)),
    ]
    head, rows = cells(effects)
    assert head == [*COLUMNS, *FEATHERED]
    assert rows == [
        ["32", "0", "5", "1.00 ×", "-0.427", "50.1", "-", "-"],
        ["32", "8", "5", "2.09 ×", "+0.000", "80.0", "+0.001", "inf"],
    ]


def test_samples_come_from_files_folders_and_sets(monkeypatch, tmp_path):
    folder = texture_folder(2, 80, seed=50)
    whole, (first,) = samples_of(folder, 2), samples_of(min(folder.iterdir()), 2)
    assert torch.equal(whole[0]["inputs"], first["inputs"])
    assert (first["inputs"].shape, first["data_samples"].gt_img.shape) == ((3, 40, 40), (3, 80, 80))
    (tmp_path / "Set5" / "GT").mkdir(parents=True)
    (tmp_path / "Set5" / "GT" / "a.png").write_bytes(min(folder.iterdir()).read_bytes())
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    (of_set,) = samples_of("Set5", 2)
    assert torch.equal(of_set["inputs"], first["inputs"])


def test_what_is_not_there_and_scale_1_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lost\.png is no file, no folder and none of the test sets Set5"):
        samples_of(tmp_path / "lost.png", 2)
    with pytest.raises(ValueError, match=r"at scale 1"):
        samples_of(tmp_path, 1)


def test_the_command_prints_a_table(tool, tmp_path, capsys):
    config = Config.fromfile(papers.find_config("hat", "hat_8xb4-500k_df2k-x2"))
    config.model.generator = {"type": "HAT", **SIZES}
    config.dump(tmp_path / "mine.py")
    weights = ImageRestorer(config.model.generator).state_dict()
    torch.save({"state_dict": weights}, tmp_path / "mine.pth")
    words = [str(tmp_path / "mine.py"), str(tmp_path / "mine.pth"), str(texture_folder(1, 40, seed=50))]
    tool.main([*words, "--tiles", "8", "16", "--overlaps", "0", "8", "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-6].startswith("| tile | overlap | pictures | pixels seen |")
    assert [line.split(" | ")[:3] for line in lines[-4:]] == [
        [f"| {tile}", f"{overlap}", "1"] for tile in (8, 16) for overlap in (0, 8)
    ]
    with pytest.raises(SystemExit, match=r"^error: tile=12 and overlap=0 must be multiples of the window of 8 px"):
        tool.main([*words, "--tiles", "12"])

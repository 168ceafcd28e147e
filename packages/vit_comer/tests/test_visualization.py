"""Drawings: colours and names of labels are the right ones, and every figure is a whole picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from mm_vit_comer import visualization
from mm_vit_comer.feature_maps import FeatureTrace, trace_features
from mm_vit_comer.models.vit_comer import ViTCoMer
from mm_vit_comer.visualization import (
    draw_feature_maps,
    draw_interactions,
    draw_samples,
    overlay,
    with_legend,
)

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
CLASSES = ("red", "green", "blue")


@pytest.fixture
def picture():
    return np.full((40, 60, 3), 100, np.uint8)


def test_labels_are_laid_over_in_their_colours(picture):
    labels = np.zeros((40, 60), int)
    labels[:, 30:], labels[:5] = 2, 255
    drawn = overlay(picture, labels, PALETTE, opacity=0.5)
    assert drawn[20, 10].tolist() == [178, 50, 50]
    assert drawn[20, 40].tolist() == [50, 50, 178]
    assert drawn[2, 2].tolist() == [50, 50, 50]  # nothing
    np.testing.assert_array_equal(overlay(picture, labels, PALETTE, opacity=0), picture)
    assert drawn.dtype == np.uint8


def test_the_legend_names_what_is_there_the_largest_first(picture):
    labels = np.full((40, 60), 2)
    labels[:10] = 0
    drawn = with_legend(picture, labels, CLASSES, PALETTE)
    np.testing.assert_array_equal(drawn[:40, :60], picture)
    found = [tuple(int(value) for value in colour) for colour in drawn[:, 75]]
    seen = [colour for colour in found if colour in PALETTE]
    assert (seen[0], seen[-1]) == (PALETTE[2], PALETTE[0])
    assert PALETTE[1] not in found


def test_a_legend_of_many_classes_ends(picture):
    labels = np.arange(40 * 60).reshape(40, 60) % 60
    names = [f"class {number}" for number in range(60)]
    drawn = with_legend(picture, labels, names, [(number, 0, 0) for number in range(60)])
    assert drawn.shape[0] < 30 * 20


@pytest.mark.parametrize("maps", [(0, 1, 2, 3), (1, 2, 3)])
def test_features_interactions_and_points_are_drawn(tmp_path, maps):
    torch.manual_seed(0)
    backbone = ViTCoMer(
        arch=dict(embed_dim=24, depth=4, num_heads=2),
        variant="det",
        pretrain_size=64,
        conv_inplane=8,
        deform_num_heads=2,
        out_indices=maps,
    ).eval()
    trace = trace_features(backbone, torch.randn(1, 3, 64, 96))
    shown = np.zeros((32, 48, 3), np.uint8)  # the picture in its own size
    files = [
        draw_feature_maps(shown, trace, tmp_path / "deep" / "features.png"),
        draw_interactions(shown, trace, tmp_path / "interactions.png"),
        draw_samples(shown, trace, tmp_path / "samples.png", place=(47, 31)),
        draw_samples(shown, trace, tmp_path / "to_v.png", interaction=3, stage="to_v"),
    ]
    for file in files:
        with Image.open(file) as drawing:
            drawing.load()
            assert min(drawing.size) > 100
    with pytest.raises(IndexError, match="is not in the image"):
        draw_samples(shown, trace, tmp_path / "outside.png", place=(48, 0))


def test_maps_whose_last_cells_reach_beyond_the_picture_are_cut(tmp_path, monkeypatch):
    """80 pixels in two and a half cells of 32."""
    drawn = []
    monkeypatch.setattr(visualization, "write_figure", lambda figure, _: drawn.append(figure))
    maps = tuple(torch.rand(4, -(-48 // stride), -(-80 // stride)) for stride in (8, 16, 32))
    trace = FeatureTrace((48, 80), (8, 16, 32), maps, maps, (maps,), (maps,), {})
    picture = np.zeros((48, 80, 3), np.uint8)
    draw_feature_maps(picture, trace, tmp_path / "maps.png")
    draw_interactions(picture, trace, tmp_path / "interactions.png")
    frames = {(axis.get_xlim(), axis.get_ylim()) for figure in drawn for axis in figure.axes}
    assert frames == {((-0.5, 79.5), (47.5, -0.5))}
    assert list(drawn[0].axes[3].images[0].get_extent()) == [-0.5, 95.5, 63.5, -0.5]

"""Cameras of a batch, and what is said of those that are none."""

import pytest
import torch

from mm_monodino_detr.models.decoded_queries import collect_cameras

P2 = [[700.0, 0.0, 600.0, 45.0], [0.0, 700.0, 180.0, -0.3], [0.0, 0.0, 1.0, 0.005]]


def test_cameras_are_of_the_wanted_type_with_the_width_first():
    cameras = collect_cameras([dict(cam2img=P2, ori_shape=(375, 1242))] * 2, torch.zeros(1))
    assert cameras.projections.shape == (2, 3, 4)
    assert cameras.projections.dtype == torch.float32
    assert cameras.sizes.tolist() == [[1242, 375]] * 2


@pytest.mark.parametrize("key", ["cam2img", "ori_shape"])
def test_what_is_missing_is_named_with_its_image(key):
    meta = dict(cam2img=P2, ori_shape=(375, 1242), img_path="training/image_2/000007.png")
    del meta[key]
    with pytest.raises(KeyError, match=f"000007.png has no {key}.*Fix"):
        collect_cameras([meta], torch.zeros(1))


@pytest.mark.parametrize("broken", [P2[:2], [row[:3] for row in P2], [[float("nan")] * 4] * 3])
def test_a_broken_calibration_is_refused(broken):
    with pytest.raises(ValueError, match=r"image 0 of the batch: cam2img must be three rows of four finite numbers"):
        collect_cameras([dict(cam2img=broken, ori_shape=(375, 1242))], torch.zeros(1))

"""The augmentation and the targets: what moves with the picture, what is left out; the draws are a parity case."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from PIL import Image

from mm_monodino_detr.datasets.flip_crop_affine import KittiFlipCropAffine, mapped
from mm_monodino_detr.datasets.kitti_calibration import read_calibration
from mm_monodino_detr.datasets.mono3d_targets import wrapped
from mm_monodino_detr.datasets.pack_mono3d import PackMono3DInputs
from mm_monodino_detr.datasets.photometric_distort import KittiPhotometricDistort
from mm_monodino_detr.evaluation.kitti_files import read_objects
from mm_monodino_detr.models.heading_bins import decode_heading
from mmrepro.datasets.generated.kitti_scenes import kitti_scene
from mmrepro.testing import SplitAdapter

_HERE = SplitAdapter(Path(__file__).resolve().parent, {}).part("kitti_files_here")
CAR, SIZE, kitti_frames = _HERE.CAR, _HERE.SIZE, _HERE.kitti_frames

INPUT = (320, 96)
CLASSES = ("Pedestrian", "Car", "Cyclist")


def seed(number):
    np.random.seed(number)  # noqa: NPY002


def read(root, flip=0.0, crop=0.0, **settings):
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadKittiAnnotations3D", depth_range=(2, 65)),
        dict(type="KittiFlipCropAffine", size=INPUT, flip_prob=flip, crop_prob=crop),
        dict(type="PackMono3DInputs"),
    ]
    frames = dict(type="Kitti3DDataset", data_root=str(root), serialize_data=False)
    return DATASETS.build(frames | dict(pipeline=pipeline) | settings)


def generated(flip=0.0, crop=0.0, **settings):
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadKittiAnnotations3D"),
        dict(type="KittiFlipCropAffine", size=INPUT, flip_prob=flip, crop_prob=crop),
        dict(type="PackMono3DInputs"),
    ]
    frames = dict(type="GeneratedKitti3DDataset", generate=dict(count=6, objects=6), serialize_data=False)
    return DATASETS.build(frames | dict(writelist=CLASSES, pipeline=pipeline) | settings)


def locations(sample):
    """Return the middles of the lower faces that the targets stand for, as decoding finds them."""
    targets, camera = sample.gt_instances, read_calibration(sample.calib_path)
    back = np.linalg.inv(np.concatenate([sample.affine, [[0, 0, 1]]]))[:2]
    pixels = mapped(back, targets.boxes_3d[:, :2].numpy().astype(float) * INPUT)
    if sample.flip:
        pixels[:, 0] = sample.ori_shape[1] - pixels[:, 0]
    depths = targets.depth.numpy()[:, None] / sample.crop_scale
    rays = (pixels - camera.principal_point) / camera.focal
    middle = rays * depths - camera.p2[:2, 3] / camera.focal
    return np.concatenate([middle, depths], 1) + targets.size_3d.numpy()[:, :1] * [0, 0.5, 0]


@pytest.mark.parametrize(("flip", "crop"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_targets_say_where_the_objects_are(flip, crop):
    """Whatever the augmentation, its inverse leads from the targets to the labels."""
    seed(5)
    frames = generated(flip, crop)
    found = 0
    for sample in (frames[index]["data_samples"] for index in range(len(frames))):
        targets = sample.gt_instances
        written = read_objects(sample.label_path)
        rows = targets.rows.numpy()
        found += len(rows)
        np.testing.assert_allclose(locations(sample), written.locations[rows], atol=1e-3)
        np.testing.assert_allclose(targets.size_3d, written.sizes[rows], rtol=1e-6)
        assert sample.flip == bool(flip)
        assert (sample.crop_scale != 1) == bool(crop)
    assert found > 4


def test_two_cameras_and_classes_of_ones_own(tmp_path):
    """A data set may hold pictures of any sizes, each with a camera of its own; the network's input has one size."""
    root = kitti_frames(tmp_path, [CAR.replace("Car", "Kart"), None])
    scene = kitti_scene((320, 240), seed=1, objects=1, classes=("Car",), focal=150)
    (kart,) = (line.replace("Car", "kart") for line in scene.labels)
    Image.fromarray(scene.picture).save(root / "training/image_2/000001.png")
    camera = " ".join(map(str, scene.p2.ravel()))
    (root / "training/calib/000001.txt").write_text(f"P2: {camera}", encoding="utf-8")
    (root / "training/label_2/000001.txt").write_text(kart, encoding="utf-8")
    for flip in (0, 1):
        seed(0)
        frames = read(root, flip, 1, writelist=("Kart",), metainfo=dict(classes=("Kart", "Bus")))
        packed = [frames[index] for index in range(2)]
        assert {one["inputs"].shape for one in packed} == {(3, *INPUT[::-1])}
        samples = [one["data_samples"] for one in packed]
        assert [sample.ori_shape for sample in samples] == [SIZE[::-1], (240, 320)]
        assert [sample.gt_instances.labels.tolist() for sample in samples] == [[0], [0]]
        for sample in samples:
            np.testing.assert_allclose(
                locations(sample), read_objects(sample.label_path, classes=None).locations, atol=1e-3
            )


def test_headings_follow_from_the_rays():
    frames = generated()
    for sample in (frames[index]["data_samples"] for index in range(len(frames))):
        targets, camera = sample.gt_instances, read_calibration(sample.calib_path)
        written = read_objects(sample.label_path)
        boxes = written.boxes[targets.rows.numpy()]
        headings = decode_heading(targets.heading_bin.numpy(), targets.heading_res.numpy())
        turned = headings + camera.viewing_angle((boxes[:, 0] + boxes[:, 2]) / 2)
        np.testing.assert_allclose(np.cos(turned - written.rotations[targets.rows.numpy()]), 1, atol=1e-6)


def test_a_flip_mirrors_the_targets():
    plain, mirrored = (generated(flip)[1]["data_samples"].gt_instances for flip in (0, 1))
    assert len(plain)
    np.testing.assert_allclose(mirrored.boxes[:, 0], 1 - plain.boxes[:, 0], atol=1e-6)
    order = [0, 1, 3, 2, 4, 5]  # left and right change places
    expected = plain.boxes_3d[:, order] * torch.tensor([-1, 1, 1, 1, 1, 1]) + torch.tensor([1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(mirrored.boxes_3d, expected, atol=1e-6)
    np.testing.assert_array_equal(mirrored.depth, plain.depth)


def test_the_picture_goes_where_the_map_says():
    image = np.zeros((60, 200, 3), np.uint8)
    image[28:33, 148:153] = 255
    for number in range(4):
        seed(number)
        done = KittiFlipCropAffine(INPUT, flip_prob=0.5, crop_prob=1)(dict(img=image))
        place = np.array([200 - 150.5 if done["flip"] else 150.5, 30.5])
        rows, columns = np.nonzero(done["img"][..., 0] > 127)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], mapped(done["affine"], place), atol=0.7)
        assert done["img"].shape == (96, 320, 3)
        assert done["img_shape"] == (96, 320)


def test_one_scale_for_both_axes_and_black_outside():
    done = KittiFlipCropAffine((320, 96), 0, 0)(dict(img=np.full((30, 200, 3), 255, np.uint8)))
    np.testing.assert_allclose(done["affine"], [[1.6, 0, 0], [0, 1.6, 24]], atol=1e-5)
    assert (done["img"][26:70] == 255).all()
    assert (done["img"][:22] == 0).all()


def test_no_probability_draws_nothing():
    seed(3)
    KittiFlipCropAffine(INPUT, 0, 0)(dict(img=np.zeros((30, 100, 3), np.uint8)))
    after = np.random.random()  # noqa: NPY002
    seed(3)
    assert after == np.random.random()  # noqa: NPY002


def test_a_crop_alone_comes_after_the_draw_of_the_flip():
    """As officially: the same seed gives the same window, whether pictures are flipped or not."""
    image = np.zeros((30, 100, 3), np.uint8)
    scales = []
    for flip in (0, 0.5):
        seed(3)
        scales.append(KittiFlipCropAffine(INPUT, flip, 1)(dict(img=image))["crop_scale"])
    assert scales[0] == scales[1]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (CAR, True),
        (CAR.replace("Car", "Van"), False),
        (CAR.replace("0.00 0", "0.51 0"), False),
        (CAR.replace("0.00 0", "0.50 2"), True),
        (CAR.replace("0.00 0", "0.00 3"), False),
        (CAR.replace("48.00", "43.99"), False),  # a height of 24.99 by this rule, which adds 1
        (CAR.replace("48.00", "44.00"), True),
        (CAR.replace("0.60 1.25 8.00", "0.10 0.85 2.00"), True),
        (CAR.replace("0.60 1.25 8.00", "0.10 0.85 1.99"), False),
        (CAR.replace(" 8.00", " 65.00"), True),
        (CAR.replace(" 8.00", " 65.01"), False),
        (CAR.replace("0.60 1.25", "9.60 1.25"), False),  # its centre is out of view
        (CAR.replace("90.00", "115.00"), False),  # its centre is left of the 2D box
    ],
)
def test_which_objects_are_trained(tmp_path, line, kept):
    frame = read(kitti_frames(tmp_path, [line]), test_mode=True)[0]["data_samples"]
    assert len(frame.gt_instances) == kept


def test_frames_without_objects_have_empty_targets(tmp_path):
    empty = read(kitti_frames(tmp_path, [CAR, ""]))[1]["data_samples"].gt_instances
    shapes = dict(labels=(0,), boxes=(0, 4), boxes_3d=(0, 6), depth=(0,), size_3d=(0, 3), heading_bin=(0,))
    assert {name: tuple(empty[name].shape) for name in shapes} == shapes
    assert empty.labels.dtype == empty.heading_bin.dtype == torch.int64
    assert empty.boxes_3d.dtype == torch.float32


def test_lines_beyond_the_limit_are_left_out(tmp_path):
    root = kitti_frames(tmp_path, [f"{CAR}\n" * 60])
    assert len(read(root)[0]["data_samples"].gt_instances) == 50


def test_angles_turn_once():
    np.testing.assert_allclose(
        wrapped(np.array([3.5, -3.5, 1.0, 9.9])), [3.5 - 2 * np.pi, 2 * np.pi - 3.5, 1, 9.9 - 2 * np.pi]
    )


def test_a_sample_says_what_the_detector_needs(tmp_path):
    packed = read(kitti_frames(tmp_path, [CAR]))[0]
    sample = packed["data_samples"]
    assert packed["inputs"].shape == (3, 96, 320)
    assert packed["inputs"].dtype == torch.uint8
    assert sample.ori_shape == SIZE[::-1]
    assert sample.img_shape == (96, 320)
    assert np.shape(sample.cam2img) == (3, 4)
    assert isinstance(sample.cam2img, list)
    assert np.shape(sample.affine) == (2, 3)
    assert isinstance(sample.affine, list)


def test_packing_without_a_camera_or_a_map(tmp_path):
    pack = PackMono3DInputs()
    with pytest.raises(KeyError, match=r"road\.png comes without cam2img"):
        pack(dict(img=np.zeros((2, 2, 3)), img_path="road.png"))
    loaded = read(kitti_frames(tmp_path, [CAR])).get_data_info(0)
    chosen = TRANSFORMS.build(dict(type="LoadKittiAnnotations3D"))(loaded)
    with pytest.raises(ValueError, match=r"nothing maps the annotations.*Fix: KittiFlipCropAffine"):
        pack(chosen | dict(img=np.zeros((2, 2, 3))))


def distorted(image, wrap, number):
    seed(number)
    return KittiPhotometricDistort(wrap_uint8=wrap)(dict(img=image.copy()))["img"]


def test_colours_change_by_the_seed_and_wrap_around():
    image = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (20, 30, 3), np.uint8)
    wrapping = [distorted(image, True, number) for number in range(16)]
    clipping = [distorted(image, False, number) for number in range(16)]
    assert all(one.dtype == np.uint8 and one.shape == image.shape for one in wrapping + clipping)
    np.testing.assert_array_equal(distorted(image, True, 3), wrapping[3])
    assert len({one.tobytes() for one in wrapping}) > 12
    beyond = [one != other for one, other in zip(wrapping, clipping, strict=True)]
    assert any(one.any() for one in beyond)
    for places, clipped in zip(beyond, clipping, strict=True):
        assert np.isin(clipped[places], [0, 255]).all()  # they differ only where a value left [0, 255]


@pytest.mark.parametrize(
    ("settings", "message"),
    [(dict(flip_prob=2), "flip_prob=2"), (dict(crop_prob=-1), "crop_prob=-1"), (dict(size=(0, 4)), "size=")],
)
def test_wrong_settings_of_the_crop_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type="KittiFlipCropAffine") | settings)

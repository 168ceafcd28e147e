"""Drawings and the geometry behind them: what is cut off, what is left out, and every one is a picture."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

from mm_monodino_detr import visualization
from mm_monodino_detr.cuboids import EDGES, FRONT, NEAR, cuboid_corners, cut_polygon, cut_segments
from mm_monodino_detr.datasets.kitti_calibration import CalibrationError, KittiCalibration, read_calibration
from mm_monodino_detr.evaluation.kitti_files import parse_objects, read_objects
from mm_monodino_detr.visualization import Objects3D, draw_depth_maps, draw_scene
from mm_monodino_detr.visualizer import Mono3DLocalVisualizer
from mmrepro.datasets.generated.kitti_scenes import corners as scene_corners
from mmrepro.testing import require_data

CAMERA = KittiCalibration.of_focal_length(200.0, 160, 60)
CAR = np.array([1.5, 1.6, 4.0, 1.0, 1.6, 12.0, 0.4])
LABELS = (
    "Car 0.00 0 0.3 60.00 20.00 110.00 55.00 1.50 1.60 4.00 1.00 1.60 12.00 0.40\n"
    "DontCare -1 -1 -10 5.00 5.00 25.00 15.00 -1 -1 -1 -1000 -1000 -1000 -10\n"
)


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (60, 160, 3), dtype=np.uint8)


@pytest.fixture
def annotated():
    return Objects3D.annotated(parse_objects(LABELS, "labels"))


def found(scores, boxes_3d=None):
    boxes_3d = np.tile(CAR, (len(scores), 1)) if boxes_3d is None else boxes_3d
    boxes = np.array([[60.0 + 9 * number, 20, 110, 55] for number in range(len(scores))]).reshape(-1, 4)
    return Objects3D(["Car"] * len(scores), boxes, boxes_3d.reshape(-1, 7), np.array(scores, float))


def is_picture(path):
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and len(set(image.convert("L").tobytes())) > 20


def test_corners_are_those_that_scenes_are_rendered_from():
    ours = cuboid_corners(CAR[None])[0]
    theirs = scene_corners(CAR[:3], CAR[3:6], CAR[6])
    order = np.lexsort(ours.round(6).T), np.lexsort(theirs.round(6).T)
    np.testing.assert_allclose(ours[order[0]], theirs[order[1]], atol=1e-9)


def test_the_front_is_where_the_object_looks():
    """A rotation of 0 looks along x, one of -pi / 2 away from the camera."""
    for rotation, ahead in ((0.0, [1, 0, 0]), (-np.pi / 2, [0, 0, 1])):
        box = np.array([1.5, 1.6, 4.0, 0.0, 1.6, 12.0, rotation])
        corners = cuboid_corners(box[None])[0]
        np.testing.assert_allclose(corners[list(FRONT)].mean(0) - corners.mean(0), 2 * np.array(ahead), atol=1e-9)
    lengths = [np.linalg.norm(corners[start] - corners[end]) for start, end in EDGES]
    np.testing.assert_allclose(sorted(lengths), [1.5] * 4 + [1.6] * 4 + [4.0] * 4)


def test_what_is_behind_the_camera_is_cut_off():
    segments = np.array([[[0, 0, -1], [0, 0, 3]], [[0, 0, 3], [2, 0, -1]], [[0, 0, -3], [0, 0, -1]], [[0, 1, 2]] * 2])
    cut = cut_segments(segments.astype(float))
    assert cut.shape == (3, 2, 3)
    assert cut[..., 2].min() == pytest.approx(NEAR)
    np.testing.assert_allclose(cut[1, 1], [1.45, 0, NEAR])  # on the line, 2.9 of 4 metres along
    square = np.array([[0, 0, -1], [1, 0, -1], [1, 0, 3], [0, 0, 3]], float)
    np.testing.assert_allclose(cut_polygon(square), [[1, 0, NEAR], [1, 0, 3], [0, 0, 3], [0, 0, NEAR]])
    assert cut_polygon(square - [0, 0, 9]).shape == (0, 3)
    assert cut_segments(segments[:0].astype(float)).shape == (0, 2, 3)


def test_dont_care_is_a_region_and_no_object(annotated):
    assert list(annotated.names) == ["Car"]
    np.testing.assert_allclose(annotated.boxes_3d, CAR[None])
    np.testing.assert_allclose(annotated.ignored, [[5, 5, 25, 15]])


def test_detections_below_the_threshold_are_left_out_and_the_best_come_first():
    some = found([0.1, 0.9, 0.4, 0.3])
    assert some.above(0.3).scores.tolist() == [0.9, 0.4, 0.3]
    assert some.above(0.3).boxes[0].tolist() == some.boxes[1].tolist()


def test_scenes_are_drawn_with_what_is_shown(picture, annotated, tmp_path):
    def drawn(objects, camera=CAMERA, **options):
        path = draw_scene(picture, camera, objects, tmp_path / "a.png", **options)
        assert is_picture(path)
        return path.read_bytes()

    both = {"annotated": annotated, "predicted": found([0.9, 0.25])}
    all_of_it = drawn(both)
    assert all_of_it != drawn(both, threshold=0.3)
    assert all_of_it != drawn(both, reach=40.0)  # colours tell the distance
    none = Objects3D([], np.empty((0, 4)), np.empty((0, 7)), np.empty(0))
    turned = CAR + np.array([0, 0, 0, 0, 0, 0, np.pi])  # its front is another
    some = [drawn({"predicted": one}) for one in (none, found([0.9]), found([0.9], turned))]
    assert len({*some, drawn({"predicted": found([0.9])}, camera=None)}) == 4


def test_objects_around_the_camera_and_far_away_can_be_drawn(picture, tmp_path):
    boxes_3d = np.array([[1.5, 1.6, 4, 0, 1.6, 0.5, 1.0], [1.5, 1.6, 4, 0, 1.6, -9, 0], [1.5, 1.6, 4, 0, 1.6, 9e4, 0]])
    path = draw_scene(picture, CAMERA, {"predicted": found([0.9, 0.8, 0.7], boxes_3d)}, tmp_path / "a.png")
    assert is_picture(path)
    with Image.open(path) as image:
        assert max(image.size) < 2000  # what sticks out does not make it larger


def test_the_view_from_above_ends_behind_the_objects_within_its_reach():
    def extent(*places, reach=70.0):
        boxes = np.array([[1.5, 1.6, 4.0, x, 1.6, z, 0.0] for x, z in places]).reshape(-1, 7)
        return visualization._extent([boxes], reach)

    assert extent() == (20.0, 10.0)
    assert extent((0, 5)) == (20.0, 10.0)
    assert extent((0, 33))[0] == 40.0
    assert extent((0, 500))[0] == 70.0
    assert extent((0, 130), reach=140.0)[0] == 140.0
    assert extent((25, 33))[1] == pytest.approx(28)  # 25 m aside, half a car and a metre


def test_depth_maps_are_drawn_where_they_lie(picture, tmp_path):
    maps = np.random.default_rng(2).random((2, 4, 6))
    whole, part = (
        draw_depth_maps(picture, maps[0], 60 * maps[1], covered, tmp_path / f"{covered[2]}.png")
        for covered in ((0, 0, 160, 60), (0, 0, 80, 60))
    )
    assert is_picture(whole)
    assert whole.read_bytes() != part.read_bytes()


def sample(label_path="", **meta):
    one = DetDataSample(metainfo=dict(img_path="a.png", label_path=label_path, **meta))
    one.pred_instances = InstanceData(
        labels=torch.tensor([0]),
        scores=torch.tensor([0.5]),
        bboxes=torch.tensor([[60.0, 20, 110, 55]]),
        bboxes_3d=torch.from_numpy(CAR[None]),
        alphas=torch.zeros(1),
    )
    return one


def test_the_visualizer_draws_label_files_beside_predictions(picture, tmp_path):
    visualizer = Mono3DLocalVisualizer("test_mono3d_visualizer")
    visualizer.dataset_meta = dict(classes=("Car",))
    camera = dict(cam2img=CAMERA.p2.tolist())
    (tmp_path / "000000.txt").write_text(LABELS)

    def drawn(one, **options):
        visualizer.add_datasample("a", picture, one, out_file=str(tmp_path / "deep" / "a.png"), **options)
        with Image.open(tmp_path / "deep" / "a.png") as written:
            assert written.size == visualizer.get_image().shape[1::-1]
        return visualizer.get_image()

    both = drawn(sample(str(tmp_path / "000000.txt"), **camera))
    alone = drawn(sample(**camera))
    assert both.shape[0] > alone.shape[0]
    assert drawn(sample(str(tmp_path / "000000.txt"), **camera), draw_gt=False).shape == alone.shape
    assert drawn(sample(**camera), pred_score_thr=0.6).tobytes() != alone.tobytes()
    assert drawn(sample()).shape[1] < alone.shape[1]  # without a camera no view from above
    assert drawn(None).tobytes() == picture.tobytes()
    with pytest.raises(CalibrationError, match="cam2img of a"):
        drawn(sample(cam2img=[[1.0, 0, 0, 0]] * 3))


def test_annotated_boxes_of_real_frames_lie_where_their_cuboids_are_drawn(tmp_path):
    """KITTI's own 2D boxes were drawn by hand around the 3D ones, cut at the picture's edges."""
    root = require_data("kitti-three-frames")["kitti/data/object/training/label_2/000000.txt"].parents[1]
    count = 0
    for file in sorted((root / "image_2").iterdir()):
        calibration = read_calibration(root / "calib" / f"{file.stem}.txt")
        objects = Objects3D.annotated(read_objects(root / "label_2" / f"{file.stem}.txt"))
        rgb = np.asarray(Image.open(file).convert("RGB"))
        assert is_picture(draw_scene(rgb, calibration, {"annotated": objects}, tmp_path / file.name))
        for box, corners in zip(objects.boxes, cuboid_corners(objects.boxes_3d), strict=True):
            points = calibration.project(corners)
            around = np.concatenate([points.min(0), points.max(0)])
            np.testing.assert_allclose(around, box, atol=0.1 * (box[3] - box[1]) + 2)
            count += 1
    assert count

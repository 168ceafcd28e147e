"""The metric: numbers of the rounded text, frames by name, files, and what it refuses."""

import pytest
import torch
from mmdet.registry import METRICS

from mm_monodino_detr.evaluation.kitti_files import KittiFileError
from mm_monodino_detr.evaluation.kitti_metric import KittiMetric3D

LABEL = "Car 0.00 0 0.30 300.00 150.00 400.00 210.00 1.50 1.60 4.00 0.00 1.60 20.00 0.00\n"


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "label_2"
    folder.mkdir()
    for frame in ("000001", "000002", "000003"):
        (folder / f"{frame}.txt").write_text(LABEL)
    return folder


def sample(frame: str, path="", label=1, score=0.9, shift=0.0) -> dict:
    found = dict(
        labels=torch.tensor([label]),
        scores=torch.tensor([score]),
        bboxes=torch.tensor([[300.0 + shift, 150, 400 + shift, 210]]),
        bboxes_3d=torch.tensor([[1.5, 1.6, 4, 0, 1.6, 20, 0]]),
        alphas=torch.tensor([0.3]),
    )
    return dict(img_id=frame, label_path=str(path), pred_instances=found)


def metric(**kwargs) -> KittiMetric3D:
    built = METRICS.build(dict(type="KittiMetric3D", **kwargs))
    built.dataset_meta = dict(classes=("Pedestrian", "Car", "Cyclist"))
    return built


def test_keys_and_numbers(labels):
    built = metric(evaluated=["Car"])
    built.process(None, [sample(frame, labels / f"{frame}.txt") for frame in ("000002", "000001")])
    found = built.evaluate(size=2)
    assert found["kitti/Car_AP3D_R40_moderate"] == pytest.approx(100 / 40)  # two objects: two of 41 recalls
    assert found["kitti/Car_AOS_R11_hard"] == pytest.approx(100 / 11)
    assert "kitti/Car_APBEV_R40_easy_loose" in found
    assert not any("Cyclist" in key for key in found)


def test_frames_of_the_split_that_were_not_predicted_count(labels, tmp_path):
    (tmp_path / "val.txt").write_text("000001\n000002\n000003")
    built = metric(label_dir=str(labels), split=str(tmp_path / "val.txt"))
    built.process(None, [sample("000002")])
    part = built.evaluate(size=1)
    built.process(None, [sample(frame) for frame in ("000003", "000002", "000001")])
    assert part["kitti/Car_AP3D_R40_easy"] == 0
    assert built.evaluate(size=3)["kitti/Car_AP3D_R40_easy"] == pytest.approx(100 * 2 / 40)


def test_numbers_are_those_of_two_decimals(labels):
    # 2D overlap (100 - s) / (100 + s): .7 at s = 17.647; 17.6451 becomes 17.65 in the file, which matches no more
    built = metric(evaluated=["Car"], label_dir=str(labels))
    built.process(None, [sample("000001", shift=17.6451)])
    assert built.evaluate(size=1)["kitti/Car_AP2D_R11_easy"] == 0
    built.process(None, [sample("000001", shift=17.6449)])
    assert built.evaluate(size=1)["kitti/Car_AP2D_R11_easy"] > 0


def test_labels_may_hold_classes_of_nobody(labels):
    (labels / "000001.txt").write_text(f"{LABEL}{LABEL.replace('Car', 'Boat')}")
    built = metric(evaluated=["Car"], label_dir=str(labels))
    built.process(None, [sample("000001")])
    assert built.evaluate(size=1)["kitti/Car_AP3D_R11_easy"] > 0


def test_distances(labels):
    built = metric(evaluated=["Car"], label_dir=str(labels), distances=True)
    built.process(None, [sample("000001")])
    found = built.evaluate(size=1)
    assert found["kitti/Car_AP3D_R11_30m"] > 0
    assert found["kitti/Car_AP3D_R11_50m"] == 0


def test_files_alone(tmp_path):
    built = metric(outfile_prefix=str(tmp_path / "out"), format_only=True)
    built.process(None, [sample("000001")])
    assert built.evaluate(size=1) == {}
    assert (tmp_path / "out" / "000001.txt").read_text().startswith("Car 0.0 0 0.30 300.00 150.00 400.00 210.00 1.50")


def test_files_and_numbers(labels, tmp_path):
    built = metric(evaluated=["Car"], label_dir=str(labels), outfile_prefix=str(tmp_path / "out"))
    built.process(None, [sample("000001"), sample("000002")])
    assert built.evaluate(size=2)["kitti/Car_AP3D_R40_easy"] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000001.txt", "000002.txt"]


def test_a_frame_that_two_processes_predicted_counts_once(labels):
    """A sampler gives the last processes the first frames again, so that all have as many."""
    numbers = []
    for frames in (("000001", "000002"), ("000001", "000002", "000001")):
        built = metric(evaluated=["Car"])
        built.process(None, [sample(frame, labels / f"{frame}.txt") for frame in frames])
        numbers.append(built.compute_metrics(built.results))
    assert numbers[0] == numbers[1]


def test_frames_of_one_name_in_two_folders_are_refused(labels, tmp_path):
    built = metric()
    built.process(None, [sample("000001", folder / "000001.txt") for folder in (labels, tmp_path / "other")])
    with pytest.raises(ValueError, match=r"two frames have the name 000001, of .*label_2.* and of .*other"):
        built.evaluate(size=2)


def test_what_is_refused(labels):
    with pytest.raises(ValueError, match="set outfile_prefix"):
        metric(format_only=True)
    with pytest.raises(ValueError, match="set label_dir"):
        metric(split="val.txt")
    with pytest.raises(ValueError, match=r"predictions of 000001: the labels \[3\] have no name"):
        metric().process(None, [sample("000001", label=3)])
    with pytest.raises(KittiFileError, match="predictions of 000001: score of detection 1 is nan"):
        metric().process(None, [sample("000001", score=float("nan"))])
    with pytest.raises(ValueError, match="no frame was predicted"):
        metric().compute_metrics([])
    for built, given, message in (
        (metric(), sample("000001"), "frame 000001 has no labels"),
        (metric(label_dir=str(labels)), sample("000009"), "000009.txt cannot be read"),
    ):
        built.process(None, [given])
        with pytest.raises(KittiFileError, match=message):
            built.evaluate(size=1)
